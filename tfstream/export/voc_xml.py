"""Writes an annotation as a file of the PASCAL VOC kind, such as `voc_xml` reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from tfstream.errors import InvalidArgumentError
from tfstream.export.numbers import corner, edge

if TYPE_CHECKING:
    from tfstream.v1.annotated_image_pb2 import AnnotatedImage, Object, Polygon

__all__ = ["beyond_xml", "to_xml"]

_FLAGS = ("truncated", "difficult", "occluded", "crowd")
_TEXTS = {
    "folder": "folder",
    "source.database": "database",
    "source.annotation": "annotation",
    "source.image": "image",
}
# What XML 1.0 has no way of writing.
_IMPOSSIBLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_xml(image: AnnotatedImage, filename: str, metadata: Mapping[str, Any]) -> bytes:
    """The text of an annotation file.

    Boxes and polygons are in pixels of the image as displayed, with as many decimals as it takes
    to get the fractions that were stored back.

    Args:
        image: A record: its boxes are fractions.
        filename: Of the image file.
        metadata: Of the record; what `beyond_xml` gives is left out.

    Raises:
        InvalidArgumentError: A text has a character that XML cannot hold.
    """
    inside = {name: value for name, value in metadata.items() if _fits(name, value)}
    lines = ["<annotation>"]
    if "folder" in inside:
        lines.append(f"\t<folder>{_text(inside['folder'], image)}</folder>")
    lines.append(f"\t<filename>{_text(filename, image)}</filename>")
    source = [
        f"\t\t<{tag}>{_text(inside[name], image)}</{tag}>"
        for name, tag in _TEXTS.items()
        if name in inside and name != "folder"
    ]
    if source:
        lines += ["\t<source>", *source, "\t</source>"]
    lines += [
        "\t<size>",
        f"\t\t<width>{image.width}</width>",
        f"\t\t<height>{image.height}</height>",
        "\t\t<depth>3</depth>",
        "\t</size>",
    ]
    if "segmented" in inside:
        lines.append(f"\t<segmented>{int(inside['segmented'])}</segmented>")
    for item in image.objects:
        lines += _object(item, image)
    lines.append("</annotation>\n")
    return "\n".join(lines).encode()


def beyond_xml(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata that such a file has no place for."""
    return {
        name: value
        for name, value in metadata.items()
        if value is not None and not _fits(name, value)
    }


def _fits(name: str, value: object) -> bool:
    """Whether the file has a place for it, and gives it back as it is."""
    if name == "segmented":
        return isinstance(value, bool)
    return name in _TEXTS and isinstance(value, str) and value != "" and value == value.strip()


def _object(item: Object, image: AnnotatedImage) -> list[str]:
    lines = ["\t<object>", f"\t\t<name>{_text(item.label, image)}</name>"]
    lines += [f"\t\t<{flag}>1</{flag}>" for flag in _FLAGS if getattr(item, flag)]
    if item.HasField("box"):
        box, width, height = item.box, image.width, image.height
        lines += [
            "\t\t<bndbox>",
            f"\t\t\t<xmin>{edge(box.xmin, width)}</xmin>",
            f"\t\t\t<ymin>{edge(box.ymin, height)}</ymin>",
            f"\t\t\t<xmax>{edge(box.xmax, width)}</xmax>",
            f"\t\t\t<ymax>{edge(box.ymax, height)}</ymax>",
            "\t\t</bndbox>",
        ]
    for polygon in item.polygons:
        lines += _polygon(polygon, image)
    lines.append("\t</object>")
    return lines


def _polygon(polygon: Polygon, image: AnnotatedImage) -> list[str]:
    corners = [
        f"\t\t\t<pt><x>{corner(x, image.width)}</x><y>{corner(y, image.height)}</y></pt>"
        for x, y in zip(polygon.x, polygon.y, strict=True)
    ]
    return ["\t\t<polygon>", *corners, "\t\t</polygon>"]


def _text(value: str, image: AnnotatedImage) -> str:
    bad = _IMPOSSIBLE.search(value)
    if bad:
        raise InvalidArgumentError(
            f"record {image.key!r} has the text {value!r}, whose character {bad[0]!r} no XML file "
            "can hold: leave the record out of the query"
        )
    return escape(value)
