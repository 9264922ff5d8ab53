"""Tests of tfstream/adapters/found.py: native code finds what protobuf reads, or declines."""

from __future__ import annotations

import io
import random

import pytest
from PIL import Image

from tfstream import native
from tfstream.adapters.found import Found
from tfstream.errors import CorruptRecordError
from tfstream.format import example, record
from tfstream.v1 import example_pb2

needs_library = pytest.mark.skipif(native.samples() is None, reason="needs the built library")

NUMBERS = {example.HEIGHT: 375, example.WIDTH: 500, example.ORIENTATION: 1, example.LABEL: 300}
TEXTS = {example.KEY: "n01/ä 1".encode(), example.LABEL_TEXT: b"dog"}


def jpeg(width=500, height=375):
    out = io.BytesIO()
    Image.new("RGB", (width, height), (9, 99, 199)).save(out, "JPEG")
    return out.getvalue()


def message(**lists):
    """An Example of features: {name: values}, of one kind each."""
    out = example_pb2.Example()
    for name, values in lists.items():
        feature = out.features.feature[name]
        if isinstance(values[0], bytes):
            feature.bytes_list.value.extend(values)
        elif isinstance(values[0], float):
            feature.float_list.value.extend(values)
        else:
            feature.int64_list.value.extend(values)
    return out


def ordinary(**more):
    single = {name: [value] for name, value in (NUMBERS | TEXTS).items()}
    others = {example.ENCODED: [jpeg()], example.BOX[0]: [0.5, 0.25], example.OBJECT_LABEL: [3, 1]}
    return message(**{**single, **others, **more})


def told(payload):
    """All that is found of a record, or why it is corrupt."""
    try:
        found = Found(payload, lambda: "here")
    except CorruptRecordError as error:
        return str(error)
    names = ("key", "height", "width", "orientation", "label", "labelled")
    return {**{name: getattr(found, name) for name in names}, "encoded": bytes(found.encoded)}


def by_protobuf(payload, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(native, "samples", lambda: None)
        return told(payload)


def is_taken(payload):
    """Whether native code does not decline a record."""
    return "features" not in vars(Found(payload, lambda: "here"))


@needs_library
def test_an_ordinary_record_is_not_parsed(monkeypatch):
    payload = ordinary().SerializeToString()
    assert is_taken(payload)
    assert told(payload) == by_protobuf(payload, monkeypatch)
    found = Found(payload, lambda: "here")
    assert (found.key, found.height, found.width, found.label) == ("n01/ä 1", 375, 500, 300)
    assert found.jpeg_size == (375, 500)
    assert found.encoded.obj is payload  # not copied
    assert found.features.values(example.OBJECT_LABEL) == [3, 1]


@needs_library
@pytest.mark.parametrize(
    "more",
    [
        {example.ENCODED: [b"\x89PNG and so on"]},
        {example.ENCODED: [b""]},
        {example.LABEL: [-1]},
        {example.HEIGHT: [2**40]},
        {example.ORIENTATION: [6]},
        {"another": [b"a", b"b"]},
        {"another": [1.5]},
    ],
)
def test_other_records_that_are_taken(more, monkeypatch):
    payload = ordinary(**more).SerializeToString()
    assert is_taken(payload)
    assert told(payload) == by_protobuf(payload, monkeypatch)


@needs_library
def test_what_is_absent_has_its_default(monkeypatch):
    payload = message(**{example.HEIGHT: [5]}).SerializeToString()
    assert is_taken(payload)
    assert told(payload) == by_protobuf(payload, monkeypatch)
    assert told(payload)["orientation"] == 1
    assert Found(payload, lambda: "here").jpeg_size is None


@needs_library
@pytest.mark.parametrize(
    "payload",
    [
        b"",
        ordinary(**{example.HEIGHT: [375, 2]}).SerializeToString(),
        ordinary(**{example.HEIGHT: [375.5]}).SerializeToString(),
        ordinary(**{example.ENCODED: [b"a", b"b"]}).SerializeToString(),
        ordinary(**{example.KEY: [7]}).SerializeToString(),
        ordinary(**{"ä": [7]}).SerializeToString(),
        # The same feature again, and a field that no Example has.
        ordinary().SerializeToString() + message(**{example.HEIGHT: [9]}).SerializeToString(),
        ordinary().SerializeToString() + b"\x12\x00",
        b"no Example at all",
        b"\x0a\xff\xff\xff\xff\x7f",
    ],
)
def test_what_is_out_of_the_ordinary_goes_to_protobuf(payload, monkeypatch):
    expected = by_protobuf(payload, monkeypatch)
    assert told(payload) == expected
    assert isinstance(expected, str) or not is_taken(payload)


@needs_library
def test_damaged_records_are_never_taken_for_others(monkeypatch):
    whole = ordinary(**{example.ENCODED: [jpeg(3, 2)[:60]]}).SerializeToString()
    draw = random.Random(0)
    outcomes = set()
    for cut in range(len(whole)):
        assert told(whole[:cut]) == by_protobuf(whole[:cut], monkeypatch), cut
    for _ in range(3000):
        damaged = bytearray(whole)
        for _ in range(draw.choice((1, 1, 2))):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        payload = bytes(damaged)
        expected = by_protobuf(payload, monkeypatch)
        assert told(payload) == expected, payload
        outcomes.add(isinstance(expected, str))
    assert outcomes == {True, False}


@needs_library
def test_a_frame_is_sound_for_native_code_where_it_is_for_python(monkeypatch):
    library = native.samples()
    framed = record.frame(b"a record" * 40)
    assert library.TfstreamIsFrame(framed, len(framed))
    flawed = [framed[:cut] for cut in range(len(framed))] + [framed + b"\0"]
    for place in range(len(framed)):
        flipped = bytearray(framed)
        flipped[place] ^= 1 << place % 8
        flawed.append(bytes(flipped))
    monkeypatch.setattr(native, "samples", lambda: None)
    assert record.unframe(framed, path="x", offset=0) == b"a record" * 40
    for each in flawed:
        assert not library.TfstreamIsFrame(each, len(each))
        with pytest.raises(CorruptRecordError):
            record.unframe(each, path="x", offset=0)
