"""TFRecord files of others as a dataset, compared with the same images packed by tfstream."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import foreign_records
import numpy as np
import packed
import pytest
import scenes
import tiny_dataset

import tfstream
from tfstream import errors
from tfstream.dataset import PackedDataset
from tfstream.format import manifest
from tfstream.format.verify import verify
from tfstream.indexing import indexer
from tfstream.v1.annotated_image_pb2 import AnnotatedImage

IMAGES = [scenes.image(scene, "left") for scene in range(12)]
del IMAGES[5].objects[:]  # a background
PIXELS = tfstream.ImageSpec(size=(24, 24), mode="random_crop", flip=True)


@dataclasses.dataclass(frozen=True)
class Layout:
    """The images in somebody's layout, indexed; and packed by tfstream, in the same order."""

    indexed: Path
    packed: Path
    shards: tuple[Path, ...]


@pytest.fixture(scope="module", params=["tfod", "tfds"])
def layout(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    root = tmp_path_factory.mktemp(request.param)
    if request.param == "tfds":
        foreign_records.write_tfds(root / "there", IMAGES)
        parts = [IMAGES[0::2], IMAGES[1::2]]
    else:
        parts = [IMAGES[:6], IMAGES[6:]]
        for place, part in enumerate(parts):
            name = f"scenes_train.record-{place:05d}-of-00002"
            payloads = [foreign_records.payload(foreign_records.tfod(image)) for image in part]
            foreign_records.write(root / "there" / name, payloads)
    tiny_dataset.write_dataset(root / "packed", {"train": parts}, scenes.SCHEMA)
    shards = tuple(sorted((root / "there").glob("*-of-*")))
    indexer.index(root / "there", progress=False)
    return Layout(root / "there", root / "packed", shards)


def plain(record: dict[str, Any]) -> dict[str, Any]:
    """A record's content, without its key and metadata, which layouts hold or not."""
    return {
        "image": record["image"].tolist(),
        "label": record["label"],
        "labels": record["objects"]["label"],
        "box": np.round(record["objects"]["box"], 6).tolist(),
    }


def test_records_by_hand_are_those_of_a_packed_dataset(layout: Layout) -> None:
    found, wanted = tfstream.open(layout.indexed), tfstream.open(layout.packed)
    assert found.splits == ("train",)
    assert found.labels.names == wanted.labels.names == ("cat", "dog")
    assert [plain(each) for each in found] == [plain(each) for each in wanted]


def streamed(data: PackedDataset, **options: Any) -> list[dict[str, Any]]:
    stream = data.stream(
        batch_size=4, image=PIXELS, label="index", boxes=4, elements="dict", seed=3, **options
    )
    return [{name: part.numpy() for name, part in batch.items()} for batch in stream]


def test_streams_are_those_of_a_packed_dataset(layout: Layout) -> None:
    found = streamed(tfstream.open(layout.indexed))
    wanted = streamed(tfstream.open(layout.packed))
    assert len(found) == len(wanted) == 3
    for one, other in zip(found, wanted, strict=True):
        for name in ("image", "label", "box_labels"):
            np.testing.assert_array_equal(one[name], other[name])
        np.testing.assert_allclose(one["boxes"], other["boxes"], atol=1e-6)


def test_arrays_without_tensorflow_are_those_of_a_packed_dataset(layout: Layout) -> None:
    both = [
        list(
            tfstream.open(root).to_numpy_iterator(
                batch_size=4, image=PIXELS, label="index", seed=3, prefetch=0
            )
        )
        for root in (layout.indexed, layout.packed)
    ]
    for (images, labels), (other_images, other_labels) in zip(*both, strict=True):
        np.testing.assert_array_equal(images, other_images)
        np.testing.assert_array_equal(labels, other_labels)


def test_a_stream_that_is_restored_goes_on_at_the_next_batch(layout: Layout) -> None:
    data = tfstream.open(layout.indexed)
    options = {"batch_size": 3, "image": None, "label": None, "elements": "dict", "seed": 5}
    whole = [batch["key"].numpy().tolist() for batch in data.stream(**options)]
    stream = data.stream(**options)
    state = stream.state(batches_consumed=2)
    rest = [batch["key"].numpy().tolist() for batch in data.stream(state=state, **options)]
    assert rest == whole[2:]


def test_queries_select_among_the_records(layout: Layout) -> None:
    data = tfstream.open(layout.indexed)
    wanted = sum(any(o.label == "dog" for o in image.objects) for image in IMAGES)
    dogs = data.slice("labels.dog >= 1")
    assert len(dogs) == wanted
    assert all("dog" in record["objects"]["label"] for record in dogs)


def test_verifying_finds_all_well_and_then_a_byte_that_changed(
    layout: Layout, tmp_path: Path
) -> None:
    assert verify(layout.indexed, processes=1) == []
    elsewhere = tmp_path / "elsewhere"
    copy = tmp_path / layout.shards[0].name
    data = bytearray(layout.shards[0].read_bytes())
    copy.write_bytes(data)
    indexer.index(copy, into=elsewhere, progress=False)
    data[60] ^= 1
    copy.write_bytes(data)
    (problem,) = verify(elsewhere, processes=1)
    assert problem.path == str(copy)
    assert "do not match their CRC32C" in problem.reason


def test_the_files_stay_as_they_were(layout: Layout) -> None:
    made = {name.split("/")[0] for name in packed.digests(layout.indexed)}
    there = {path.name for path in layout.shards}
    assert made - there <= {"manifests", "shards", "dataset_info.json", "objects-label.labels.txt"}
    assert not list(layout.indexed.glob("shards/*.tfrecord*"))


def test_a_mix_of_an_indexed_and_a_packed_dataset_has_the_samples_of_both(layout: Layout) -> None:
    options = {"batch_size": 4, "image": None, "label": "index", "elements": "dict"}
    mixed = tfstream.mix(
        {
            "ours": tfstream.open(layout.packed).stream(**options),
            "theirs": tfstream.open(layout.indexed).stream(**options),
        },
        stop="all_exhausted",
    )
    keys = {key for batch in mixed for key in batch["key"].numpy().tolist()}
    assert {image.key.encode() for image in IMAGES} <= keys


def test_records_without_a_key_have_file_and_number_also_after_some_are_removed(
    tmp_path: Path,
) -> None:
    payloads = [
        foreign_records.payload({"image": image.encoded, "label": place % 3})
        for place, image in enumerate(IMAGES)
    ]
    foreign_records.write(tmp_path / "a-train.tfrecord-00000-of-00002", payloads[:5])
    foreign_records.write(tmp_path / "a-train.tfrecord-00001-of-00002", payloads[5:])
    (tmp_path / "label.labels.txt").write_text("ant\nbee\ncow\n")
    data = tfstream.index(tmp_path, progress=False)
    assert data.labels.names == ("ant", "bee", "cow")
    assert data.labels.background is None
    assert data[5]["key"] == "a-train.tfrecord-00001-of-00002:0"
    tfstream.remove(tmp_path, "label:bee", message="no bees")
    less = tfstream.open(tmp_path)
    wanted = [
        f"a-train.tfrecord-{place // 5 if place < 5 else 1:05d}-of-00002:"
        f"{place if place < 5 else place - 5}"
        for place in range(len(IMAGES))
        if place % 3 != 1
    ]
    assert [record["key"] for record in less] == wanted
    stream = less.stream(batch_size=None, image=None, label=None, elements="dict", shuffle=False)
    assert [sample["key"].numpy().decode() for sample in stream] == wanted
    assert verify(tmp_path, processes=1) == []


def test_a_key_that_occurs_twice_gives_way_to_numbers(tmp_path: Path) -> None:
    # Unique among the records that are looked at first.
    many = [
        foreign_records.payload({"image": IMAGES[0].encoded, "image_id": place, "label": 1})
        for place in [*range(40), 3]
    ]
    foreign_records.write(tmp_path / "train.tfrecord", many)
    data = tfstream.index(tmp_path, progress=False)
    assert data[40]["key"] == "train.tfrecord:40"
    assert data[40]["metadata"] == {"image_id": 3}
    assert verify(tmp_path, processes=1) == []


# As mscoco_label_map.pbtxt is.
COCO = """
item {
  name: "/m/01yrx"
  id: 17
  display_name: "cat"
}
item {
  name: "/m/0bt9lr"
  id: 18
  display_name: "dog"
}
item {
  name: "NA"
  id: 19
  display_name: "horse"
  keypoints { id: 7 label: "nose" name: "nose" }
}
item {
  name: "NA"
  id: 20
  display_name: "sheep"
}
item {
  name: "bird"
  id: 2
}
"""


def test_classes_of_a_label_map_are_called_by_their_display_names(tmp_path: Path) -> None:
    (tmp_path / "map.pbtxt").write_text(COCO)
    payloads = [foreign_records.payload(foreign_records.tfod(image)) for image in IMAGES[:4]]
    foreign_records.write(tmp_path / "train.record", payloads)
    data = tfstream.index(tmp_path, labels=tmp_path / "map.pbtxt", progress=False)
    assert data.labels.names == ("bird", "cat", "dog", "horse", "sheep")
    assert [each["objects"]["label"] for each in data] == [
        [o.label for o in image.objects] for image in IMAGES[:4]
    ]


def test_numbers_without_names_are_called_by_the_display_names(tmp_path: Path) -> None:
    (tmp_path / "map.pbtxt").write_text(COCO)
    picture = IMAGES[0].encoded
    payloads = [foreign_records.payload({"image": picture, "label": number}) for number in (20, 17)]
    foreign_records.write(tmp_path / "train.record", payloads)
    data = tfstream.index(tmp_path, labels=tmp_path / "map.pbtxt", progress=False)
    assert [each["objects"]["label"] for each in data] == [["sheep"], ["cat"]]


def test_records_that_say_the_ids_of_a_label_map_keep_them(tmp_path: Path) -> None:
    """Those of Open Images, whose `image/object/class/text` is the item's `name`."""
    (tmp_path / "map.pbtxt").write_text(
        COCO.replace('name: "NA"\n  id: 19', 'name: "/m/x"\n  id: 19')
    )
    payloads = [
        foreign_records.payload({"image": IMAGES[0].encoded, "label_text": name})
        for name in ("/m/01yrx", "/m/0bt9lr")
    ]
    foreign_records.write(tmp_path / "train.record", payloads)
    data = tfstream.index(tmp_path, labels=tmp_path / "map.pbtxt", progress=False)
    assert data.labels.names == ("bird", "/m/01yrx", "/m/0bt9lr", "/m/x", "NA")
    assert data.labels.titles == ("", "cat", "dog", "horse", "sheep")


def test_shards_that_are_not_there_or_empty_are_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    payloads = [foreign_records.payload(foreign_records.tfod(image)) for image in IMAGES[:4]]
    foreign_records.write(tmp_path / "coco_train.record-00000-of-00001", payloads[:1])
    foreign_records.write(tmp_path / "coco_val.record-00001-of-00006", payloads[1:2])
    foreign_records.write(tmp_path / "coco_val.record-00003-of-00006", payloads[2:])
    (tmp_path / "coco_val.record-00005-of-00006").touch()
    data = tfstream.index(tmp_path, progress=True)
    assert len(data) == 4
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith(("Empty", "Not there"))] == [
        "Empty: coco_val.record-00005-of-00006 has 0 bytes, and so no record",
        "Not there, and not indexed: shards 0, 2, 4 of the 6 of coco_val.record",
    ]


