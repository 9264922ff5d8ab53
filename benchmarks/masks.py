"""What masks cost in a stream: the same photographs with boxes alone, with masks, with label maps.

    python benchmarks/masks.py PACKED [--records 1000] [--rounds 5]

PACKED is any dataset of photographs with boxes, made by `tfstream pack`. Its first records are
packed anew, each box with an ellipse in it: as an outline of 24 corners, as COCO has them; as a
stored mask, as VOC has them; and as that with a border around it of which nobody knows.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import rounds

import tfstream
from tfstream.annotations import masks
from tfstream.v1.annotated_image_pb2 import AnnotatedImage

BATCH = 64
BOXES = 10
CORNERS = 24
BORDER = 3  # pixels


def with_outlines(image: AnnotatedImage) -> AnnotatedImage:
    """Each object with an ellipse in its box as its outline."""
    turn = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    for item in image.objects:
        box = item.box
        middle, extent = (box.xmin + box.xmax) / 2, (box.xmax - box.xmin) / 2
        x = middle + extent * np.cos(turn)
        middle, extent = (box.ymin + box.ymax) / 2, (box.ymax - box.ymin) / 2
        item.polygons.add(x=x.clip(0, 1), y=(middle + extent * np.sin(turn)).clip(0, 1))
    return image


def with_masks(image: AnnotatedImage) -> AnnotatedImage:
    """Each object with an ellipse in its box as its mask."""
    y, x = np.ogrid[: image.height, : image.width]
    y, x = (y + 0.5) / image.height, (x + 0.5) / image.width
    for item in image.objects:
        box = item.box
        down = (2 * y - box.ymin - box.ymax) / (box.ymax - box.ymin)
        across = (2 * x - box.xmin - box.xmax) / (box.xmax - box.xmin)
        item.mask = masks.encode(down**2 + across**2 < 1)
    return image


def with_borders(image: AnnotatedImage) -> AnnotatedImage:
    """As `with_masks`, and the pixels around the masks are void."""
    with_masks(image)
    inside = np.zeros((image.height, image.width), bool)
    for item in image.objects:
        inside |= masks.decode(item.mask)
    wider = inside.copy()
    for axis in (0, 1):
        for step in range(1, BORDER + 1):
            wider |= np.roll(inside, step, axis) | np.roll(inside, -step, axis)
    image.void = masks.encode(wider & ~inside)
    return image


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packed", type=Path)
    parser.add_argument("--records", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    places = np.arange(min(arguments.records, len(tfstream.open(arguments.packed))))
    spec = tfstream.ImageSpec(size=(224, 224), mode="random_crop", flip=True)
    asked: dict[str, Any] = {"batch_size": BATCH, "image": spec, "label": None, "boxes": BOXES}
    with tempfile.TemporaryDirectory(prefix="masks-") as scratch:
        streams = {}
        forms = {"outlines": with_outlines, "stored": with_masks, "stored, void": with_borders}
        for name, shaped in forms.items():
            images = tfstream.open(arguments.packed).stored.images(places)
            objects = sum(len(image.objects) for image in images)
            data = tfstream.pack(map(shaped, images), Path(scratch, name), progress=False)
            for kind in (None, "instance", "semantic"):
                if name == "outlines" or kind == "semantic" or (kind and name == "stored"):
                    which = f"{kind} masks, {name}" if kind else "boxes alone"
                    streams[which] = data.stream(**asked, masks=kind)
        results = rounds.measure(streams, arguments.rounds, lambda element: len(element[0]))
    print(f"{rounds.machine()}; {len(places)} images, {objects / len(places):.1f} objects an image")
    rounds.report(results, against="boxes alone", unit="images/s")


if __name__ == "__main__":
    main()
