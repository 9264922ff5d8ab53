"""A small dataset of scenes: one to three pictures each, by different cameras."""

from __future__ import annotations

from pathlib import Path

import tiny_dataset
import trees

from tfstream.v1.annotated_image_pb2 import AnnotatedImage, Box, Object, Value

SCENES = 24
SCHEMA = {"camera": "string", "scene": "int", "day": "string", "file.night": "bool"}


def image(scene: int, camera: str) -> AnnotatedImage:
    """The picture that a camera took of a scene: `scene % 4` cats, and a dog in the even ones."""
    width, height = 40 + scene, 30
    made = AnnotatedImage(
        key=f"{scene:02d}/{camera}",
        encoded=trees.encoded(trees.picture(scene, width, height)),
        format="jpeg",
        width=width,
        height=height,
        orientation=1,
        metadata={
            "camera": Value(string_value=camera),
            "day": Value(string_value=f"2026-01-{scene + 1:02d}"),
            "file.night": Value(bool_value=scene % 3 == 0),
        },
    )
    if scene < SCENES - 1:  # the last scene's pictures have no number
        made.metadata["scene"].int_value = scene
    for number in range(scene % 4):
        box = Box(ymin=1, xmin=1 + number, ymax=9 + number, xmax=20)
        made.objects.append(Object(label="cat", box=box))
    if scene % 2 == 0:
        made.objects.append(Object(label="dog", box=Box(ymin=2, xmin=2, ymax=28, xmax=38)))
    return made


def cameras(scene: int) -> list[str]:
    """Those that took the scene."""
    return ["left", "right", "top"][: 1 + (scene % 5 > 0) + (scene % 6 == 1)]


def write(root: Path) -> Path:
    """Writes the dataset: three shards of training records, and one of validation ones."""
    images = [image(scene, camera) for scene in range(SCENES) for camera in cameras(scene)]
    # As the packer would store them: neighbours are strangers.
    images = [images[(7 * place) % len(images)] for place in range(len(images))]
    assert len({one.key for one in images}) == len(images)
    train, val = images[:-8], images[-8:]
    third = len(train) // 3
    parts = [train[:third], train[third : 2 * third], train[2 * third :]]
    tiny_dataset.write_dataset(root, {"train": parts, "val": [val]}, SCHEMA)
    return root