def test_features_of_other_names_are_given_by_role(tmp_path: Path) -> None:
    payloads = [
        foreign_records.payload(
            {"my/jpeg": image.encoded, "my/thumb": image.encoded, "my/kind": "ab"[place % 2]}
        )
        for place, image in enumerate(IMAGES)
    ]
    path = foreign_records.write(tmp_path / "there" / "x.tfrecord", payloads)
    data = tfstream.index(
        path,
        into=tmp_path / "made",
        features={"image": "my/jpeg", "label_text": "my/kind"},
        splits={"mine": "*.tfrecord"},
        progress=False,
    )
    assert data.splits == ("mine",)
    assert [record["label"] for record in data[:4]] == ["a", "b", "a", "b"]
    assert manifest.load(tmp_path / "made").splits[0].shards[0].path == str(path)


def test_an_interrupted_run_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign_records.write_tfds(tmp_path, IMAGES)

    def stop(*arguments: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(manifest, "commit", stop)
        with pytest.raises(KeyboardInterrupt):
            indexer.index(tmp_path, progress=False)
    with pytest.raises(errors.DatasetNotFoundError):
        tfstream.open(tmp_path)
    result = indexer.index(tmp_path, progress=False)
    assert result.resumed == result.shards == 2
    assert result.splits == {"train": len(IMAGES)}
    assert verify(tmp_path, processes=1) == []


def test_two_processes_make_what_one_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexer, "_WORTH_PROCESSES", 0)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    foreign_records.write_tfds(tmp_path / "there", IMAGES)
    made = []
    for processes in (1, 2):
        into = tmp_path / f"{processes}"
        indexer.index(
            tmp_path / "there", into=into, processes=processes, author="a", progress=False
        )
        made.append(packed.digests(into))
    assert made[0] == made[1]


