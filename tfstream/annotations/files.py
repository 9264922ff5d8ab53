"""The image files of a tree whose annotations name them, and the names that annotations may use."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator

from tfstream.annotations import sidecars
from tfstream.annotations.tree import IMAGE_EXTENSIONS, list_directory
from tfstream.errors import AnnotationError

__all__ = ["ImageFiles", "directory_of_images", "files_below", "is_image", "key_of", "split_in"]

_SPLITS = {
    "training": "train",
    "train": "train",
    "validation": "val",
    "valid": "val",
    "val": "val",
    "dev": "val",
    "testing": "test",
    "test": "test",
}
_WORDS = re.compile(r"[A-Za-z]+")


def is_image(name: str) -> bool:
    """Whether a file is an image by its extension."""
    return os.path.splitext(name)[1].lower() in IMAGE_EXTENSIONS


def key_of(path: str) -> str:
    """The key of an image at a path below the images' root.

    >>> key_of("./images/train/a.b.jpg")
    'train/a.b'
    """
    path = os.path.normpath(path).replace(os.sep, "/").removeprefix("images/")
    return os.path.splitext(path)[0] if is_image(path) else path


def split_in(name: str) -> str | None:
    """The split that a name speaks of: "train", "val" or "test"; None: of none.

    >>> split_in("instances_train2017"), split_in("valid"), split_in("training_data"), split_in("x")
    ('train', 'val', 'train', None)
    """
    found = [_SPLITS[word] for word in _WORDS.findall(name.lower()) if word in _SPLITS]
    return found[-1] if found else None


def files_below(root: str) -> Iterator[tuple[str, list[str]]]:
    """(directory below `root` with "/" at its end, files) of a tree, always in the same order.

    Raises:
        AnnotationError: A link leads back to a directory that it lies in.
        StorageError: A directory cannot be listed.
    """
    waiting = [("", frozenset([os.path.realpath(root)]), os.path.realpath(root))]
    while waiting:
        below, above, real = waiting.pop()
        files, directories = list_directory(os.path.join(root, below))
        yield below, files
        for name in reversed(directories):
            path = os.path.join(root, below, name)
            target = os.path.realpath(path) if os.path.islink(path) else os.path.join(real, name)
            if target in above:
                raise AnnotationError(
                    f"{path} leads back to {target}, which it lies in, by a link: a tree without "
                    "end. Remove the link."
                )
            waiting.append((f"{below}{name}/", above | {target}, target))


def directory_of_images(candidates: Iterable[str]) -> str | None:
    """The first of some directories that holds images, itself or one or two levels below."""
    for directory in candidates:
        for below, files in files_below(directory) if os.path.isdir(directory) else ():
            if any(map(is_image, files)):
                return directory
            if below.count("/") > 2:
                break
    return None


class ImageFiles:
    """The images below a directory, by the names that annotations give them."""

    def __init__(self, root: str) -> None:
        """Lists them.

        Args:
            root: The directory; one that is not there is empty.

        Raises:
            AnnotationError: A link leads back to a directory that it lies in.
            StorageError: A directory cannot be listed.
        """
        self.root = root
        self._seen: dict[str, bool] = {}
        self._sidecars: dict[str, frozenset[str]] = {}
        for below, files in files_below(root):
            for name in files:
                if is_image(name):
                    self._seen[below + name] = False
            if beside := sidecars.names_among(files):
                self._sidecars[below.rstrip("/")] = beside
        self._stems: dict[str, str] | None = None

    def __iter__(self) -> Iterator[str]:
        """The paths below the root, with "/" between their parts."""
        return iter(self._seen)

    def find(self, name: str, *, stem: bool = False) -> str | None:
        """The image that an annotation names, as a path below the root; None: it is not there.

        Where no file has the very name, one counts that differs in its extension alone.

        Args:
            name: A path below the root, or one that begins with the root's own last parts; or
                an absolute one.
            stem: Whether the name is without extension.

        Raises:
            AnnotationError: The name leads out of the root.
        """
        tail = self.inside(name)
        found = tail if tail in self._seen else None
        if found is None:
            if self._stems is None:
                self._stems = {}
                for path in reversed(self._seen):
                    self._stems[os.path.splitext(path)[0]] = path
            found = self._stems.get(tail if stem or not is_image(tail) else tail.rpartition(".")[0])
        if found is not None:
            self._seen[found] = True
        return found

    def inside(self, name: str) -> str:
        """A name that an annotation uses, as a path below the root.

        Raises:
            AnnotationError: The name leads out of the root.
        """
        plain = name.replace("\\", "/")
        root = os.path.abspath(self.root).replace(os.sep, "/")
        if plain.startswith("/"):
            inner = os.path.normpath(plain)
            if not inner.startswith(f"{root}/"):
                raise AnnotationError(
                    f"the image path {name!r} leads out of {self.root}: name images by their paths "
                    "below it"
                )
            return inner[len(root) + 1 :]
        inner = os.path.normpath(plain) if plain else ""
        if inner in ("", ".") or inner.startswith("../") or inner == "..":
            raise AnnotationError(
                f"the image path {name!r} leads out of {self.root}: name images by their paths "
                "below it"
            )
        if inner in self._seen:
            return inner
        parts = inner.split("/")
        for count in range(len(parts) - 1, 0, -1):  # "train/a.jpg" where the root is ".../train"
            shorter = "/".join(parts[count:])
            if root.endswith("/" + "/".join(parts[:count])) and shorter in self._seen:
                return shorter
        return inner

    def sidecars(self, path: str) -> tuple[str, ...]:
        """The files of metadata that may speak of an image, by its path below the root."""
        below, _, name = path.rpartition("/")
        beside = self._sidecars.get(below)
        if not beside:
            return ()
        return sidecars.select(os.path.join(self.root, below), beside, [name])

    @property
    def unnamed(self) -> int:
        """How many images nobody has asked for."""
        return sum(not seen for seen in self._seen.values())
