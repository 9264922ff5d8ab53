"""Image files: what they are, and whether they are whole."""

import pytest
import trees
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tfstream.errors import AnnotationError, StorageError
from tfstream.packing.images import check_body, probe


def look(path, data):
    facts = probe(str(trees.put(path, data)))
    check_body(str(path), data)
    return facts


@pytest.mark.parametrize("format", ["JPEG", "PNG", "BMP", "GIF", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_the_format_is_that_of_the_bytes(tmp_path, format, orientation):
    facts = look(tmp_path / "a.jpg", trees.encoded(trees.picture(1), format, orientation))
    turned = orientation == 6 and format in ("JPEG", "PNG", "WEBP")
    assert (facts.format, facts.width, facts.height) == (format.lower(), 48, 36)
    assert facts.orientation == (6 if turned else 1)
    assert facts.displayed == ((36, 48) if turned else (48, 36))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_are_images_too(tmp_path, mode):
    assert look(tmp_path / "a", trees.encoded(trees.picture(1, mode=mode))).width == 48


def test_all_kinds_of_jpeg_are_followed_to_their_end(tmp_path):
    picture = trees.picture(3)
    exif = Image.Exif()
    exif[0x010E] = "d" * 20_000  # longer than what is read at first
    exif[0x0112] = 8
    for number, settings in enumerate(
        [
            {"progressive": True},
            {"restart_marker_blocks": 1},
            {"comment": "c" * 9000},
            {"exif": exif},
            {"subsampling": 0, "optimize": True},
        ]
    ):
        path = tmp_path / f"{number}.jpg"
        picture.save(path, "JPEG", **settings)
        facts = look(path, path.read_bytes())
        assert (facts.width, facts.height) == (48, 36)
    assert probe(str(tmp_path / "3.jpg")).orientation == 8


@pytest.mark.parametrize("format", ["JPEG", "PNG", "BMP", "GIF", "WEBP"])
@pytest.mark.parametrize("part", [0.05, 0.5, 0.9])
def test_a_file_that_was_cut_short_is_refused(tmp_path, format, part):
    data = trees.encoded(trees.picture(1), format)
    with pytest.raises(AnnotationError, match=r"a\.img"):
        look(tmp_path / "a.img", data[: int(len(data) * part)])


def test_a_jpeg_without_its_end_is_refused(tmp_path):
    data = trees.encoded(trees.picture(1, 200, 200))
    for cut in (data[:-1], data[:-2], data[: len(data) // 2] + bytes(len(data) // 2)):
        with pytest.raises(AnnotationError, match="end-of-image marker is missing"):
            look(tmp_path / "a", cut)


def test_bytes_behind_the_end_do_no_harm(tmp_path):
    for format in ("JPEG", "PNG"):
        look(tmp_path / "a", trees.encoded(trees.picture(1), format) + b"\0" * 100)


def test_a_marker_in_the_midst_of_the_pixels_is_found(tmp_path):
    data = bytearray(trees.encoded(trees.picture(1, 200, 200)))
    data[-1000:-998] = b"\xff\xc4"
    probe(str(trees.put(tmp_path / "a", bytes(data))))
    with pytest.raises(AnnotationError, match="cannot be decoded"):
        check_body("a", bytes(data))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty: it has 0 bytes"),
        (b"hello", "is not an image that can be decoded: it begins with b'hello'"),
        (b"\xff\xd8", "is not an image"),
        (b"\xff\xd8\xff\xd9", "is not an image"),
        (trees.encoded(trees.picture(1), "TIFF"), "is a TIFF file"),
    ],
)
def test_what_is_no_image_is_named(tmp_path, data, words):
    with pytest.raises(AnnotationError) as caught:
        look(tmp_path / "a", data)
    assert f"{tmp_path / 'a'} {words}" in str(caught.value)


def test_a_directory_is_no_image(tmp_path):
    with pytest.raises(StorageError, match="Cannot read .*: Is a directory"):
        probe(str(tmp_path))


@given(st.data())
def test_damage_gives_facts_or_a_clear_error(tmp_path_factory, data):
    good = trees.encoded(trees.picture(2), data.draw(st.sampled_from(["JPEG", "PNG"])))
    at = data.draw(st.integers(0, len(good) - 1))
    damaged = (
        good[:at] + data.draw(st.binary(max_size=3)) + good[at + data.draw(st.integers(0, 9)) :]
    )
    path = tmp_path_factory.getbasetemp() / "damaged"
    try:
        look(path, damaged)
    except AnnotationError as error:
        told = str(error)
    else:
        told = str(path)
    assert str(path) in told
