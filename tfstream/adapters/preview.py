"""A few samples of a stream as pictures: what the model is about to see."""

from __future__ import annotations

import dataclasses
import io
from typing import TYPE_CHECKING, Any

from tfstream import stream as stream_lib
from tfstream.drawing import Mark, draw

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tfstream.stream import Recipe, StreamDataset

__all__ = ["Preview", "preview_of"]


class Preview:
    """Makes the first samples of any state of a stream anew, and draws them with their boxes.

    Args:
        samples: A stream of them, as large as the pictures are many.
        names: Of labels.
    """

    def __init__(self, samples: StreamDataset, names: tuple[str, ...]) -> None:
        self._samples = samples
        self._names = names

    def pictures(self, state: dict[str, Any]) -> list[bytes]:
        """PNG files of the samples that come next.

        Args:
            state: Of the stream.
        """
        self._samples.restore(state)
        for batch in self._samples.take(1):
            return [
                self._draw(image, boxes.numpy(), labels.numpy().tolist())
                for image, boxes, labels in zip(
                    batch["image"].numpy(), batch["boxes"], batch["box_labels"], strict=True
                )
            ]
        return []

    def _draw(
        self, image: npt.NDArray[np.uint8], boxes: npt.NDArray[np.float32], labels: list[int]
    ) -> bytes:
        from PIL import Image

        names = [self._names[label] for label in labels]
        marks = [
            Mark(label=name, caption=name, box=tuple(box))
            for name, box in zip(names, boxes.tolist(), strict=True)
        ]
        drawn = draw(Image.fromarray(image), marks, labels=self._names)
        file = io.BytesIO()
        drawn.save(file, "PNG")
        return file.getvalue()


def preview_of(recipe: Recipe, count: int) -> Preview | None:
    """What shows the samples of a stream; None: they have no picture, or others make them.

    The pictures have the crops and flips of the samples, in grey levels of 0 to 255 whatever the
    model gets.

    Args:
        recipe: Of the stream.
        count: Pictures at a time.
    """
    spec, position = recipe.elements.spec, recipe.position
    plain = recipe.points is None and recipe.service is None and position.counted
    if spec is None or not plain or not count:
        return None
    share = dataclasses.replace(
        position.share, batch_size=count, drop_remainder=False, pad_remainder=False
    )
    elements = dataclasses.replace(
        recipe.elements,
        image=dataclasses.replace(spec, dtype="uint8", normalize=None),
        label=None,
        boxes="ragged",
        form="dict",
        weight=False,
    )
    samples = stream_lib.build(
        dataclasses.replace(
            recipe,
            elements=elements,
            position=dataclasses.replace(position, share=share),
            transform=None,
            log_every=None,
        )
    )
    return Preview(samples, recipe.labels.names)
