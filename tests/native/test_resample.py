"""The resampling kernel: its pixels against TensorFlow's, and inputs that are not right.

The CI runs this file under AddressSanitizer as well.
"""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfstream import ops

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(
        ops.library() is None, reason="tfstream was installed without its kernel (no compiler)"
    ),
]
WHOLE = (-1, -1)


def resample(
    image, window=None, *, size=None, out=(8, 8), flip=False, orientation=1, origin=WHOLE,
    ratio=1, **attributes,
):  # fmt: skip
    image = np.asarray(image)
    height, width = size or image.shape[:2]
    window = (0, 0, height, width) if window is None else window
    return (
        ops.library()
        .tfstream_resample(
            image=image,
            height=height,
            width=width,
            window=tf.constant(window, tf.float32),
            flip=flip,
            orientation=orientation,
            origin=tf.constant(origin, tf.int32),
            ratio=ratio,
            out_height=out[0],
            out_width=out[1],
            **attributes,
        )
        .numpy()
    )


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@st.composite
def crops(draw):
    """The size of a picture, a window of whole pixels in it, and the size of the image."""
    height, width = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    rows, columns = draw(st.integers(1, height - top)), draw(st.integers(1, width - left))
    out = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    return (height, width), (top, left, rows, columns), out


@given(crops(), st.booleans(), st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_the_pixels_are_those_of_tensorflows_resize(crop, antialias, seed):
    (height, width), window, out = crop
    image = noise(height, width, seed)
    top, left, rows, columns = window
    cut = image[top : top + rows, left : left + columns]
    expected = tf.image.resize(cut, out, antialias=antialias).numpy()
    mode = "always" if antialias else "never"
    got = resample(image, window, out=out, antialias=mode)
    assert np.abs(got - expected).max() <= 0.6  # the half is rounding
    got = resample(image, window, out=out, antialias=mode, T=tf.float32)
    assert np.abs(got - expected).max() <= 0.1


@given(crops(), st.integers(1, 8), st.booleans())
@settings(max_examples=80, deadline=None)
def test_an_orientation_is_applied_before_the_window_and_the_flip_after(crop, orientation, flip):
    (height, width), window, out = crop
    shown = noise(height, width)
    stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation](shown)
    got = resample(
        stored, window, size=(height, width), out=out, orientation=orientation, flip=flip
    )
    expected = resample(shown, window, out=out)
    expected = expected[:, ::-1] if flip else expected
    # Mirrored sums round the other way.
    assert np.abs(got.astype(int) - expected).max() <= 1


def test_an_automatic_antialias_averages_from_four_pixels_to_one_on():
    image = noise(40, 40)
    for rows, mode in ((39, "never"), (40, "always")):
        window = (0, 0, rows, 40)
        auto = resample(image, window, out=(20, 20), antialias="auto")
        np.testing.assert_array_equal(auto, resample(image, window, out=(20, 20), antialias=mode))


def test_what_a_window_shows_beside_the_picture_is_black():
    image = noise(5, 6)
    got = resample(image, (-2, -3, 9, 11), out=(9, 11))
    expected = np.zeros((9, 11, 3), np.uint8)
    expected[2:7, 3:9] = image
    np.testing.assert_array_equal(got, expected)
    assert resample(image, (100, 0, 5, 5)).max() == 0


def test_a_block_of_a_picture_serves_as_the_picture_does():
    image = noise(60, 80)
    window = (20, 30, 17, 23)
    block = image[15:45, 25:60]
    got = resample(block, window, size=(60, 80), origin=(15, 25))
    np.testing.assert_array_equal(got, resample(image, window))


def test_a_picture_of_half_the_size_is_shown_through_half_the_window():
    half = noise(31, 41)
    got = resample(half, (4, 10, 40, 60), size=(61, 81), ratio=2, antialias="always")
    np.testing.assert_array_equal(got, resample(half, (2, 5, 20, 30), antialias="always"))


