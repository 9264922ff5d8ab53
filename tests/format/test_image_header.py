"""Formats and sizes from the first bytes of image files."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tfstream.format.image_header import ImageHeader, read_header

FORMATS = {
    "jpeg": ("JPEG", {}),
    "progressive": ("JPEG", {"progressive": True}),
    "png": ("PNG", {}),
    "gif": ("GIF", {}),
    "bmp": ("BMP", {}),
    "webp": ("WEBP", {}),
    "lossless": ("WEBP", {"lossless": True}),
    "extended": ("WEBP", {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"}),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_the_header_says_what_pillow_says(kind: str) -> None:
    name, options = FORMATS[kind]
    buffer = io.BytesIO()
    Image.new("RGB", (37, 21), "red").save(buffer, name, **options)
    assert read_header(buffer.getvalue()) == ImageHeader(name.lower(), 37, 21)


def test_segments_before_the_size_are_stepped_over() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (37, 21)).save(buffer, "JPEG", comment=b"\xff\xc0" * 9000, exif=b"Exif\0\0")
    assert read_header(buffer.getvalue()) == ImageHeader("jpeg", 37, 21)


@given(st.sampled_from([b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"RIFF0000WEBP"]))
def test_a_header_that_is_cut_short_is_no_image(start: bytes) -> None:
    assert read_header(start) is None


@given(st.binary(max_size=64), st.sampled_from([b"", b"\xff\xd8\xff", b"RIFF0000WEBPVP8X"]))
def test_any_bytes_have_a_size_or_none(data: bytes, start: bytes) -> None:
    found = read_header(start + data)
    assert found is None or (found.width > 0 and found.height > 0)
