"""What a dataset becomes for other frameworks than TensorFlow, which is not imported for it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from tfstream import streaming
from tfstream.errors import InvalidArgumentError
from tfstream.images import ImageSpec, Raw
from tfstream.position import Identity
from tfstream.records import Records

if TYPE_CHECKING:
    from tfstream.adapters.arrays import NumpyBatches
    from tfstream.adapters.recipe import Recipe
    from tfstream.adapters.torch import TorchDataset, TorchMapDataset
    from tfstream.position import Position

__all__ = ["Adapted"]


class Adapted(Records):
    """Records, and what makes samples of them."""

    def to_torch(
        self,
        *,
        batch_size: int = 32,
        image: ImageSpec | Raw | Literal["tensor", "pil"] | None = ImageSpec(size=(224, 224)),  # noqa: B008 (frozen)
        label: Literal["index", "one_hot", "multi_hot"] | None = "index",
        boxes: Literal["ragged"] | int | None = None,
        masks: Literal["instance", "semantic"] | None = None,
        keypoints: Sequence[str] | int | None = None,
        elements: Literal["tuple", "dict"] = "tuple",
        shuffle: bool = True,
        seed: int = 0,
        world: tuple[int, int] | None = None,
        lanes: int = 16,
        block_size: int | None = None,
        transform: Callable[..., Any] | None = None,
        drop_remainder: bool = False,
        on_corrupt: Literal["raise", "skip"] = "raise",
        read_ahead: int | str = "64MB",
        state: Mapping[str, Any] | None = None,
        map_style: bool = False,
    ) -> TorchDataset | TorchMapDataset:
        """A PyTorch dataset for `torch.utils.data.DataLoader`; TensorFlow is not imported.

        It gives the samples in the order of `stream` with the same arguments, each iteration the
        next epoch's, whatever the DataLoader's number of workers, started by fork or spawn. Images
        are decoded in the workers, by simplejpeg where it is installed, else by Pillow. Needs
        `pip install 'tfstream[torch]'`.

        Args:
            batch_size: That of the DataLoader: give it the same. Each worker makes whole batches,
                which the DataLoader takes from them in turn, so that there are the same
                batches in the same order with any number of workers. Samples come singly.
            image: An ImageSpec makes tensors [3, height, width], with the crops and flips of
                `stream`; "tensor": uint8 [3, height, width] at the picture's own size; "pil": a
                Pillow image; `tfstream.RAW`: the stored bytes; None: left out.
            label: As for `stream`: an int, or float32 [classes].
            boxes: As for `stream`: float32 [objects, 4] (ymin, xmin, ymax, xmax in 0..1).
            masks: As for `stream`; with "tensor" and "pil", of the picture's own size.
            keypoints: See there.
            elements: See there.
            shuffle: See there.
            seed: See there.
            world: (index, count) of the processes that share the dataset, not counting workers;
                None: the rank that torch.distributed has, or torchrun's environment names.
            lanes: As for `stream`.
            block_size: See there.
            transform: Called on each sample, in the worker, with its parts, or the dict.
            drop_remainder: Have every rank take len // (batch_size * ranks) whole batches.
            on_corrupt: "raise": CorruptRecordError names file, offset and key; "skip": that record
                alone is left out, with a warning.
            read_ahead: Of a remote dataset: what is fetched before it is asked for, over all
                workers, in bytes, or such as "64MB".
            state: Begin where a state was taken, as `load_state_dict` does.
            map_style: Make a dataset with `__getitem__` by number, in the dataset's own
                order, for samplers of your own.

        Raises:
            InvalidArgumentError: An argument is out of its range, or PyTorch is not installed.

        >>> train = data.to_torch(batch_size=32)                           # doctest: +SKIP
        >>> loader = DataLoader(train, batch_size=32, num_workers=4)       # doctest: +SKIP
        """
        try:
            import torch  # noqa: F401
        except ImportError as error:
            raise InvalidArgumentError(
                "to_torch needs PyTorch: pip install 'tfstream[torch]'"
            ) from error
        from tfstream.adapters import torch as torch_lib

        position = self._order(
            batch_size=batch_size,
            world=torch_lib.rank() if world is None else world,
            shuffle=shuffle,
            seed=seed,
            lanes=lanes,
            block_size=block_size,
            drop_remainder=drop_remainder,
        )
        recipe = self._recipe(
            image, label, boxes, masks, keypoints, elements, read_ahead, planes=True
        )
        skip_corrupt = _skips(on_corrupt)
        if not map_style:
            return torch_lib.TorchDataset(
                recipe, position.at(state), transform, skip_corrupt=skip_corrupt
            )
        if state is not None or skip_corrupt:
            raise InvalidArgumentError(
                "a map-style dataset has neither a state nor a place to leave out what is corrupt: "
                "its sampler chooses the samples (got "
                f"{'state' if state is not None else 'on_corrupt'} with map_style=True)"
            )
        return torch_lib.TorchMapDataset(recipe, position.order, transform)

    to_pytorch = to_torch

    def to_numpy_iterator(
        self,
        *,
        batch_size: int = 32,
        image: ImageSpec | Raw | None = ImageSpec(size=(224, 224)),  # noqa: B008 (frozen)
        label: Literal["index", "one_hot", "multi_hot"] | None = "index",
        boxes: Literal["ragged"] | int | None = None,
        masks: Literal["instance", "semantic"] | None = None,
        keypoints: Sequence[str] | int | None = None,
        elements: Literal["tuple", "dict"] = "tuple",
        shuffle: bool = True,
        seed: int = 0,
        world: tuple[int, int] = (0, 1),
        lanes: int = 16,
        block_size: int | None = None,
        transform: Callable[..., Any] | None = None,
        drop_remainder: bool = False,
        on_corrupt: Literal["raise", "skip"] = "raise",
        read_ahead: int | str = "64MB",
        state: Mapping[str, Any] | None = None,
        prefetch: int = 2,
        threads: int | None = None,
    ) -> NumpyBatches:
        """Batches of numpy arrays, for JAX or plain loops; TensorFlow is not imported.

        It gives the batches of `stream` with the same arguments, each iteration the next epoch's.
        Images are decoded in threads, by simplejpeg where it is installed, else by Pillow. `state`
        and `restore` are those of streams.

        Args:
            batch_size: As for `stream`, as all that follows up to `state`.
            image: See there.
            label: See there.
            boxes: See there; "ragged": a list of arrays.
            masks: See there.
            keypoints: See there.
            elements: See there.
            shuffle: See there.
            seed: See there.
            world: See there; for JAX, `(jax.process_index(), jax.process_count())`.
            lanes: See there.
            block_size: See there.
            transform: Called on each sample, in a thread, with its parts, or the dict.
            drop_remainder: See there.
            on_corrupt: See there; "raise": CorruptRecordError.
            read_ahead: See there.
            state: See there.
            prefetch: Batches that are made before they are asked for.
            threads: How many make samples; None: one a core.

        Raises:
            InvalidArgumentError: An argument is out of its range.

        >>> for images, labels in data.to_numpy_iterator(batch_size=64):   # doctest: +SKIP
        ...     state = train_step(state, images, labels)
        """
        from tfstream.adapters.arrays import NumpyBatches

        position = self._order(
            batch_size=batch_size,
            world=world,
            shuffle=shuffle,
            seed=seed,
            lanes=lanes,
            block_size=block_size,
            drop_remainder=drop_remainder,
        )
        return NumpyBatches(
            self._recipe(image, label, boxes, masks, keypoints, elements, read_ahead),
            position.at(state),
            transform=transform,
            skip_corrupt=_skips(on_corrupt),
            prefetch=prefetch,
            threads=threads,
        )

    def _order(self, *, batch_size: int, **arguments: Any) -> Position:
        """What the positions of the samples mean; goes to other processes without the dataset."""
        if isinstance(batch_size, bool) or not isinstance(batch_size, int):
            raise InvalidArgumentError(f"batch_size must be a positive number (got {batch_size!r})")
        position = streaming.position_of(
            self._version,
            self._splits,
            self._selection,
            what=self._named,
            batch_size=batch_size,
            pad_remainder=False,
            epochs=None,
            counted=True,
            **arguments,
        )
        known = functools.partial(Identity, **dataclasses.asdict(position.identity()))
        return dataclasses.replace(position, identity=known)

    def _recipe(
        self,
        image: Any,
        label: Any,
        boxes: Any,
        masks: Any,
        keypoints: Any,
        elements: Any,
        read_ahead: int | str,
        *,
        planes: bool = False,
    ) -> Recipe:
        from tfstream.adapters.recipe import recipe_of
        from tfstream.elements import ArrayElements, fitting

        version = self._version
        classes = version.labels.classes
        asked = fitting(
            version.contents,
            classes,
            image=image,
            label=label,
            boxes=boxes,
            masks=masks,
            keypoints=keypoints,
        )
        return recipe_of(
            self._version,
            self._splits,
            self._selection,
            self.stored,
            parts=ArrayElements(**asked, form=elements, planes=planes),
            read_ahead=read_ahead,
        )


def _skips(on_corrupt: str) -> bool:
    if on_corrupt not in ("raise", "skip"):
        raise InvalidArgumentError(f'on_corrupt must be "raise" or "skip" (got {on_corrupt!r})')
    return on_corrupt == "skip"