def test_scales_and_offsets_are_by_channel():
    image = noise(9, 9)
    plain = resample(image, T=tf.float32)
    got = resample(image, T=tf.float32, scale=(2, 1, 0.5), offset=(1, 0, -3))
    np.testing.assert_allclose(got, plain * [2, 1, 0.5] + [1, 0, -3], rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("flat", [False, True])
def test_a_standardized_image_is_tensorflows(flat):
    image = np.full((30, 40, 3), 77, np.uint8) if flat else noise(30, 40)
    got = resample(image, out=(30, 40), T=tf.float32, standardize=True)
    expected = tf.image.per_image_standardization(image).numpy()
    np.testing.assert_allclose(got, expected, atol=2e-4)


def test_a_picture_of_one_pixel_fills_the_image():
    pixel = np.full((1, 1, 3), (3, 200, 77), np.uint8)
    assert (resample(pixel, out=(5, 7)) == pixel).all()
    assert (resample(noise(50, 50), out=(1, 1), antialias="always")).shape == (1, 1, 3)


NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window": (0, 0, 0, 4)}, "must be positive"),
        ({"window": (0, 0, 4, -4)}, "must be positive"),
        ({"window": (NAN, 0, 4, 4)}, "finite"),
        ({"window": (0, 0, NAN, 4)}, "finite"),
        ({"window": (0, INFINITY, 4, 4)}, "finite"),
        ({"window": (0, 0, 3e7, 4)}, "at most"),
        ({"window": (0, 0, 4)}, "four numbers"),
        ({"window": ((0, 0, 4, 4),)}, "four numbers"),
        ({"size": (11, 10)}, "the record says"),
        ({"size": (0, 10)}, "the record says"),
        ({"size": (-5, 10)}, "the record says"),
        ({"size": (12, 10), "orientation": 6}, "the record says"),
        ({"orientation": 0}, "1 to 8"),
        ({"orientation": 9}, "1 to 8"),
        ({"ratio": 0}, "1/8"),
        ({"ratio": 3}, "1/8"),
        ({"ratio": -1}, "1/8"),
        ({"ratio": 2}, "the record says"),
        ({"origin": (1, 0)}, "reaches past"),
        ({"origin": (0, 2**31 - 1)}, "reaches past"),
        ({"origin": (-1, 0)}, "reaches past"),
        ({"origin": (0, 0, 0)}, "origin two numbers"),
        ({"out": (0, 5)}, "1 to 16384"),
        ({"out": (5, 16385)}, "1 to 16384"),
        ({"image": noise(12, 10)[..., :2]}, "picture must be"),
        ({"image": noise(12, 10)[0]}, "picture must be"),
        ({"image": np.zeros((0, 10, 3), np.uint8), "size": (0, 10)}, "no picture"),
    ],
)
def test_an_input_that_is_not_right_is_an_error_that_says_so(arguments, message):
    given = {"image": noise(12, 10), "window": (0, 0, 4, 4), "size": (12, 10), **arguments}
    image = given.pop("image")
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        resample(image, **given)


@given(
    sides=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    window=st.tuples(
        *[st.floats(-60, 60, width=32, allow_subnormal=False)] * 2,
        *[st.floats(2**-10, 500, width=32)] * 2,
    ),
    out=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    orientation=st.integers(1, 8),
    antialias=st.sampled_from(["never", "auto", "always"]),
    dtype=st.sampled_from([tf.uint8, tf.float32]),
)
@settings(max_examples=300, deadline=None)
def test_any_window_of_any_picture_stays_within_its_memory_and_its_range(
    sides, window, out, orientation, antialias, dtype
):
    height, width = sides
    # The memory is no larger than the picture, so that a sanitizer sees what is read past it.
    stored = noise(*(sides if orientation < 5 else sides[::-1]))
    got = resample(
        stored, window, size=(height, width), out=out, orientation=orientation,
        antialias=antialias, T=dtype,
    )  # fmt: skip
    assert got.shape == (*out, 3)
    assert got.min() >= 0
    assert got.max() <= 255.01


def test_every_processor_gives_the_same_bytes_and_reads_no_further(tmp_path):
    if (compiler := shutil.which("g++")) is None:
        pytest.skip("there is no g++")
    native = Path(__file__).parents[2] / "native"
    sources = [Path(__file__).with_name("resample_loops.cc"), native / "resample_loops.cc"]
    program = tmp_path / "loops"
    flags = ["-std=c++17", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover"]
    subprocess.run(
        [compiler, *flags, f"-I{native}", *map(str, sources), "-o", str(program)], check=True
    )
    # The interpreter's own sanitizer, where there is one, is none of this program's.
    done = subprocess.run([program], capture_output=True, text=True, env={})
    assert done.returncode == 0, done.stdout + done.stderr
