"""`tfstream cat`: one record's annotation, and its image with the boxes drawn."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tfstream import errors
from tfstream.cli import options

if TYPE_CHECKING:
    from tfstream.format.keys import Place
    from tfstream.v1.annotated_image_pb2 import AnnotatedImage, Object

__all__ = ["cat"]

_FEW_BYTES = 512  # of a tensor that is shown


def cat(
    dataset: options.Dataset,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The record's key.")],
    image: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the image with its boxes drawn, to a new file."),
    ] = None,
    version: options.Version = None,
    project: options.Project = None,
) -> None:
    """Print one record's annotation as JSON.

    Example:
        tfstream cat packed ILSVRC2013_train/n01440764/n01440764_10026
        tfstream cat packed val/photo_7 --image photo.png
    """
    from tfstream.format import example, keys, record
    from tfstream.format.foreign import Translator
    from tfstream.storage.directory import Access
    from tfstream.storage.uri import open_directory
    from tfstream.versions import history

    directory = open_directory(dataset, Access(project=project))
    loaded = history.load(directory, version)
    place = keys.find(directory, loaded, key)
    payload = record.fetch_record(directory, place.name, place.offset, place.length, key=key)
    translator = Translator.of(loaded)
    if translator is not None and place.foreign:
        payload = translator.translate(payload, key)
    found = example.decode(payload)
    titles = {label.name: label.title for label in loaded.labels.labels if label.title}
    if image is not None:
        _write_picture(found, titles, image)
    typer.echo(json.dumps(_as_dict(found, place, titles), indent=1, ensure_ascii=False))


def _as_dict(found: AnnotatedImage, place: Place, titles: dict[str, str]) -> dict[str, Any]:
    from tfstream.format import example

    main = example.main_object(found)
    return {
        "key": found.key,
        "split": place.split,
        "filename": found.image_path,
        "format": found.format,
        **_content(found),
        "label": None if main is None else found.objects[main].label,
        "objects": [_object(item, found, titles) for item in found.objects],
        "metadata": example.metadata(found) if place.metadata is None else place.metadata,
        "shard": place.shard,
        "offset": place.offset,
        "length": place.length,
    }


def _content(found: AnnotatedImage) -> dict[str, Any]:
    """What is told of the image, or of the tensor in its place."""
    from tfstream.format import tensors

    told: dict[str, Any] = {}
    if found.HasField("tensor"):
        told["tensor"] = str(tensors.TensorSpec.of(found.tensor))
        told["bytes"] = len(found.tensor.data)
        if len(found.tensor.data) <= _FEW_BYTES:
            told["values"] = tensors.numbers(found.tensor).tolist()
    else:
        told["width"], told["height"] = found.width, found.height
        told["orientation"] = found.orientation
        told["bytes"] = len(found.encoded)
    if found.HasField("target"):
        told["target"] = tensors.numbers(found.target).tolist()
    return told


def _object(item: Object, found: AnnotatedImage, titles: dict[str, str]) -> dict[str, Any]:
    plain: dict[str, Any] = {"label": item.label}
    if item.label in titles:
        plain["title"] = titles[item.label]
    # In pixels, as annotations have them.
    if item.HasField("box"):
        sides = {"xmin": found.width, "ymin": found.height, "xmax": found.width}
        sides["ymax"] = found.height
        plain["box"] = {side: _pixels(getattr(item.box, side), of) for side, of in sides.items()}
    flags = ("difficult", "truncated", "occluded", "crowd")
    plain.update({flag: True for flag in flags if getattr(item, flag)})
    if item.polygons:
        plain["polygons"] = [
            [
                [_pixels(x, found.width), _pixels(y, found.height)]
                for x, y in zip(polygon.x, polygon.y, strict=True)
            ]
            for polygon in item.polygons
        ]
    return plain


def _pixels(fraction: float, of: int) -> int | float:
    """Pixels, without the noise that a float32 has at the end."""
    rounded = round(fraction * of, 2)
    return int(rounded) if rounded.is_integer() else rounded


def _write_picture(found: AnnotatedImage, titles: dict[str, str], path: Path) -> None:
    import PIL.Image
    import PIL.ImageOps

    from tfstream import drawing
    from tfstream.storage import local

    if found.HasField("tensor"):
        raise errors.InvalidArgumentError(
            f"Record {found.key!r} holds a tensor and no image: leave --image {path} out."
        )
    if path.exists():
        raise errors.InvalidArgumentError(
            f"{path} exists already, and nothing is overwritten. Name another file for --image."
        )
    kind = PIL.Image.registered_extensions().get(path.suffix.lower())
    if kind not in PIL.Image.SAVE:
        raise errors.InvalidArgumentError(
            f"--image {path} has the extension {path.suffix!r}, for which there is no image "
            "format. Use .png or .jpg."
        )
    try:
        with PIL.Image.open(io.BytesIO(found.encoded)) as stored:
            # Others' records count as upright, whatever their images say.
            turned = PIL.ImageOps.exif_transpose(stored) if found.orientation != 1 else None
            upright = turned or stored
            picture = drawing.draw(upright, [_mark(item, titles) for item in found.objects])
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        raise errors.CorruptRecordError(
            f"The image of record {found.key!r} cannot be decoded: {error}."
        ) from error
    data = io.BytesIO()
    picture.save(data, format=kind, **({"quality": 92} if kind == "JPEG" else {}))
    local.create_exclusively(path, data.getvalue())


def _mark(item: Object, titles: dict[str, str]) -> Any:
    from tfstream import drawing

    # "tench, Tinca tinca": the first of the synonyms is enough to know it by.
    name = titles.get(item.label, item.label).split(",")[0]
    flags = [
        flag for flag in ("difficult", "truncated", "occluded", "crowd") if getattr(item, flag)
    ]
    box = item.box
    return drawing.Mark(
        label=item.label,
        caption=f"{name} ({', '.join(flags)})" if flags else name,
        box=(box.ymin, box.xmin, box.ymax, box.xmax) if item.HasField("box") else None,
        polygons=tuple(tuple(zip(polygon.x, polygon.y, strict=True)) for polygon in item.polygons),
    )
