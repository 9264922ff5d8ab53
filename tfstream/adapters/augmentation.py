"""Keras's image augmentation layers on the dicts of a stream, everything of objects following."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

from tfstream.errors import InvalidArgumentError

__all__ = ["Augment"]

# Keras's own (left, top, right, bottom) in pixels: the one layout that all its layers keep to.
_LAYOUT = "xyxy"

# Pixels: of a box that is outside, rounding may leave less.
_LEAST = 1e-3

# Layers whose masks are not tried, or which mix pictures; and those whose boxes are wrong besides.
_WITHOUT_MASKS = frozenset({"AugMix", "CutMix", "MixUp", "RandAugment", "RandomElasticTransform"})
_WITHOUT_BOXES = _WITHOUT_MASKS | {"RandomCrop", "RandomShear"}


class Augment:
    """Applies Keras's image augmentation layers to a stream's dicts: `transform=Augment(...)`.

    Boxes, masks, label maps and keypoints of the dict follow. What left the image is dropped as
    streams drop it: padding behind the boxes that are left, keypoints that are zeros, -1 in label
    maps. What is random is drawn from the dict's `seed`, so that a sample is augmented the same
    way on any machine, by any worker, in any batch, and after a restart, and another way in the
    next epoch.

    It takes single samples, and batches with boxes of one length (of which each image is augmented
    in its own way, all by the seed of the first). Images keep their type; layers that look at
    values need its range, `value_range=(0, 255)`, where that is not their default.

    Args:
        layers: Keras layers, of Keras 3.8 or newer, applied in this order. Where there are boxes,
            layers without a `bounding_box_format` are given "xyxy".

    Raises:
        InvalidArgumentError: A layer is none of those, or Keras's backend not TensorFlow; the dict
            has boxes or masks, and those of a layer do not follow; it has no image or seed.

    >>> augment = Augment(keras.layers.RandomRotation(0.1, fill_mode="constant"))
    >>> sample = {"image": tf.ones([8, 8, 3]), "seed": tf.constant([3, 4]),
    ...           "boxes": tf.constant([[0.0, 0.0, 0.5, 0.5]]), "box_labels": tf.constant([1])}
    >>> sorted(tf.function(augment)(sample))
    ['box_labels', 'boxes', 'image', 'seed']
    """

    def __init__(self, *layers: Any) -> None:
        self._layers = tuple(_flat(layers))
        if not self._layers:
            raise InvalidArgumentError("Augment has no layers: give it some of Keras's")
        backend = keras.backend.backend()
        if backend != "tensorflow":
            raise InvalidArgumentError(
                f"Augment needs Keras's TensorFlow backend (this is {backend}), on others Keras's "
                "layers take no boxes within tf.data: set KERAS_BACKEND=tensorflow, or make "
                "the layers the model's first ones"
            )
        for layer in self._layers:
            if not hasattr(layer, "transform_images"):
                raise InvalidArgumentError(
                    f"{type(layer).__name__} is none of Keras's image augmentation layers, which "
                    f"take images with their boxes since Keras 3.8 (this is {keras.__version__})"
                )

    # Converted, it would wrap each of its errors in another one that shows the code.
    @tf.autograph.experimental.do_not_convert
    def __call__(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """Augments a sample, or a batch.

        Args:
            sample: With `image` [(batch,) height, width, 3], `seed` int32 [(batch,) 2], and what
                there is of `boxes`, `box_labels`, `masks` and `keypoints`, as streams have it. A
                `label` that is no number ("one_hot", "multi_hot") is given to the layers as well.

        Returns:
            The same, augmented; anything else as it was. The `seed` is another one, for the next.
        """
        _check(sample, self._layers)
        before = sample["image"]
        seed = sample["seed"]
        data = _to_keras(sample)
        visible = None
        if "keypoints" in sample:
            data["points"], visible = _points_of(sample)
        with _Seeds(seed[0] if before.shape.rank == 4 else seed):
            for layer in self._layers:
                data, visible = _apply(layer, data, visible)
        out = {**sample, "image": _as_type(data["images"], before.dtype)}
        out["seed"] = seed + tf.constant([0, 1], seed.dtype)
        if "labels" in data:
            out["label"] = tf.cast(data["labels"], sample["label"].dtype)
        if "boxes" in sample:
            out |= _objects(sample, data, visible)
        elif "masks" in sample:
            out["masks"] = _label_map(data["segmentation_masks"][..., 0])
        return out


class _Seeds(keras.StatelessScope):
    """In which each random number that layers draw follows from a seed and how many came before."""

    def __init__(self, seed: tf.Tensor) -> None:
        super().__init__()
        self._seed = tf.cast(seed, tf.int64)
        self._drawn = 0

    def get_current_value(self, variable: Any) -> Any:
        """In the place of the state of a layer's generator; of other variables their own value."""
        if not variable.path.endswith("seed_generator_state"):
            return None
        self._drawn += 1
        return tf.cast(self._seed + tf.constant([self._drawn, 0], tf.int64), variable.dtype)

    def add_update(self, update: Any) -> None:
        """Generators do not go on from one sample to the next."""


