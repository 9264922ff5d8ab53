"""Train an AlexNet on Kaggle's ImageNet object detection tree in a TF1-style session.

    python kaggle_imagenet_session.py ILSVRC --epochs 10

One graph, built once: a reinitializable iterator feeds it training batches,
then validation batches, then training batches again. The first run packs the
tree (Data/DET and Annotations/DET) into DATASET; later runs, and runs that are
given a packed dataset, start at once. The class of an image is that of its
largest object; the last class is background, for images without objects.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import tensorflow as tf
from tqdm import tqdm

import tfstream

tf1 = tf.compat.v1


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", help="the Kaggle tree, or a packed dataset")
    parser.add_argument("--dataset", default="imagenet-packed", help="where to pack the tree to")
    parser.add_argument("--output", default="session-run", help="where the checkpoints go")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--height", type=int, default=482, help="of the images, in pixels")
    parser.add_argument("--width", type=int, default=415, help="of the images, in pixels")
    parser.add_argument("--limit", type=int, help="use only so many images of each split")
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    return parser.parse_args()


def open_or_pack(path: str, dataset: str) -> tfstream.PackedDataset:
    """Opens what lies at `path`, or at `dataset` if the tree at `path` was packed before."""
    for place in (path, dataset):
        if Path(place, "manifests").is_dir():
            return tfstream.open(place)
    return tfstream.pack(path, dataset, format="ilsvrc-det")


def conv(x, name: str, size: int, filters: int, stride: int = 1):
    """A convolution and its ReLU."""
    with tf1.variable_scope(name):
        kernel = tf1.get_variable(
            "kernel",
            [size, size, x.shape[-1], filters],
            initializer=tf1.initializers.he_normal(),
        )
        bias = tf1.get_variable("bias", [filters], initializer=tf1.initializers.zeros())
        return tf.nn.relu(tf.nn.conv2d(x, kernel, stride, "SAME") + bias)


def dense(x, name: str, units: int):
    """A dense layer, linear."""
    with tf1.variable_scope(name):
        kernel = tf1.get_variable(
            "kernel", [x.shape[-1], units], initializer=tf1.initializers.he_normal()
        )
        bias = tf1.get_variable("bias", [units], initializer=tf1.initializers.zeros())
        return tf.matmul(x, kernel) + bias


def small_alexnet(images, classes: int, drop):
    """AlexNet with fewer features, and a fixed grid before its dense layers."""
    x = conv(images, "conv1", 11, 32, stride=4)
    x = tf.nn.max_pool2d(x, 3, 2, "SAME")
    x = conv(x, "conv2", 5, 64)
    x = tf.nn.max_pool2d(x, 3, 2, "SAME")
    x = conv(x, "conv3", 3, 96)
    x = conv(x, "conv4", 3, 96)
    x = conv(x, "conv5", 3, 64)
    x = tf.nn.max_pool2d(x, 3, 2, "SAME")
    x = tf.reshape(x, [-1, x.shape[1] * x.shape[2] * x.shape[3]])
    x = tf.nn.dropout(tf.nn.relu(dense(x, "dense6", 256)), rate=drop)
    x = tf.nn.dropout(tf.nn.relu(dense(x, "dense7", 256)), rate=drop)
    return dense(x, "dense8", classes)


def run_epoch(session, fetches: dict, feed: dict, *, steps: int, title: str) -> dict[str, float]:
    """Runs until the iterator has no more; gives the means over the samples."""
    sums, samples = {"loss": 0.0, "accuracy": 0.0}, 0
    with tqdm(total=steps, desc=title, unit="batch") as bar:
        while True:
            try:
                values = session.run(fetches, feed)
            except tf.errors.OutOfRangeError:
                break
            samples += values["samples"]
            for name in sums:
                sums[name] += float(values[name]) * int(values["samples"])
            means = {name: value / samples for name, value in sums.items()}
            bar.set_postfix({name: f"{value:.3f}" for name, value in means.items()})
            bar.update()
    return means


def main() -> None:
    """Builds the graph, and runs all epochs in one session."""
    args = arguments()
    data = open_or_pack(args.path, args.dataset)
    # Slicing selects records and copies nothing; `None` selects them all.
    train, valid = data.split("train")[: args.limit], data.split("val")[: args.limit]
    classes = data.labels.classes
    print(f"{len(train)} training and {len(valid)} validation images, {classes} classes")

    with tf.Graph().as_default():
        common = {
            "batch_size": args.batch_size,
            "label": "one_hot",
            "image": tfstream.ImageSpec(
                size=(args.height, args.width),
                mode="crop_or_pad",
                dtype="float32",
                normalize="standardize",
            ),
        }
        train_stream = train.stream(shuffle=True, seed=7, **common)
        valid_stream = valid.stream(shuffle=False, **common)

        iterator = tfstream.ReinitializableIterator(train_stream.element_spec)
        begin_training = iterator.initialize(train_stream)
        begin_validation = iterator.initialize(valid_stream)
        images, labels = iterator.get_next()

        drop = tf1.placeholder_with_default(0.0, [], name="drop")
        logits = small_alexnet(images, classes, drop)
        loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels, logits))
        hits = tf.equal(tf.argmax(logits, axis=1), tf.argmax(labels, axis=1))
        accuracy = tf.reduce_mean(tf.cast(hits, tf.float32))
        step = tf1.train.get_or_create_global_step()
        train_op = tf1.train.AdamOptimizer(args.learning_rate).minimize(loss, global_step=step)
        measured = {"loss": loss, "accuracy": accuracy, "samples": tf.shape(images)[0]}

        saver = tf1.train.Saver(max_to_keep=3)
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            for epoch in range(1, args.epochs + 1):
                session.run(begin_training)
                run_epoch(
                    session,
                    {**measured, "train": train_op},
                    {drop: 0.5},
                    steps=train_stream.steps_per_epoch,
                    title=f"epoch {epoch}/{args.epochs} training",
                )
                session.run(begin_validation)
                means = run_epoch(
                    session,
                    measured,
                    {},
                    steps=valid_stream.steps_per_epoch,
                    title=f"epoch {epoch}/{args.epochs} validation",
                )
                path = saver.save(session, str(Path(args.output, "model")), global_step=step)
                print(
                    f"epoch {epoch}: validation loss {means['loss']:.3f}, "
                    f"accuracy {means['accuracy']:.3f}; saved {path}"
                )


if __name__ == "__main__":
    main()
