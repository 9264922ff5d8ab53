"""Train a small ResNet on Kaggle's ImageNet object detection tree with Keras.

    python kaggle_imagenet_keras.py ILSVRC --epochs 30

The first run packs the tree (Data/DET and Annotations/DET) into DATASET; later
runs, and runs that are given a packed dataset, start at once. The class of an
image is that of its largest object.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras

import tfstream


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", help="the Kaggle tree, or a packed dataset")
    parser.add_argument("--dataset", default="imagenet-packed", help="where to pack the tree to")
    parser.add_argument("--output", default="keras-run", help="where the best model goes")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--image-size", type=int, default=160, help="pixels a side")
    parser.add_argument("--limit", type=int, help="use only so many images of each split")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    return parser.parse_args()


def open_or_pack(path: str, dataset: str) -> tfstream.PackedDataset:
    """Opens what lies at `path`, or at `dataset` if the tree at `path` was packed before."""
    for place in (path, dataset):
        if Path(place, "manifests").is_dir():
            return tfstream.open(place)
    return tfstream.pack(path, dataset, format="ilsvrc-det")


def residual_block(x, filters: int, stride: int):
    """Two convolutions beside a short cut."""
    layers = keras.layers
    y = layers.Conv2D(filters, 3, stride, padding="same", use_bias=False)(x)
    y = layers.ReLU()(layers.BatchNormalization()(y))
    y = layers.Conv2D(filters, 3, padding="same", use_bias=False)(y)
    # Each block begins as the identity, which lets a deep stack start to learn.
    y = layers.BatchNormalization(gamma_initializer="zeros")(y)
    if stride != 1 or x.shape[-1] != filters:
        x = layers.Conv2D(filters, 1, stride, use_bias=False)(x)
        x = layers.BatchNormalization()(x)
    return layers.ReLU()(x + y)


def small_resnet(size: int, classes: int) -> keras.Model:
    """A ResNet of 18 layers with half the usual features; gives logits."""
    layers = keras.layers
    inputs = keras.Input((size, size, 3))
    x = layers.Conv2D(32, 5, 2, padding="same", use_bias=False)(inputs)
    x = layers.MaxPooling2D()(layers.ReLU()(layers.BatchNormalization()(x)))
    for filters, stride in ((32, 1), (64, 2), (128, 2), (256, 2)):
        x = residual_block(x, filters, stride)
        x = residual_block(x, filters, 1)
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(classes)(x))


def main() -> None:
    """Trains with validation after each epoch."""
    args = arguments()
    data = open_or_pack(args.path, args.dataset)
    # Slicing selects records and copies nothing; `None` selects them all.
    train, valid = data.split("train")[: args.limit], data.split("val")[: args.limit]
    print(
        f"{len(train)} training and {len(valid)} validation images, {data.labels.classes} classes"
    )

    size = (args.image_size, args.image_size)
    common = {"batch_size": args.batch_size, "label": "one_hot"}
    train_stream = train.stream(
        image=tfstream.ImageSpec(
            size=size, mode="random_crop", dtype="float32", normalize="imagenet", flip=True
        ),
        shuffle=True,
        seed=7,
        **common,
    )
    valid_stream = valid.stream(
        image=tfstream.ImageSpec(
            size=size, mode="center_crop", dtype="float32", normalize="imagenet"
        ),
        shuffle=False,
        **common,
    )

    model = small_resnet(args.image_size, data.labels.classes)
    steps = args.epochs * train_stream.steps_per_epoch
    model.compile(
        optimizer=keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(
                args.learning_rate / 10,
                decay_steps=steps - steps // 20,
                warmup_target=args.learning_rate,
                warmup_steps=steps // 20,
            ),
            weight_decay=0.02,
        ),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
        metrics=["accuracy", keras.metrics.TopKCategoricalAccuracy(k=5, name="top5")],
    )
    best = Path(args.output, "best.keras")
    best.parent.mkdir(parents=True, exist_ok=True)
    model.fit(
        train_stream,
        validation_data=valid_stream,
        epochs=args.epochs,
        shuffle=False,  # the stream gives each epoch its own order by itself
        callbacks=[
            keras.callbacks.ModelCheckpoint(best, monitor="val_accuracy", save_best_only=True)
        ],
    )
    print(f"best model: {best}")
    print(f"read: {train_stream.stats()}")


if __name__ == "__main__":
    main()