def _flat(layers: tuple[Any, ...]) -> Iterator[Any]:
    """The layers, and those of `keras.layers.Pipeline`s."""
    for layer in layers:
        inner = getattr(layer, "layers", None)
        yield from (layer,) if inner is None else _flat(tuple(inner))


def _check(sample: Mapping[str, Any], layers: tuple[Any, ...]) -> None:
    """Refuses what would give a wrong sample."""
    told = sorted(sample) if isinstance(sample, Mapping) else type(sample).__name__
    if not {"image", "seed"} <= set(told) or sample["image"].dtype == tf.string:
        raise InvalidArgumentError(
            'Augment takes the dicts of stream(elements="dict"), with a decoded image and a seed '
            f"(got {told})"
        )
    if any(isinstance(value, tf.RaggedTensor) for value in sample.values()):
        raise InvalidArgumentError(
            "Augment takes no ragged batches: give it to the stream as transform=, which is called "
            "before samples are batched, or ask for boxes=20"
        )
    for layer in layers:
        name = type(layer).__name__
        for what, unfit in (("boxes", _WITHOUT_BOXES), ("masks", _WITHOUT_MASKS)):
            if what in sample and name in unfit:
                raise InvalidArgumentError(
                    f"Keras's {name} gives {what} that are not where its picture shows the "
                    f"objects: leave out the layer, or the stream's {what}"
                )
        if "boxes" not in sample:
            continue
        if layer.bounding_box_format is None:
            layer.bounding_box_format = _LAYOUT
        if layer.bounding_box_format != _LAYOUT:
            raise InvalidArgumentError(
                f"{name} has bounding_box_format={layer.bounding_box_format!r}, in which not all "
                f'of Keras\'s layers give boxes back: leave it out, or say "{_LAYOUT}"'
            )


def _to_keras(sample: Mapping[str, Any]) -> dict[str, Any]:
    """What Keras's layers take: tensors of one type, boxes in pixels, masks as channels.

    Objects are negative in masks, so that no `fill_value` of a layer, 0 to 255, is taken for one.
    """
    image = sample["image"]
    data = {"images": tf.cast(image, tf.float32)}
    label = sample.get("label")
    if label is not None and label.dtype.is_floating:
        data["labels"] = label
    if "boxes" in sample:
        top, left, bottom, right = tf.unstack(sample["boxes"], axis=-1)
        data["boxes"] = _in_pixels(tf.stack([left, top, right, bottom], axis=-1), image)
        data["box_labels"] = tf.cast(sample["box_labels"], tf.float32)
    if "masks" in sample:
        masks = sample["masks"]
        if masks.shape.rank == image.shape.rank - 1:  # a label map
            data["segmentation_masks"] = -2.0 - tf.cast(masks, tf.float32)[..., tf.newaxis]
        else:
            axes = range(masks.shape.rank)
            order = [*axes[:-3], axes[-2], axes[-1], axes[-3]]
            masks = -tf.cast(tf.transpose(masks, order), tf.float32)
            one_more = tf.zeros_like(data["images"][..., :1])  # or there might be none
            data["segmentation_masks"] = tf.concat([masks, one_more], axis=-1)
    return data


def _points_of(sample: Mapping[str, Any]) -> tuple[tf.Tensor, tf.Tensor]:
    """Keypoints as boxes without any extent, float32 [..., points, 4], and which are visible."""
    points = sample["keypoints"]
    flat = tf.reshape(points, tf.concat([tf.shape(points)[:-3], [-1, 3]], 0))
    y, x, visibility = tf.unstack(flat, axis=-1)
    return _in_pixels(tf.stack([x, y, x, y], axis=-1), sample["image"]), visibility > 0


