"""The map stage alone: encoded images that lie in RAM -> batches of 224x224 uint8.

    python benchmarks/images.py [--small DIR] [--large DIR] [--rounds 7]

Each part runs the candidates in turn, round after round (see rounds.py):

- the resampling alone, of a decoded 500x375 picture, against `tf.image.resize`,
  plain and antialiased: CPU time of one image on one core;
- JPEGs of 500x375: ours, decoding and resampling with the kernel, against the usual
  `decode_jpeg`, `tf.image.resize`, cast; and against decoding alone, which is the
  most that any resampling could reach;
- photographs of 2000x1500: ours as it is by default (averaged, decoded at a reduced
  size) and with antialias=False, against the same; then how near each comes to the
  exact mean of the pixels that an output pixel covers, as PSNR.

DIR holds .jpg, .jpeg or .JPEG files. Without it, pictures are made of the photographs
in scikit-image and scikit-learn, which must be installed then: crops, enlarged where
need be, with finer texture and sensor noise added, quality 90.
"""

from __future__ import annotations

import argparse
import io
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import rounds
import tensorflow as tf
from PIL import Image

from tfstream import images, ops
from tfstream.images import ImageSpec

SIZE = (224, 224)
BATCH = 64
USUAL = "decode_jpeg, tf.image.resize"
AVERAGED = "decode_jpeg, tf.image.resize(antialias)"
ALONE = "decode_jpeg alone"


def photographs() -> list[Image.Image]:
    """A few photographs, from scikit-image and scikit-learn."""
    try:
        import skimage.data
        import sklearn.datasets
    except ImportError as error:
        raise SystemExit(
            f"{error}: give directories of JPEGs with --small and --large, or "
            "pip install scikit-image scikit-learn"
        ) from error
    arrays = [*sklearn.datasets.load_sample_images().images]
    arrays += [getattr(skimage.data, name)() for name in ("astronaut", "coffee", "chelsea")]
    return [Image.fromarray(array) for array in arrays]