def test_records_that_tfstream_wrote_are_indexed_with_all_that_they_hold(tmp_path: Path) -> None:
    image = AnnotatedImage()
    image.CopyFrom(scenes.image(3, "left"))
    image.objects[0].difficult = True
    image.objects[0].polygons.add(x=[1, 9, 9], y=[1, 1, 9])
    tiny_dataset.write_dataset(tmp_path / "packed", {"train": [[image]]}, scenes.SCHEMA)
    (shard,) = (tmp_path / "packed").glob("shards/*.tfrecord")
    data = tfstream.index(shard, into=tmp_path / "made", progress=False)
    (found,) = data.stored.images(np.array([0]))
    (wanted,) = tfstream.open(tmp_path / "packed").stored.images(np.array([0]))
    assert str(found) == str(wanted)
    assert data[0]["metadata"] == tfstream.open(tmp_path / "packed")[0]["metadata"]


def test_files_that_tensorflow_wrote_are_streamed_as_tensorflow_reads_them(tmp_path: Path) -> None:
    import tensorflow as tf

    path = str(tmp_path / "shapes_val.record-00000-of-00001")
    with tf.io.TFRecordWriter(path) as writer:
        for image in IMAGES[:4]:
            made = tf.train.Example()
            made.ParseFromString(foreign_records.payload(foreign_records.tfod(image)))
            writer.write(made.SerializeToString())
    data = tfstream.index(tmp_path, progress=False)
    assert data.splits == ("val",)
    read = [
        tf.train.Example.FromString(record.numpy()).features.feature["image/encoded"]
        for record in tf.data.TFRecordDataset(path)
    ]
    stream = data.stream(batch_size=None, image=tfstream.RAW, label=None, shuffle=False)
    assert [sample.numpy() for sample in stream] == [each.bytes_list.value[0] for each in read]
