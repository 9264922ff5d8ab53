"""Samples by number for Keras's data generator: of `.npy` files, or of packed records."""

from __future__ import annotations

import dataclasses
import errno
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tfstream.annotations import npy_file
from tfstream.annotations.npy import file_of
from tfstream.errors import (
    AnnotationError,
    InvalidArgumentError,
    MissingImageError,
    StorageError,
)
from tfstream.format.tensors import TensorSpec
from tfstream.images import ImageSpec
from tfstream.order import Order
from tfstream.storage.read import read_file

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.adapters.recipe import Recipe
    from tfstream.dataset import PackedDataset

    Integers = npt.NDArray[np.int64]

__all__ = ["FileSamples", "PackedSamples", "Samples"]


class Samples(Protocol):
    """What a generator takes its batches from; goes to other processes."""

    @property
    def spec(self) -> TensorSpec:
        """Type and shape of the arrays."""
        ...

    @property
    def classes(self) -> int:
        """How many there are, at least."""
        ...

    def __len__(self) -> int: ...

    def read(self, numbers: Integers) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Arrays [n, *spec.shape], and their classes int64 [n], or targets float [n, ...]."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class FileSamples:
    """Arrays in files `ID.npy`.

    Attributes:
        paths: Of the files.
        labels: int64 [n], their classes.
        spec: Type and shape, of the first.
    """

    paths: tuple[str, ...]
    labels: Integers
    spec: TensorSpec

    @classmethod
    def of(
        cls,
        ids: Iterable[str],
        labels: Mapping[str, int] | None,
        directory: str | os.PathLike[str],
    ) -> FileSamples:
        """Those of some ids.

        Raises:
            InvalidArgumentError: An id has no label, is there twice, or leads out of the directory.
            MissingImageError: The first array is not there.
            AnnotationError: It is no array of numbers.
        """
        listed = tuple(ids)
        if not listed or not isinstance(labels, Mapping):
            raise InvalidArgumentError(
                "a DataGenerator needs ids and the labels of them, {id: class}; or a packed "
                f"dataset (got {len(listed)} ids, and labels={labels!r:.60})"
            )
        paths: dict[str, str] = {}
        classes = []
        for name in listed:
            path = file_of(os.fspath(directory), name) if isinstance(name, str) else None
            if path is None:
                raise InvalidArgumentError(
                    f"the id {name!r:.80} is no path below {os.fspath(directory)}"
                )
            if name in paths:
                raise InvalidArgumentError(f"the id {name!r} is there twice: it would count double")
            label = labels.get(name)
            if not isinstance(label, int | np.integer) or isinstance(label, bool) or label < 0:
                raise InvalidArgumentError(
                    f"the id {name!r} has no label: labels has {label!r:.60} for it, where a "
                    "number from 0 belongs"
                )
            paths[name] = path
            classes.append(int(label))
        first = next(iter(paths.values()))
        try:
            spec = npy_file.header(first).spec
        except FileNotFoundError as error:
            raise _missing(first) from error
        return cls(tuple(paths.values()), np.array(classes, np.int64), spec)

    @property
    def classes(self) -> int:
        """One more than the highest."""
        return int(self.labels.max()) + 1

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, numbers: Integers) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Reads the files, none of which is ever unpickled."""
        spec = self.spec
        out = np.empty((len(numbers), *spec.shape), spec.dtype)
        for place, number in enumerate(numbers.tolist()):
            path = self.paths[number]
            try:
                found, data = npy_file.body(path, read_file(path))
            except StorageError as error:
                raise _missing(path) if error.errno == errno.ENOENT else error from error
            if found != spec:
                raise AnnotationError(
                    f"{path} holds {found}, and {self.paths[0]} holds {spec}: arrays of a set "
                    "have one type and one shape."
                )
            out[place] = spec.array(data)
        return out, self.labels[numbers]


@dataclasses.dataclass(frozen=True, eq=False)
class PackedSamples:
    """Tensors of a packed dataset, or its images.

    Attributes:
        recipe: How they are read.
        order: The dataset's own.
        name: "tensor" or "image".
        spec: Type and shape.
        classes: Of the dataset, with the background; 0: its targets are numbers.
    """

    recipe: Recipe
    order: Order
    name: str
    spec: TensorSpec
    classes: int

    @classmethod
    def of(cls, data: PackedDataset, dim: tuple[int, ...] | None, n_channels: int) -> PackedSamples:
        """Those of a dataset.

        Args:
            data: The dataset.
            dim: Of images: height and width, to which they are resized.
            n_channels: Of images: 3.

        Raises:
            InvalidArgumentError: Its records hold images and no size is given, have nothing to
                predict, or are none.
        """
        batches = data.to_numpy_iterator(batch_size=1, shuffle=False)
        tensors = batches.recipe.parts.tensors
        name = "tensor" if "tensor" in tensors else "image"
        if name == "tensor":
            spec = tensors[name]
        else:
            if dim is None or len(dim) != 2 or n_channels != 3:
                raise InvalidArgumentError(
                    f"{data!r} holds images, of sizes of their own: give dim=(height, width), to "
                    f"which they are resized, and n_channels=3 (got {dim!r} and {n_channels!r})"
                )
            image = ImageSpec(size=(dim[0], dim[1]))
            batches = data.to_numpy_iterator(batch_size=1, shuffle=False, image=image)
            spec = TensorSpec("uint8", (*image.size, 3))
        recipe, order = batches.recipe, batches.position.order
        if recipe.parts.label is None and "target" not in tensors:
            raise InvalidArgumentError(f"{data!r} has neither classes nor targets to predict")
        classes = 0 if "target" in tensors else data.labels.classes
        return cls(recipe, order, name, spec, classes)

    def __len__(self) -> int:
        return self.order.records

    def read(self, numbers: Integers) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Reads records, their checksums checked."""
        reads = self.recipe.read(self.order, 0, iter([numbers]), skip_corrupt=False)
        made = [self.recipe.make(read) for read in reads]
        predicted = "target" if "target" in self.recipe.parts.tensors else "label"
        arrays, wanted = ([each[name] for each in made if each] for name in (self.name, predicted))
        return np.stack(arrays), np.stack(wanted)


def _missing(path: str) -> MissingImageError:
    return MissingImageError(
        f"There is no {path}: name the directory of the files with directory=…."
    )
