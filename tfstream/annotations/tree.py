"""Walking image trees: where a format's tree lies, and which image belongs to which annotation."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tfstream.annotations import sidecars
from tfstream.errors import AnnotationError, StorageError

__all__ = ["IMAGE_EXTENSIONS", "Pair", "find_trees", "list_directory", "pick_images", "walk_pairs"]

# In the order of preference where several images share a stem.
IMAGE_EXTENSIONS = (".jpeg", ".jpg", ".png", ".bmp", ".gif", ".webp")
_DEPTH = 3


class Pair(NamedTuple):
    """What lies under one stem: `stem` is relative to both roots, "/" between the parts.

    `sidecars` are files of metadata; of two that name one column, the later counts.
    """

    stem: str
    annotation_path: str | None
    image_path: str | None
    sidecars: tuple[str, ...] = ()


def find_trees(source: str, is_tree: Callable[[str], bool]) -> list[str]:
    """The directories at `source`, or up to three levels below it, that `is_tree` accepts.

    The search ends at the first level that has any: what lies inside a tree is not another one.
    """
    level = [source] if os.path.isdir(source) else []
    for depth in range(_DEPTH + 1):
        found = [directory for directory in level if is_tree(directory)]
        if found:
            return sorted(found)
        if depth < _DEPTH:
            level = [os.path.join(d, name) for d in level for name in list_directory(d)[1]]
    return []


def list_directory(path: str) -> tuple[list[str], list[str]]:
    """(files, directories) in a directory, sorted by name.

    Hidden ones are left out, and what is neither: to read a pipe is to wait for ever. A directory
    that is not there is empty: one of two parallel trees may lack it.

    Raises:
        StorageError: It cannot be listed.
    """
    files: list[str] = []
    directories: list[str] = []
    try:
        with os.scandir(path) as found:
            for item in found:
                name = item.name
                # ".DS_Store", and the "._name.xml" that macOS leaves in archives
                if name.startswith("."):
                    continue
                try:
                    # Most are what the listing itself says: no more is asked then.
                    if item.is_file(follow_symlinks=False):
                        files.append(name)
                    elif item.is_dir():
                        directories.append(name)
                    elif item.is_file() or (item.is_symlink() and not os.path.exists(item.path)):
                        files.append(name)  # a link to nothing, too: whoever reads it will say so
                except OSError:  # a link to itself: the same
                    files.append(name)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise StorageError(error.errno, f"Cannot list {path}: {error.strerror}.") from error
    return sorted(files), sorted(directories)


def pick_images(files: list[str]) -> dict[str, str]:
    """Stem to file name, for the files that are images by their extension."""
    best: dict[str, tuple[int, str]] = {}
    for name in files:
        stem, extension = os.path.splitext(name)
        if extension.lower() in IMAGE_EXTENSIONS:
            rank = (IMAGE_EXTENSIONS.index(extension.lower()), name)
            if stem not in best or rank < best[stem]:
                best[stem] = rank
    return {stem: name for stem, (_, name) in best.items()}


def walk_pairs(annotations: str, images: str, below: str = "") -> Iterator[Pair]:
    """Walks two parallel trees at once, and pairs XML files with images by relative path.

    Lazy (one directory's names in memory), and always in the same order.
    """
    annotation_directory = os.path.join(annotations, below)
    image_directory = os.path.join(images, below)
    annotation_files, annotation_subs = list_directory(annotation_directory)
    image_files, image_subs = list_directory(image_directory)
    xml = {}
    for name in annotation_files:
        stem, dot, extension = name.rpartition(".")
        if dot and extension.lower() == "xml":
            xml[stem] = name
    pictures = pick_images(image_files)
    beside_xml = sidecars.names_among(annotation_files)
    beside_pictures = sidecars.names_among(image_files)
    prefix = f"{below}/" if below else ""
    # The directories with a "/" behind them: there may be millions of files.
    annotation_prefix = os.path.join(annotation_directory, "")
    image_prefix = os.path.join(image_directory, "")
    for stem in sorted(xml.keys() | pictures.keys()):
        note, picture = xml.get(stem), pictures.get(stem)
        beside: tuple[str, ...] = ()
        if beside_xml or beside_pictures:
            names = [name for name in (note, picture) if name is not None]
            beside = sidecars.select(annotation_directory, beside_xml, names)
            beside += sidecars.select(image_directory, beside_pictures, names[-1:])
        yield Pair(
            stem=prefix + stem,
            annotation_path=None if note is None else annotation_prefix + note,
            image_path=None if picture is None else image_prefix + picture,
            sidecars=beside,
        )
    for sub in sorted({*annotation_subs, *image_subs}):
        for directory in (annotation_directory, image_directory):
            _refuse_loop(os.path.join(directory, sub))
        yield from walk_pairs(annotations, images, prefix + sub)


def _refuse_loop(path: str) -> None:
    """A link to a directory that it lies in would make a tree without end."""
    if os.path.islink(path):
        target = os.path.realpath(path)
        above = os.path.realpath(os.path.dirname(path))
        if os.path.commonpath([target, above]) == target:
            raise AnnotationError(
                f"{path} leads back to {target}, which it lies in, by a link: a tree without end. "
                "Remove the link."
            )
