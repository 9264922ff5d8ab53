"""How images are made of the stored pictures, with the kernel and with its stand-in."""

import io
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from tfstream import images, ops, pixels
from tfstream.errors import InvalidArgumentError
from tfstream.images import ImageSpec

JPEG = frozenset({"jpeg"})
EVERY = frozenset({"jpeg", "png", "bmp", "gif"})
HAS_WEBP = hasattr(tf.io, "decode_webp")


def photograph(height, width, seed=0):
    """Smooth colours with some texture, as photographs have."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(30, 226, (6, 8, 3), dtype=np.uint8))
    array = np.asarray(small.resize((width, height), Image.BICUBIC)).astype(float)
    return Image.fromarray((array + rng.normal(0, 3, array.shape)).clip(0, 255).astype(np.uint8))


def stored(image, form="JPEG", **options):
    data = io.BytesIO()
    image.save(data, form, **({"quality": 95} if form == "JPEG" else {}), **options)
    return data.getvalue()


def make(
    spec, data, size, *, draws=None, orientation=1, formats=JPEG, rotated=None, largest=None
):  # fmt: skip
    """Plans and renders in a graph, as a stream does."""
    height, width = size
    draws = np.full(spec.draws, 0.5) if draws is None else draws
    view = images.plan(
        spec, tf.constant([height]), tf.constant([width]), tf.constant([draws], tf.float32)
    )

    @tf.function
    def render(encoded):
        return images.render(
            spec,
            encoded,
            images.View(view.window[0], view.flip[0]),
            height=tf.constant(height),
            width=tf.constant(width),
            orientation=tf.constant(orientation),
            formats=formats,
            rotated=orientation != 1 if rotated is None else rotated,
            largest=largest,
        )

    return render(tf.constant(data)).numpy()


@pytest.fixture(
    params=[
        pytest.param("kernel", marks=[pytest.mark.kernel]),
        "standin",
    ]
)
def way(request, monkeypatch):
    """Both ways of making an image."""
    if request.param == "standin":
        monkeypatch.setattr(ops, "library", lambda: None)
    elif ops.library() is None:
        pytest.skip("tfstream was installed without its kernel (no compiler)")
    return request.param


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 224}, r"\(height, width\).*got 224"),
        ({"size": (224,)}, r"got \(224,\)"),
        ({"size": (224, 224.0)}, "two whole numbers"),
        ({"size": (True, 5)}, "two whole numbers"),
        ({"size": (0, 5)}, "1 to 16384.*got .0, 5"),
        ({"size": (5, 16385)}, "1 to 16384"),
        ({"size": (5, 5), "mode": "crop"}, "'center_crop'.*got 'crop'"),
        ({"size": (5, 5), "dtype": "int8"}, "'bfloat16'.*got 'int8'"),
        ({"size": (5, 5), "dtype": tf.float32}, "dtype must be one of"),
        ({"size": (5, 5), "dtype": "float32", "normalize": "zscore"}, "'standardize'"),
        ({"size": (5, 5), "normalize": "unit"}, "add dtype='float32'"),
        ({"size": (5, 5), "flip": 0.5}, "flip must be"),
        ({"size": (5, 5), "antialias": "yes"}, "antialias must be"),
    ],
)
def test_a_specification_that_cannot_be_is_refused_with_its_value(arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        ImageSpec(**arguments)


def test_a_specification_needs_no_tensorflow():
    code = (
        "import sys; from tfstream.images import ImageSpec; ImageSpec((2, 2));"
        "sys.exit('tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@given(st.integers(1, 700), st.integers(1, 700), st.integers(1, 300), st.integers(1, 300))
@settings(max_examples=60, deadline=None)
def test_crop_or_pad_is_tensorflows(height, width, out_height, out_width):
    spec = ImageSpec((out_height, out_width), mode="crop_or_pad")
    view = images.plan(spec, tf.constant(height), tf.constant(width), tf.zeros(0))
    top, left, rows, columns = view.window.numpy().astype(int)
    assert (rows, columns) == spec.size
    at = np.arange(height * width).reshape(height, width, 1) + 1
    expected = tf.image.resize_with_crop_or_pad(at, out_height, out_width).numpy()
    padded = np.pad(at, ((rows, rows), (columns, columns), (0, 0)))
    got = padded[top + rows :, left + columns :][:rows, :columns]
    np.testing.assert_array_equal(got, expected)


sizes = st.tuples(st.integers(1, 5000), st.integers(1, 5000))
uniforms = st.floats(0, 1, exclude_max=True, width=32, allow_subnormal=False)


@given(sizes, st.lists(uniforms, min_size=4, max_size=4))
@settings(max_examples=200, deadline=None)
def test_a_random_crop_lies_in_its_picture_and_has_an_allowed_shape(size, draws):
    height, width = size
    spec = ImageSpec((8, 8), mode="random_crop")
    view = images.plan(
        spec, tf.constant(height), tf.constant(width), tf.constant(draws, tf.float32)
    )
    top, left, rows, columns = view.window.numpy()
    assert top >= 0 <= left
    assert rows >= 1 <= columns
    assert top + rows <= height
    assert left + columns <= width
    assert [top, left, rows, columns] == [int(v) for v in (top, left, rows, columns)]
    if min(rows, columns) > 20:  # below that, whole pixels are too coarse
        assert 0.70 < columns / rows < 1.43
        fits = min(1, *(shape * 4 / 3 for shape in (height / width, width / height)))
        assert rows * columns / (height * width) > 0.9 * min(0.08, fits)


def test_random_crops_have_areas_and_places_from_one_end_to_the_other():
    n = 20_000
    draws = np.random.default_rng(0).random((n, 4)).astype(np.float32)
    spec = ImageSpec((8, 8), mode="random_crop")
    window = images.plan(spec, tf.fill([n], 400), tf.fill([n], 500), tf.constant(draws)).window
    top, left, rows, columns = window.numpy().T
    area = rows * columns / (400 * 500)
    assert area.min() == pytest.approx(0.08, abs=0.002)
    assert area.max() == pytest.approx(1, abs=0.002)
    assert area.mean() == pytest.approx(0.54, abs=0.01)
    ratio = (columns / rows)[area < 0.5]
    assert ratio.min() == pytest.approx(3 / 4, abs=0.02)
    assert ratio.max() == pytest.approx(4 / 3, abs=0.02)
    for place, room in ((top, 400 - rows), (left, 500 - columns)):
        share = (place / np.maximum(room, 1))[room > 50]
        assert share.min() == 0
        assert share.max() == 1
        assert share.mean() == pytest.approx(0.5, abs=0.02)


@given(st.lists(st.tuples(sizes, st.lists(uniforms, min_size=5, max_size=5)), min_size=1))
@settings(max_examples=30, deadline=None)
def test_a_plan_for_many_samples_is_that_of_each_alone(samples):
    spec = ImageSpec((8, 8), mode="random_crop", flip=True)
    height, width = (tf.constant([size[axis] for size, _ in samples]) for axis in (0, 1))
    draws = tf.constant([d for _, d in samples], tf.float32)
    together = images.plan(spec, height, width, draws)
    for i in range(len(samples)):
        alone = images.plan(spec, height[i], width[i], draws[i])
        np.testing.assert_array_equal(together.window[i], alone.window)
        assert bool(together.flip[i]) == bool(alone.flip)


@pytest.mark.parametrize("mode", images.MODES)
@pytest.mark.parametrize("antialias", [None, False, True])
@pytest.mark.parametrize("size", [(75, 100), (301, 199)])
def test_the_image_is_what_tensorflow_makes_of_the_window(way, mode, antialias, size):
    data = stored(photograph(*size))
    decoded = tf.io.decode_jpeg(data, channels=3).numpy()
    spec = ImageSpec((80, 72), mode=mode, antialias=antialias)
    view = images.plan(spec, *map(tf.constant, size), tf.fill([spec.draws], 0.3))
    top, left, rows, columns = view.window.numpy().astype(int)
    if mode == "crop_or_pad":
        expected = tf.image.resize_with_crop_or_pad(decoded, 80, 72)
    else:
        cut = decoded[top : top + rows, left : left + columns]
        averaged = rows * columns >= 4 * 80 * 72 if antialias is None else antialias
        expected = tf.image.resize(cut, spec.size, antialias=bool(averaged))
    got = make(spec, data, size, draws=np.full(spec.draws, 0.3))
    assert got.dtype == np.uint8
    difference = np.abs(got - np.asarray(expected, float))
    if antialias is not False and min(rows / 80, columns / 72) >= 2:
        # Decoded at half its size, which is another way of averaging.
        assert difference.mean() <= 2
    else:
        assert difference.max() <= 1


@pytest.mark.kernel
@pytest.mark.skipif(ops.library() is None, reason="there is no kernel to compare with")
@pytest.mark.parametrize("mode", images.MODES)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_stand_in_makes_the_same_image(monkeypatch, mode, orientation):
    size = (390, 600)
    data = stored(photograph(*(size if orientation < 5 else size[::-1])))
    spec = ImageSpec((60, 72), mode=mode, flip=True)
    for draw in (0.1, 0.7):
        arguments = {"draws": np.full(spec.draws, draw), "orientation": orientation}
        with monkeypatch.context() as patch:
            kernel = make(spec, data, size, **arguments)
            patch.setattr(ops, "library", lambda: None)
            standin = make(spec, data, size, **arguments)
        assert np.abs(kernel.astype(int) - standin).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_that_exif_turns_is_shown_upright(way, orientation):
    # Drawn so that no two of its corners are alike.
    upright = np.zeros((64, 96, 3), np.uint8)
    upright[:32, :48], upright[:32, 48:], upright[32:, :48] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transpositions, backwards
    image = Image.fromarray(upright)
    image = image if orientation == 1 else image.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = stored(image, exif=exif, subsampling=0)
    assert ImageOps.exif_transpose(Image.open(io.BytesIO(data))).size == (96, 64)
    got = make(ImageSpec((64, 96)), data, (64, 96), orientation=orientation, rotated=True)
    assert np.abs(got.astype(int) - upright).mean() < 3


FORMS = {
    "grey JPEG": lambda im: (im.convert("L"), "JPEG", {}),
    "CMYK JPEG": lambda im: (im.convert("CMYK"), "JPEG", {}),
    "progressive JPEG": lambda im: (im, "JPEG", {"progressive": True}),
    "PNG": lambda im: (im, "PNG", {}),
    "grey PNG": lambda im: (im.convert("L"), "PNG", {}),
    "PNG with a palette": lambda im: (im.quantize(64), "PNG", {}),
    "PNG with transparency": lambda im: (im.convert("RGBA"), "PNG", {}),
    "grey PNG with transparency": lambda im: (im.convert("LA"), "PNG", {}),
    "PNG of 1 bit": lambda im: (im.convert("1"), "PNG", {}),
    "BMP": lambda im: (im, "BMP", {}),
    "grey BMP": lambda im: (im.convert("L"), "BMP", {}),
    "BMP with a palette": lambda im: (im.quantize(64), "BMP", {}),
    "BMP with transparency": lambda im: (im.convert("RGBA"), "BMP", {}),
    "GIF": lambda im: (im.quantize(64), "GIF", {}),
    "animated GIF": lambda im: (
        im.quantize(64),
        "GIF",
        {"save_all": True, "append_images": [Image.new("P", im.size)]},
    ),
    "WebP": lambda im: (im, "WEBP", {"lossless": True}),
    "WebP with transparency": lambda im: (
        Image.merge("RGBA", (*im.split(), Image.linear_gradient("L").resize(im.size))),
        "WEBP",
        {"lossless": True, "exact": True},
    ),
    "animated WebP": lambda im: (
        Image.merge("RGBA", (*im.split(), Image.new("L", im.size, 200))),
        "WEBP",
        {
            "lossless": True,
            "exact": True,
            "save_all": True,
            "append_images": [Image.new("RGBA", im.size)],
        },
    ),
}


@pytest.mark.parametrize("alone", [True, False], ids=["one format", "every format"])
@pytest.mark.parametrize("form", FORMS)
def test_a_picture_of_any_form_is_shown_as_it_is_seen(way, form, alone):
    if "WebP" in form and not HAS_WEBP:
        pytest.skip("this TensorFlow does not decode WebP")
    image, kind, options = FORMS[form](photograph(50, 70))
    data = stored(image, kind, **options)
    formats = frozenset({kind.lower()}) if alone else EVERY | ({"webp"} if HAS_WEBP else set())
    got = make(ImageSpec((50, 70)), data, (50, 70), formats=formats)
    with Image.open(io.BytesIO(data)) as seen:
        expected = np.asarray(seen.convert("RGB")).astype(int)
    difference = np.abs(got - expected)
    # TensorFlow's JPEG decoder chooses the faster, rougher transform; Pillow's does not.
    assert difference.max() <= (12 if kind == "JPEG" else 0)
    assert difference.mean() <= 2


@pytest.mark.skipif(not HAS_WEBP, reason="this TensorFlow does not decode WebP")
def test_an_animated_webp_that_tensorflow_would_crash_on_is_an_error(way):
    frames = [photograph(50, 70, seed) for seed in (0, 1)]
    data = stored(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    with pytest.raises(tf.errors.InvalidArgumentError, match="animated WebP"):
        make(ImageSpec((50, 70)), data, (50, 70), formats=frozenset({"webp"}))


def test_a_png_of_16_bits_keeps_the_upper_eight(way):
    levels = np.linspace(0, 65535, 50 * 70).reshape(50, 70).astype(np.uint16)
    data = stored(Image.fromarray(levels), "PNG")
    got = make(ImageSpec((50, 70)), data, (50, 70), formats=frozenset({"png"}))
    assert np.abs(got.astype(int) - (levels >> 8)[..., None]).max() <= 1


@pytest.mark.parametrize("dtype", images.DTYPES)
def test_every_dtype_holds_the_same_pixels(way, dtype):
    data = stored(photograph(90, 120))
    plain = make(ImageSpec((40, 50)), data, (90, 120))
    got = make(ImageSpec((40, 50), dtype=dtype), data, (90, 120))
    assert got.dtype == tf.as_dtype(dtype).as_numpy_dtype
    assert np.abs(got.astype(float) - plain).max() <= 1


@pytest.mark.parametrize("dtype", images.DTYPES[1:])
def test_every_normalization_is_its_formula(way, dtype):
    data = stored(photograph(90, 120))
    plain = make(ImageSpec((40, 50), dtype="float32"), data, (90, 120))
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    for normalize, expected in {
        "unit": plain / 255,
        "imagenet": (plain / 255 - mean) / deviation,
        "standardize": tf.image.per_image_standardization(plain).numpy(),
    }.items():
        got = make(ImageSpec((40, 50), dtype=dtype, normalize=normalize), data, (90, 120))
        tolerance = {"float32": 1e-4, "float16": 4e-3, "bfloat16": 2e-2}[dtype]
        np.testing.assert_allclose(got.astype(float), expected, atol=tolerance, rtol=tolerance)


def test_a_flip_mirrors_what_the_window_shows(way):
    data = stored(photograph(90, 120))
    spec = ImageSpec((40, 50), mode="random_crop", flip=True)
    place = [0.4, 0.5, 0.2, 0.9]
    straight = make(spec, data, (90, 120), draws=[*place, 0.5])
    mirrored = make(spec, data, (90, 120), draws=[*place, 0.499])
    assert np.abs(straight[:, ::-1].astype(int) - mirrored).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 3)])
@pytest.mark.parametrize("mode", images.MODES)
def test_the_smallest_pictures_make_images(way, mode, size):
    data = stored(Image.new("RGB", size[::-1], (200, 100, 50)))
    got = make(ImageSpec((9, 7), mode=mode), data, size)
    if mode == "crop_or_pad":
        assert (got.reshape(-1, 3).max(axis=0) > (190, 90, 40)).all()
    else:
        assert np.abs(got - np.array((200, 100, 50))).max() <= 4


@pytest.mark.parametrize("antialias", [None, True])
def test_a_large_photograph_is_near_the_mean_of_what_its_pixels_cover(way, antialias):
    data = stored(photograph(1120, 1792))
    full = tf.io.decode_jpeg(data, channels=3).numpy().astype(float)
    expected = full.reshape(140, 8, 224, 8, 3).mean(axis=(1, 3))
    got = make(ImageSpec((140, 224), antialias=antialias), data, (1120, 1792))
    assert np.abs(got - expected).max() <= 6
    assert np.abs(got - expected).mean() <= 1.5


def test_branches_for_reduced_decoding_are_left_out_where_no_picture_is_that_large():
    def operations(largest):
        spec = ImageSpec((224, 224))
        view = images.View(tf.constant([0.0, 0, 375, 500]), tf.constant(False))

        @tf.function
        def render(encoded):
            return images.render(
                spec, encoded, view, height=375, width=500, orientation=1, formats=JPEG,
                rotated=False, largest=largest,
            )  # fmt: skip

        graph = render.get_concrete_function(tf.TensorSpec([], tf.string)).graph
        return {operation.type.removeprefix("Stateless") for operation in graph.get_operations()}

    assert "Case" not in operations((447, 4000))
    assert "Case" in operations((448, 448))


def test_a_random_crop_has_at_least_the_share_of_the_picture_that_was_asked_for():
    spec = ImageSpec((8, 8), mode="random_crop", area=(0.5, 0.9))
    draws = np.random.default_rng(0).random((500, 4), np.float32)
    view = images.plan(spec, np.full(500, 300), np.full(500, 400), draws)
    share = (view.window[:, 2] * view.window[:, 3]).numpy() / (300 * 400)
    assert 0.495 < share.min() < 0.52
    assert 0.88 < share.max() < 0.905


@pytest.mark.parametrize("area", [(0, 1), (0.5, 0.4), (0.5, 1.1), 0.5, (0.1, 0.2, 0.3)])
def test_an_area_that_is_no_range_of_shares_is_refused(area):
    with pytest.raises(InvalidArgumentError, match="area must be the least and the greatest"):
        ImageSpec((8, 8), mode="random_crop", area=area)


@pytest.mark.parametrize("mode", ["resize", "random_crop"])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("size", [(100, 120), (80, 120), (120, 90)])
def test_a_picture_of_another_size_than_its_record_says_is_an_error(way, mode, form, size):
    data = stored(photograph(90, 120), form)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"the record"):
        make(ImageSpec((40, 50), mode=mode), data, size, formats=frozenset({form.lower()}))


@pytest.mark.parametrize("formats", [JPEG, EVERY, frozenset({"png"})])
@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"BM", b"RIFF", b"no picture at all" * 9])
def test_what_is_no_picture_is_an_error(way, formats, data):
    with pytest.raises(tf.errors.InvalidArgumentError):
        make(ImageSpec((40, 50)), data, (90, 120), formats=formats)


def test_a_truncated_jpeg_is_an_error(way):
    data = stored(photograph(90, 120))
    with pytest.raises(tf.errors.InvalidArgumentError):
        make(ImageSpec((40, 50)), data[: len(data) // 2], (90, 120))


def test_a_format_that_is_not_decoded_is_named_before_anything_runs():
    with pytest.raises(InvalidArgumentError, match=r"'npy'.*tfstream\.RAW"):
        pixels.check_formats(frozenset({"jpeg", "npy"}))


def test_webp_is_named_where_tensorflow_does_not_decode_it(monkeypatch):
    if HAS_WEBP:
        monkeypatch.delattr(tf.io, "decode_webp")
    with pytest.raises(InvalidArgumentError, match=f"WebP.*{tf.__version__}"):
        pixels.check_formats(frozenset({"webp"}))


def test_raw_names_itself():
    assert repr(images.RAW) == "tfstream.RAW"
    assert isinstance(images.RAW, images.Raw)
