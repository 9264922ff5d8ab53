"""Records in the layouts of others: the TF Object Detection API's, and TensorFlow Datasets'."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tfstream.format import record
from tfstream.v1 import example_pb2
from tfstream.v1.annotated_image_pb2 import AnnotatedImage

Value = str | bytes | int | float
NUMBERS = {"cat": 17, "dog": 18}


def payload(features: Mapping[str, Value | Sequence[Value]], *, empty: str = "") -> bytes:
    """A serialised Example; a list that is empty is of floats, or as `empty` says."""
    made = example_pb2.Example()
    for name, value in features.items():
        feature = made.features.feature[name]
        values = list(value) if isinstance(value, list | tuple) else [value]
        kind = type(values[0]) if values else {"": float, "int": int, "str": str}[empty]
        if kind in (str, bytes):
            feature.bytes_list.SetInParent()
            texts = [each.encode() if isinstance(each, str) else each for each in values]
            feature.bytes_list.value.extend(texts)
        elif kind is int:
            feature.int64_list.SetInParent()
            feature.int64_list.value.extend(values)
        else:
            feature.float_list.SetInParent()
            feature.float_list.value.extend(values)
    return made.SerializeToString(deterministic=True)


def sides(image: AnnotatedImage) -> list[tuple[float, float, float, float]]:
    """The boxes: ymin, xmin, ymax, xmax in 0..1."""
    height, width = image.height, image.width
    return [
        (o.box.ymin / height, o.box.xmin / width, o.box.ymax / height, o.box.xmax / width)
        for o in image.objects
    ]


def tfod(image: AnnotatedImage) -> dict[str, Value | Sequence[Value]]:
    """The features that the TF Object Detection API's scripts write."""
    boxes = sides(image)
    features: dict[str, Value | Sequence[Value]] = {
        "image/encoded": image.encoded,
        "image/format": image.format,
        "image/height": image.height,
        "image/width": image.width,
        "image/filename": f"{image.key}.jpg",
        "image/source_id": image.key,
        "image/camera": image.metadata["camera"].string_value,
    }
    for place, side in enumerate(("ymin", "xmin", "ymax", "xmax")):
        features[f"image/object/bbox/{side}"] = [box[place] for box in boxes]
    if image.objects:
        features["image/object/class/text"] = [o.label for o in image.objects]
        features["image/object/class/label"] = [NUMBERS[o.label] for o in image.objects]
    return features


def tfds(image: AnnotatedImage) -> dict[str, Value | Sequence[Value]]:
    """The features that TensorFlow Datasets writes for detection."""
    features: dict[str, Value | Sequence[Value]] = {
        "image": image.encoded,
        "image/filename": f"{image.key}.jpg",
        "objects/bbox": [side for box in sides(image) for side in box],
    }
    if image.objects:
        features["objects/label"] = [("cat", "dog").index(o.label) for o in image.objects]
    return features


def write(path: Path, payloads: Iterable[bytes]) -> Path:
    """A TFRecord file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        writer = record.ShardWriter(file)
        for each in payloads:
            writer.append(each)
    return path


def write_tfds(root: Path, images: Sequence[AnnotatedImage], shards: int = 2) -> Path:
    """A directory as TensorFlow Datasets prepares it."""
    cut = [images[place::shards] for place in range(shards)]
    for place, some in enumerate(cut):
        name = f"scenes-train.tfrecord-{place:05d}-of-{shards:05d}"
        write(root / name, [payload(tfds(image)) for image in some])
    info = {
        "name": "scenes",
        "fileFormat": "tfrecord",
        "splits": [{"name": "train", "shardLengths": [str(len(some)) for some in cut]}],
    }
    (root / "dataset_info.json").write_text(json.dumps(info))
    (root / "objects-label.labels.txt").write_text("cat\ndog\n")
    return root
