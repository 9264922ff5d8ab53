"""What a record will hold: the bytes of an image file, or the numbers of a tensor."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from tfstream.annotations import npy_file
from tfstream.errors import AnnotationError, InvalidArgumentError, StorageError
from tfstream.format import tensors
from tfstream.format.tensors import IMAGES, Contents, TensorSpec
from tfstream.packing.images import ImageFacts, probe
from tfstream.packing.options import Options
from tfstream.v1 import annotated_image_pb2

__all__ = ["Kind", "facts", "put_file", "stored_bytes"]


def facts(image: annotated_image_pb2.AnnotatedImage, options: Options) -> ImageFacts:
    """Looks at what a record will hold, as little as possible.

    Args:
        image: As an annotation reader gave it.
        options: How to pack.

    Raises:
        FileNotFoundError: Its file is not there.
        AnnotationError: It cannot be packed.
        InvalidArgumentError: It is a tensor, and images are to be re-encoded.
        StorageError: It cannot be read.
    """
    contents = Contents.of(image)
    for what, spec in (("tensor", contents.tensor), ("target", contents.target)):
        why = None if spec is None else tensors.fault(spec)
        if why:
            raise AnnotationError(f"its {what} cannot be stored: {why}")
    if contents.target is not None and len(image.target.data) != contents.target.size:
        raise _short("target", image.target)
    if contents.tensor is None:
        return probe(image.image_path)
    if options.reencodes:
        raise InvalidArgumentError(
            "max_side and quality (--max-side, --quality) are about images, and "
            f"{image.key!r} holds a tensor, {contents.tensor}: leave them out."
        )
    if image.encoded:
        raise AnnotationError(f"{image.key!r} has both a tensor and an encoded image: keep one")
    size, changed = len(image.tensor.data), 0
    if size:
        if size != contents.tensor.size:
            raise _short("tensor", image.tensor)
    else:
        status = _stat(image.image_path)
        size, changed = status.st_size, status.st_mtime_ns
    return ImageFacts(tensors.FORMAT, 0, 0, 1, size, changed)


def stored_bytes(image: annotated_image_pb2.AnnotatedImage, found: ImageFacts) -> int:
    """Bytes that an image file or a tensor takes in its record."""
    return TensorSpec.of(image.tensor).size if image.HasField("tensor") else found.bytes


def put_file(image: annotated_image_pb2.AnnotatedImage, data: bytes) -> None:
    """Puts the array of a `.npy` file into a record that waits for it.

    Raises:
        AnnotationError: It is not what it was when it was looked at.
    """
    spec, numbers = npy_file.body(image.image_path, data)
    if spec != TensorSpec.of(image.tensor):
        raise AnnotationError(
            f"{image.image_path} holds {spec}, and held {TensorSpec.of(image.tensor)} before."
        )
    image.tensor.data = numbers


class Kind:
    """What the records of a dataset hold while they are being found: all the same."""

    def __init__(self, known: Contents | None, origin: str = "") -> None:
        """Begins.

        Args:
            known: What records of the dataset hold already; None: there are none.
            origin: Where that is from, as a message says it.
        """
        self.contents = known
        self._origin = origin

    def problem(self, found: Contents, key: str) -> str | None:
        """Takes in what a record holds; what forbids it, if anything does."""
        if self.contents is None:
            self.contents, self._origin = found, f"the record {key!r}"
        if _bare(found) == _bare(self.contents):
            return None
        return (
            f"it holds {found}, and {self._origin} holds {self.contents}: all records of a dataset "
            "hold the same, or they could not be batched"
        )

    def take(self, found: Mapping[Contents, str]) -> bool:
        """Takes in what some records hold, each with the key of the first; whether all may."""
        problems = [self.problem(each, key) for each, key in found.items()]
        return not any(problems)

    def finish(self, tensor: Sequence[str], target: Sequence[str]) -> Contents:
        """What all records hold.

        Args:
            tensor: What the columns of the tensors are, where the source says so.
            target: Those of the targets.

        Raises:
            InvalidArgumentError: The dataset has others already.
        """
        known = self.contents or IMAGES
        for spec, names in ((known.tensor, tuple(tensor)), (known.target, tuple(target))):
            if spec is not None and spec.names and names and spec.names != names:
                raise InvalidArgumentError(
                    f"{self._origin} has the columns {', '.join(spec.names)}, in this order, and "
                    f"here they are {', '.join(names)}: numbers would change their meaning."
                )
        return known.named(tensor, target)


def _bare(contents: Contents) -> Contents:
    """Without the names of columns, which records do not hold."""
    return Contents(
        *(
            spec and TensorSpec(spec.dtype, spec.shape)
            for spec in (contents.tensor, contents.target)
        )
    )


def _short(what: str, tensor: annotated_image_pb2.Tensor) -> AnnotationError:
    spec = TensorSpec.of(tensor)
    return AnnotationError(
        f"its {what} is {spec}, of {spec.size:,} bytes, and has {len(tensor.data):,}"
    )


def _stat(path: str) -> os.stat_result:
    try:
        return os.stat(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageError(error.errno, f"Cannot read {path}: {error.strerror}.") from error
