"""Tests of tfstream/view/app.py and answers.py: what the page is told."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import outlined
import pytest
import scenes
import tiny_dataset
from PIL import Image
from starlette.testclient import TestClient
from view_server import client_of

import tfstream
from tfstream import versions
from tfstream.v1.annotated_image_pb2 import (
    AnnotatedImage,
    Box,
    Keypoint,
    Object,
    Polygon,
    Tensor,
    Value,
)


def get(client: TestClient, what: str, status: int = 200, **given: object):
    answer = client.get(f"/api/{what}", params={k: str(v) for k, v in given.items()})
    assert answer.status_code == status, answer.text
    return answer.json()


def tiles(client: TestClient, status: int = 200, **given: object):
    asked = {"side": 160, **given}
    answer = client.get("/api/records", params={k: str(v) for k, v in asked.items()})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_the_page_is_told_what_is_viewed(client: TestClient, packed: Path) -> None:
    told = get(client, "about")
    data = tfstream.open(packed)
    assert told["path"] == str(packed)
    assert (told["version"], told["newest"]) == (1, 1)
    assert (told["records"], told["labels"]) == (len(data), 2)
    assert told["splits"] == ["train", "val"]


@pytest.mark.parametrize("query", ["", "labels.cat >= 2", 'camera:"top"', "@limit:5 label:dog"])
def test_the_records_of_a_query_come_in_its_order(
    client: TestClient, packed: Path, query: str
) -> None:
    data = tfstream.open(packed)
    chosen = data.slice(query) if query else data
    assert get(client, "found", q=query)["records"] == len(chosen)
    page = tiles(client, q=query, begin=2, count=2)
    assert [each["key"] for each in page] == [chosen[place]["key"] for place in (2, 3)]
    past = tiles(client, q=query, begin=len(chosen) - 1, count=9)
    assert [each["key"] for each in past] == [chosen[len(chosen) - 1]["key"]]


def test_the_members_of_data_points_are_records_too(client: TestClient, packed: Path) -> None:
    points = tfstream.open(packed).slice("@datapoint_by:scene objects > 0")
    members = [each for point in points for each in point["members"] if each is not None]
    told = get(client, "found", q="@datapoint_by:scene objects > 0")
    assert told["records"] == len(members)
    page = tiles(client, q="@datapoint_by:scene objects > 0", begin=0, count=3)
    assert [each["key"] for each in page] == [each["key"] for each in members[:3]]


@pytest.mark.parametrize(
    ("query", "column", "said"),
    [
        ("widht > 3", 1, "There is no field 'widht'. Did you mean width?"),
        ("width > 3 and label:dgo", 21, "dgo"),
        ("(label:dog", 1, "This '(' is not closed."),
    ],
)
def test_a_mistake_is_told_with_its_place(
    client: TestClient, query: str, column: int, said: str
) -> None:
    told = get(client, "found", 400, q=query)
    assert told["column"] == column
    assert said in told["error"]
    assert "\n" not in told["error"]
    assert "column" not in told["error"]


def test_a_query_without_a_result_has_empty_pages(client: TestClient) -> None:
    assert get(client, "found", q="width > 9999")["records"] == 0
    assert tiles(client, q="width > 9999", begin=0, count=5) == []
    assert get(client, "histograms", q="width > 9999")[1]["bars"] == []
    told = get(client, "batch", 400, q="width > 9999")
    assert "selects no record" in told["error"]
    assert "no record 0 of 0" in get(client, "record", 400, q="width > 9999", place=0)["error"]


def test_a_record_is_told_whole(tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (40, 20), (200, 10, 10)).save(picture, "PNG")
    mask = io.BytesIO()
    Image.new("L", (40, 20), 1).save(mask, "PNG")
    image = AnnotatedImage(
        key="train/a",
        image_path="x/a.png",
        encoded=picture.getvalue(),
        format="png",
        width=40,
        height=20,
        void=mask.getvalue(),
        metadata={"number": Value(int_value=1 << 60), "half": Value(float_value=float("nan"))},
        objects=[
            Object(
                label="cat",
                box=Box(ymin=5, xmin=10, ymax=15, xmax=30),
                difficult=True,
                polygons=[Polygon(x=[10, 30, 20], y=[5, 5, 15])],
                keypoints=[Keypoint(x=20, y=10, visibility=2, name="nose")],
                mask=mask.getvalue(),
            )
        ],
    )
    tiny_dataset.write_dataset(tmp_path / "data", {"train": [[image]]})
    client = client_of(tmp_path / "data")
    told = get(client, "record", place=0)
    assert told["key"] == "train/a"
    assert told["shard"] == "shards/train-ab-00000.tfrecord"
    assert (told["offset"], told["split"], told["filename"]) == (0, "train", "a.png")
    assert told["titles"] == {"cat": "Cat"}
    # What JavaScript's numbers cannot hold is text.
    assert told["metadata"] == {"number": str(1 << 60), "half": "nan"}
    assert told["objects"] == [
        {
            "label": "cat",
            "class": 0,
            "flags": ["difficult"],
            "box": [0.25, 0.25, 0.75, 0.75],
            "polygons": [[0.25, 0.25, 0.75, 0.25, 0.5, 0.75]],
            "keypoints": [[0.5, 0.5, 2, "nose"]],
            "mask": {"width": 40, "height": 20, "runs": [0, 800]},
        }
    ]
    assert told["void"] == {"width": 40, "height": 20, "runs": [0, 800]}
    (brief,) = tiles(client, begin=0, count=1)
    assert (brief["objects"], brief["void"]) == (told["objects"], told["void"])


def test_pictures_are_made_of_the_sizes_that_there_are(client: TestClient, packed: Path) -> None:
    pictures = get(client, "found")["pictures"]
    answer = client.get(f"/picture/{pictures}/0/160")
    assert answer.headers["content-type"] == "image/jpeg"
    assert "immutable" in answer.headers["cache-control"]
    with Image.open(io.BytesIO(answer.content)) as picture:
        # No larger than it is.
        assert (picture.height, picture.width) == tfstream.open(packed)[0]["image"].shape[:2]
    assert client.get(f"/picture/{pictures}/0/161").status_code == 400
    answer = client.get(f"/picture/{pictures}/99999/160")
    assert answer.status_code == 400
    assert "has no record 99999" in answer.json()["error"]


def test_records_come_with_their_pictures(client: TestClient) -> None:
    pictures = get(client, "found")["pictures"]
    for told in tiles(client, begin=1, count=5, side=320):
        answer = client.get(f"/picture/{pictures}/{told['number']}/320")
        assert base64.b64decode(told["picture"]) == answer.content


def test_what_is_damaged_is_told_by_its_key_and_hides_no_other(tmp_path: Path) -> None:
    images = [scenes.image(number, "left") for number in range(3)]
    images[0].encoded = b"\xff\xd8 no picture"
    tiny_dataset.write_dataset(tmp_path / "data", {"train": [images]}, scenes.SCHEMA)
    (shard,) = (tmp_path / "data/shards").glob("*.tfrecord")
    data = bytearray(shard.read_bytes())
    data[-20] ^= 1  # in the last record
    shard.write_bytes(data)
    client = client_of(tmp_path / "data")
    undecodable, good, corrupt = tiles(client, begin=0, count=3)
    assert "error" not in undecodable
    assert undecodable["picture"] is None
    assert good["picture"]
    assert corrupt["key"] == images[2].key
    assert "CRC" in corrupt["error"] or "checksum" in corrupt["error"]
    pictures = get(client, "found")["pictures"]
    answer = client.get(f"/picture/{pictures}/0/160")
    assert answer.status_code == 422
    assert f"{images[0].key!r} cannot be decoded" in answer.json()["error"]
    told = get(client, "record", place=2)
    assert told["key"] == images[2].key
    assert told["error"] == corrupt["error"]


def test_a_record_without_an_image_says_what_it_holds(tmp_path: Path) -> None:
    tensor = Tensor(dtype="float32", shape=[2, 3], data=bytes(24))
    image = AnnotatedImage(key="a", format="tensor", tensor=tensor, target=tensor)
    tiny_dataset.write_dataset(tmp_path / "data", {"train": [[image]]}, {})
    client = client_of(tmp_path / "data")
    (brief,) = tiles(client, begin=0, count=1)
    assert (brief["instead"], brief["picture"]) == ("float32 [2, 3]", None)
    told = get(client, "record", place=0)
    assert (told["instead"], told["target"]) == ("float32 [2, 3]", "float32 [2, 3]")


def test_a_slice_is_kept_and_can_be_looked_at(own: Path) -> None:
    client = client_of(own)
    made = client.post("/api/slices", json={"q": "label:dog", "name": "dogs"})
    assert made.status_code == 200
    assert made.json()["records"] == len(tfstream.open(own, slice="dogs"))
    assert get(client, "about")["slices"] == ["dogs"]
    assert get(client, "found", slice="dogs")["records"] == made.json()["records"]
    within = get(client, "found", slice="dogs", q="labels.cat >= 1")["records"]
    assert within == len(tfstream.open(own).slice("label:dog labels.cat >= 1"))


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"q": "label:cat", "name": "kept"}, 409, "exists already"),
        ({"q": "label:cat", "name": "../up"}, 400, "'../up' cannot be the name of a slice"),
        ({"q": "label:cat"}, 400, "cannot be the name of a slice"),
        ({"q": "label:", "name": "x"}, 400, "ends where a value must be"),
        ([1], 400, "must be a JSON object"),
    ],
)
def test_what_cannot_be_kept_is_told(own: Path, body: object, status: int, said: str) -> None:
    tfstream.open(own).slice("label:dog").save("kept")
    answer = client_of(own).post("/api/slices", json=body)
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert [path.name for path in (own / "slices").iterdir()] == ["kept.parquet"]


def test_a_newer_version_is_told_and_the_old_one_stays(own: Path) -> None:
    client = client_of(own)
    before = get(client, "found")
    versions.remove(own, "label:dog", message="no dogs")
    assert get(client, "newest") == 2
    assert get(client, "found") == before
    after = get(client, "found", version=2)
    assert after["records"] == len(tfstream.open(own)) < before["records"]
    assert after["pictures"] != before["pictures"]
    assert get(client, "found", q="@version:2")["records"] == after["records"]
    told = get(client, "difference", before=1, after=2)
    assert told["removed"] == before["records"] - after["records"]
    assert {each["kind"] for each in told["records"]} == {"removed"}
    key = told["records"][0]["key"]
    place = get(client, "find", version=1, key=key)
    assert get(client, "record", version=1, place=place)["key"] == key
    assert key in get(client, "find", 404, version=2, key=key)["error"]
    assert [info["number"] for info in get(client, "versions")] == [2, 1]


@pytest.mark.parametrize(
    ("what", "given", "status", "said"),
    [
        ("found", {"version": 7}, 404, "version 7"),
        ("found", {"version": "x"}, 400, "version must be a whole number (got 'x')"),
        ("found", {"slice": "none"}, 404, "no slice 'none'"),
        ("found", {"slice": "../x"}, 400, "cannot be the name of a slice"),
        ("records", {}, 400, "begin must be a whole number (got None)"),
        ("records", {"begin": 0, "count": 1, "side": 161}, 400, "pictures are made of (160, 320"),
        ("record", {"place": -1}, 400, "no record -1"),
        ("batch", {"mode": "twist"}, 400, "mode must be one of"),
        ("batch", {"height": 99999}, 400, "size must be"),
        ("batch", {"area": "x"}, 400, "area must be a number in 0..1 (got 'x')"),
        ("batch", {"batch_size": 1000}, 400, "batch_size must be 1 to 64 here (got 1000)"),
    ],
)
def test_what_cannot_be_asked_is_told_in_a_sentence(
    client: TestClient, what: str, given: dict[str, object], status: int, said: str
) -> None:
    assert said in get(client, what, status, **given)["error"]


def test_a_batch_is_the_streams_own(client: TestClient, packed: Path) -> None:
    given = {"batch_size": 4, "seed": 3, "height": 24, "width": 24, "flip": 1}
    told = get(client, "batch", q="objects > 0", step=1, epoch=2, **given)
    spec = tfstream.ImageSpec(size=(24, 24), mode="random_crop", flip=True)
    batches = (
        tfstream.open(packed)
        .slice("objects > 0")
        .to_numpy_iterator(
            batch_size=4, image=spec, label=None, boxes="ragged", elements="dict", seed=3
        )
    )
    for _ in range(3):
        epoch = list(batches)
    expected = epoch[1]
    assert [each["key"] for each in told["images"]] == expected["key"].tolist()
    for each, boxes in zip(told["images"], expected["boxes"], strict=True):
        assert [item["box"] for item in each["objects"]] == [
            [round(float(side), 5) for side in box] for box in boxes
        ]
        assert each["source"].startswith("data:image/jpeg;base64,")
    assert told["steps"] == len(batches)
    last = get(client, "batch", q="objects > 0", step=10**6, **given)
    assert last["step"] == told["steps"] - 1


def test_masks_and_keypoints_follow_in_a_batch(tmp_path: Path) -> None:
    path = outlined.write(tmp_path / "packed")
    given = {"batch_size": 4, "seed": 3, "height": 40, "width": 40, "flip": 1, "area": "0.5"}
    told = get(client_of(path), "batch", **given)
    points = tuple(outlined.TIPS)
    spec = tfstream.ImageSpec(size=(40, 40), mode="random_crop", flip=True, area=(0.5, 1.0))
    code = f'boxes="ragged", masks="instance", keypoints={points!r}, seed=3)'
    assert told["code"].endswith(code)
    stream = tfstream.open(path).to_numpy_iterator(
        batch_size=4, image=spec, label=None, boxes="ragged", masks="instance",
        keypoints=points, elements="dict", seed=3,
    )  # fmt: skip
    expected = next(iter(stream))
    assert sum(len(each["objects"]) for each in told["images"]) > 4
    for number, each in enumerate(told["images"]):
        for place, item in enumerate(each["objects"]):
            mask = expected["masks"][number][place]
            inside = np.arange(len(item["mask"]["runs"])) % 2 == 1
            np.testing.assert_array_equal(np.repeat(inside, item["mask"]["runs"]), mask.ravel())
            for (x, y, visibility, name), point, named in zip(
                item["keypoints"], expected["keypoints"][number][place], points, strict=True
            ):
                assert name == named
                np.testing.assert_allclose([y, x, visibility], point, atol=1e-5)


def test_a_bucket_is_viewed_through_the_cache(own: Path, bucket, tmp_path: Path) -> None:
    bucket.upload(own)
    client = client_of(bucket.uri, cache_dir=str(tmp_path / "cache"))
    data = tfstream.open(own)
    assert get(client, "found", q="label:dog")["records"] == len(data.slice("label:dog"))
    page = tiles(client, begin=0, count=3)
    assert [each["key"] for each in page] == [data[place]["key"] for place in range(3)]
    told = get(client, "record", place=1)
    assert (told["key"], told["shard"][:7]) == (data[1]["key"], "shards/")
    pictures = get(client, "found")["pictures"]
    assert client.get(f"/picture/{pictures}/2/160").headers["content-type"] == "image/jpeg"
    assert any((tmp_path / "cache/objects").iterdir())
    assert client.post("/api/slices", json={"name": "all"}).json()["records"] == len(data)
    assert "slices/all.parquet" in bucket.names()


def test_markup_stays_text(tmp_path: Path) -> None:
    evil = '<img src=x onerror="alert(1)">'
    image = scenes.image(4, "left")
    image.key = f"train/{evil}"
    image.metadata["camera"].string_value = evil
    tiny_dataset.write_dataset(tmp_path / "data", {"train": [[image]]}, scenes.SCHEMA)
    client = client_of(tmp_path / "data")
    (told,) = tiles(client, begin=0, count=1)
    assert told["key"] == image.key
    for what in ("histograms", "record?place=0"):
        answer = client.get(f"/api/{what}")
        assert answer.headers["content-type"] == "application/json"
    bars = {each["title"]: each["bars"] for each in get(client, "histograms")}["camera"]
    assert bars[0]["text"] == evil
    assert get(client, "found", q=bars[0]["condition"])["records"] == 1


def test_no_script_of_the_page_reads_text_as_markup() -> None:
    static = Path(tfstream.__file__).parent / "view/static"
    for script in static.glob("*.js"):
        text = script.read_text()
        for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert way not in text, script
    page = (static / "index.html").read_text()
    assert "<script>" not in page
    assert " on" + "click" not in page
    assert "style=" not in page