def _in_pixels(values: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
    """Fractions (x, y, x, y) of an image in its pixels."""
    return values * _sides(image)


def _sides(image: tf.Tensor) -> tf.Tensor:
    """(width, height, width, height), float32."""
    shape = tf.shape(image)
    return tf.cast(tf.stack([shape[-2], shape[-3]] * 2), tf.float32)


def _apply(
    layer: Any, data: dict[str, Any], visible: tf.Tensor | None
) -> tuple[dict[str, Any], tf.Tensor | None]:
    """One layer's work; points that leave the image are not visible from then on."""
    given = {n: v for n, v in data.items() if n in ("images", "labels", "segmentation_masks")}
    count = 0
    if "boxes" in data:
        boxes, labels = data["boxes"], data["box_labels"]
        count = tf.shape(boxes)[-2]
        if "points" in data:
            boxes = tf.concat([boxes, data["points"]], axis=-2)
            labels = tf.concat([labels, tf.zeros_like(data["points"][..., 0])], axis=-1)
        given["bounding_boxes"] = {"boxes": boxes, "labels": labels}
    out = layer(given, training=True)
    if "boxes" in data:
        found = out.pop("bounding_boxes")
        boxes, labels = found["boxes"], found["labels"]
        out["boxes"], out["box_labels"] = boxes[..., :count, :], labels[..., :count]
        if "points" in data:
            out["points"] = boxes[..., count:, :]
            places, sides = out["points"][..., :2], _sides(out["images"])[:2]
            visible &= tf.reduce_all((places > 0) & (places < sides), axis=-1)
    return out, visible


def _objects(
    sample: Mapping[str, Any], data: dict[str, Any], visible: tf.Tensor | None
) -> dict[str, Any]:
    """The parts of an element that objects have; those that are left, and padding behind them."""
    left, top, right, bottom = tf.unstack(data["boxes"] / _sides(data["images"]), axis=-1)
    boxes = tf.clip_by_value(tf.stack([top, left, bottom, right], axis=-1), 0.0, 1.0)
    extent = (boxes[..., 2:] - boxes[..., :2]) * _sides(data["images"])[1::-1]
    keep = (data["box_labels"] >= 0) & tf.reduce_all(extent > _LEAST, axis=-1)
    out: dict[str, Any] = {"boxes": boxes, "box_labels": sample["box_labels"]}
    if "keypoints" in sample:
        points = sample["keypoints"]
        places = (data["points"] / _sides(data["images"]))[..., 1::-1]
        drawn = tf.reshape(places, tf.concat([tf.shape(points)[:-1], [2]], 0))
        shown = tf.reshape(visible, tf.shape(points)[:-1])[..., tf.newaxis]
        moved = tf.concat([drawn, points[..., 2:]], axis=-1)
        out["keypoints"] = tf.where(shown, moved, tf.zeros_like(moved))
    if "masks" in sample:
        masks = data["segmentation_masks"]
        if masks.shape.rank == sample["masks"].shape.rank:  # one for each box
            masks = tf.cast(masks[..., :-1] < -0.5, sample["masks"].dtype)
            axes = range(masks.shape.rank)
            out["masks"] = tf.transpose(masks, [*axes[:-3], axes[-1], axes[-3], axes[-2]])
    order = tf.argsort(tf.cast(~keep, tf.int32), axis=-1, stable=True)
    keep = tf.gather(keep, order, batch_dims=order.shape.rank - 1)
    padded = sample["boxes"].shape[-2]
    for name, value in out.items():
        value = tf.gather(value, order, batch_dims=order.shape.rank - 1)
        filler = tf.constant(-1 if name == "box_labels" else 0, value.dtype)
        value = tf.where(_like(keep, value.shape.rank), value, filler)
        if padded is None:
            value = value[: tf.math.count_nonzero(keep)]
        else:
            leading = sample["boxes"].shape[:-1]
            value = tf.ensure_shape(value, leading + value.shape[leading.rank :])
        out[name] = value
    if "masks" in sample and "masks" not in out:
        out["masks"] = _label_map(data["segmentation_masks"][..., 0])
    return out


def _like(values: tf.Tensor, rank: int) -> tf.Tensor:
    """The values with axes of length 1 behind theirs."""
    behind = [1] * (rank - values.shape.rank)
    return tf.reshape(values, tf.concat([tf.shape(values), behind], 0))


def _label_map(values: tf.Tensor) -> tf.Tensor:
    """int32, -1 where a layer filled in something."""
    values = tf.cast(tf.round(values), tf.int32)
    return tf.where(values < -1, -2 - values, -1)


def _as_type(image: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """The image in the type that it had."""
    if dtype.is_integer:
        return tf.saturate_cast(tf.round(image), dtype)
    return tf.cast(image, dtype)