def made(count: int, width: int, height: int) -> list[bytes]:
    """JPEGs of that size."""
    rng = np.random.default_rng(0)
    sources, out = photographs(), []
    for i in range(count):
        source = sources[i % len(sources)]
        scale = min(source.width / width, source.height / height)
        cut = (int(width * scale * 0.9), int(height * scale * 0.9))
        left, top = (rng.integers(0, s - c + 1) for s, c in zip(source.size, cut, strict=True))
        crop = source.crop((left, top, left + cut[0], top + cut[1]))
        pixels = np.asarray(crop.resize((width, height), Image.Resampling.BICUBIC)).astype(float)
        for grain in (2, 4):  # what enlarging leaves out: texture, coarser and stronger
            texture = rng.normal(0, grain, (-(-height // grain), -(-width // grain)))
            pixels += np.kron(texture, np.ones((grain, grain)))[:height, :width, None]
        pixels += rng.normal(0, 2, pixels.shape)
        data = io.BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(data, "JPEG", quality=90)
        out.append(data.getvalue())
    return out


def read(directory: Path) -> list[bytes]:
    """The JPEGs of a directory and those below it."""
    paths = sorted(p for p in directory.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
    if not paths:
        raise SystemExit(f"{directory} holds no .jpg or .jpeg files")
    return [path.read_bytes() for path in paths[:256]]


def usual(encoded: tf.Tensor) -> tf.Tensor:
    """The map function that anybody would write."""
    image = tf.io.decode_jpeg(encoded, channels=3)
    return tf.cast(tf.image.resize(image, SIZE), tf.uint8)


def averaged(encoded: tf.Tensor) -> tf.Tensor:
    """The same by somebody who minds aliasing."""
    image = tf.io.decode_jpeg(encoded, channels=3)
    return tf.cast(tf.round(tf.image.resize(image, SIZE, antialias=True)), tf.uint8)


def decoded_only(encoded: tf.Tensor) -> tf.Tensor:
    """What no resampling can be faster than."""
    return tf.io.decode_jpeg(encoded, channels=3)[:1, :1]


def ours(spec: ImageSpec, largest: tuple[int, int]) -> Callable[..., tf.Tensor]:
    """The map function of a stream; sizes and views come with the sample, as they do there."""

    def render(encoded: tf.Tensor, height: tf.Tensor, width: tf.Tensor, *view: tf.Tensor):  # type: ignore[no-untyped-def]
        return images.render(
            spec, encoded, images.View(*view), height=height, width=width,
            orientation=tf.constant(1), formats=frozenset({"jpeg"}), rotated=False,
            largest=largest,
        )  # fmt: skip

    return render


def compare(
    data: list[bytes],
    specs: dict[str, ImageSpec],
    others: dict[str, Callable[..., tf.Tensor]],
    *,
    count: int,
) -> None:
    """Prints the rates of ours and of others, and the CPU time that an image takes."""
    sizes = np.array([Image.open(io.BytesIO(d)).size[::-1] for d in data], np.int32)
    height, width = tf.constant(sizes[:, 0]), tf.constant(sizes[:, 1])
    # Enough for seconds, not fractions of them.
    repeats = max(1, int(5e8 / (len(data) * sizes.prod(axis=1).mean())))

    def pipeline(ds: tf.data.Dataset, function: Callable[..., tf.Tensor]) -> tf.data.Dataset:
        # Not AUTOTUNE: it finds its number of threads anew each time, and not always the same.
        ds = ds.repeat(repeats).map(function, num_parallel_calls=os.cpu_count())
        return ds.batch(BATCH).prefetch(2)

    plain = tf.data.Dataset.from_tensor_slices(data)
    candidates = {name: pipeline(plain, function) for name, function in others.items()}
    for name, spec in specs.items():
        draws = tf.random.stateless_uniform([len(data), spec.draws], [1, 2])
        view = images.plan(spec, height, width, draws)
        samples = tf.data.Dataset.from_tensor_slices((data, height, width, *view))
        largest = (int(sizes[:, 0].max()), int(sizes[:, 1].max()))
        candidates[name] = pipeline(samples, ours(spec, largest))
    results = rounds.measure(candidates, count, lambda batch: batch.shape[0])
    rounds.report(results, against=USUAL, unit="images/s")


def resampling(count: int) -> None:
    """Prints the CPU time of resampling alone."""
    if (library := ops.library()) is None:
        print("There is no kernel: its resampling is left out.")
        return
    picture = tf.constant(np.random.default_rng(0).integers(0, 256, (375, 500, 3), np.uint8))
    whole = tf.constant([0.0, 0, 375, 500])
    small = picture[: SIZE[0], : SIZE[1]]

    def kernel(antialias: str) -> Callable[[], tf.Tensor]:
        return lambda: library.tfstream_resample(
            image=picture, height=375, width=500, window=whole, flip=False, orientation=1,
            origin=[-1, -1], ratio=1, out_height=SIZE[0], out_width=SIZE[1], antialias=antialias,
        )  # fmt: skip

    def tensorflow(antialias: bool) -> Callable[[], tf.Tensor]:
        return lambda: tf.cast(tf.image.resize(picture, SIZE, antialias=antialias), tf.uint8)

    candidates = {
        "kernel, plain": kernel("never"),
        "tf.image.resize, plain": tensorflow(False),
        "kernel, antialiased": kernel("always"),
        "tf.image.resize, antialiased": tensorflow(True),
        "copying a picture of that size": lambda: tf.identity(small) + 1,
    }
    print("\nResampling 500x375 to 224x224, µs of CPU an image (medians)")
    # Mapped over a dataset, as in a stream: calling an op from Python costs more than
    # the kernel does, and a constant picture would be resized once and for all.
    images_a_round = 200
    loops = {
        name: tf.data.Dataset.range(images_a_round)
        .map(lambda _, f=function: f())
        .batch(images_a_round)
        for name, function in candidates.items()
    }
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(count + 1):
        for name, loop in loops.items():
            begin = time.process_time()
            for _ in loop:
                pass
            if number:
                times[name].append((time.process_time() - begin) / images_a_round * 1e6)
    for name, took in times.items():
        print(f"{name:44}{np.median(took):12.1f}")


def box_average(encoded: bytes) -> np.ndarray:
    """The mean of the pixels that each output pixel covers, partly covered ones in part."""
    image = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE").numpy()

    def shares(size: int, out: int) -> np.ndarray:
        edges = np.arange(out + 1) * size / out
        low, high = edges[:-1, None], edges[1:, None]
        at = np.arange(size)[None]
        return np.clip(np.minimum(high, at + 1) - np.maximum(low, at), 0, None) * out / size

    rows, columns = shares(image.shape[0], SIZE[0]), shares(image.shape[1], SIZE[1])
    return np.einsum("yh,hwc,xw->yxc", rows, image.astype(float), columns, optimize=True)


def quality(data: list[bytes], specs: dict[str, ImageSpec]) -> None:
    """Prints the PSNR of each way against exact averages."""
    print("\nPSNR against the exact mean of the covered pixels, dB (mean, worst picture)")

    def show(name: str, function: Callable[[bytes], tf.Tensor]) -> None:
        errors = [
            np.mean((np.asarray(function(d), float) - reference) ** 2)
            for d, reference in zip(data, references, strict=True)
        ]
        decibels = 10 * np.log10(255**2 / np.array(errors))
        print(f"{name:44}{decibels.mean():12.1f}{decibels.min():12.1f}")

    references = [box_average(d) for d in data]
    show(USUAL, usual)
    show(AVERAGED, averaged)
    for name, spec in specs.items():

        def draw(encoded: bytes, spec: ImageSpec = spec) -> tf.Tensor:
            width, height = Image.open(io.BytesIO(encoded)).size
            view = images.plan(spec, tf.constant(height), tf.constant(width), tf.zeros(0))
            return ours(spec, (height, width))(
                tf.constant(encoded), tf.constant(height), tf.constant(width), *view
            )

        show(name, draw)


def main() -> None:
    """Runs all parts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", type=Path, help="JPEGs of about 500x375")
    parser.add_argument("--large", type=Path, help="JPEGs of about 2000x1500")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    print(rounds.machine())
    resampling(arguments.rounds)

    data = read(arguments.small) if arguments.small else made(64, 500, 375)
    print(f"\n{len(data)} small pictures, {np.mean([*map(len, data)]) / 1000:.0f} KB each")
    specs = {
        "tfstream, antialias=False": ImageSpec(SIZE, antialias=False),
        "tfstream, antialias=True": ImageSpec(SIZE, antialias=True),
        "tfstream, random_crop and flip": ImageSpec(SIZE, mode="random_crop", flip=True),
    }
    compare(data, specs, {USUAL: usual, ALONE: decoded_only}, count=arguments.rounds)

    data = read(arguments.large) if arguments.large else made(16, 2000, 1500)
    print(f"\n{len(data)} large pictures, {np.mean([*map(len, data)]) / 1000:.0f} KB each")
    specs = {
        "tfstream, as it is by default": ImageSpec(SIZE),
        "tfstream, antialias=False": ImageSpec(SIZE, antialias=False),
    }
    others = {USUAL: usual, AVERAGED: averaged, ALONE: decoded_only}
    compare(data, specs, others, count=arguments.rounds)
    quality(data, specs)


if __name__ == "__main__":
    main()
