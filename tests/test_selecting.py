"""What one can ask of a dataset: slices, samples, orders, groups, partitions, data points."""

import collections
import contextlib
import pickle
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scenes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from query.mutated import mutate

import tfstream
from tfstream import errors


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return scenes.write(tmp_path_factory.mktemp("scenes") / "packed")


@pytest.fixture(scope="module")
def data(root):
    return tfstream.open(root)


def keys(data):
    return data.metadata["key"].to_pylist()


def streamed(data, **arguments):
    arguments = {"image": None, "label": None, "shuffle": False} | arguments
    ds = data.stream(elements="dict", batch_size=5, **arguments)
    return [key.decode() for batch in ds.as_numpy_iterator() for key in batch["key"].tolist()]


def meant(data, wanted):
    """The keys of the records that a Python function accepts, in storage order."""
    return [row["key"] for row in data.metadata.to_pylist() if wanted(row, dict(row["labels"]))]


QUERIES = {
    "labels.cat >= 2 and width > 50": lambda row, labels: (
        labels.get("cat", 0) >= 2 and row["width"] > 50
    ),
    "labels.dog = 0": lambda row, labels: labels.get("dog", 0) == 0,
    "camera:right AND scene:[3 TO 9}": lambda row, labels: (
        row["camera"] == "right" and row["scene"] is not None and 3 <= row["scene"] < 9
    ),
    'camera in ["left", "top"] or not (objects < 3)': lambda row, labels: (
        row["camera"] != "right" or row["objects"] >= 3
    ),
    "scene:null": lambda row, labels: row["scene"] is None,
    "file.night:true split:val": lambda row, labels: row["file.night"] and row["split"] == "val",
}


@pytest.mark.parametrize("query", QUERIES)
def test_a_slice_holds_what_its_query_says_in_storage_order(data, query):
    wanted = meant(data, QUERIES[query])
    part = data.slice(query)
    assert 0 < len(wanted) < len(data)
    assert len(part) == len(wanted)
    assert keys(part) == wanted
    assert streamed(part) == wanted
    assert [record["key"] for record in part] == wanted


def test_a_slice_of_a_slice_holds_what_both_select_in_the_first_one_s_order(data):
    part = data.sort_by("-width", "key").slice("camera:left").slice("labels.cat > 0")
    expected = sorted(
        (-row["width"], row["key"])
        for row in data.metadata.to_pylist()
        if row["camera"] == "left" and dict(row["labels"]).get("cat", 0) > 0
    )
    assert keys(part) == [key for _, key in expected]
    assert streamed(part) == keys(part)


def test_slices_and_splits_may_come_in_any_order(data):
    one = data.split("train").slice("camera:left")
    other = data.slice("camera:left").split("train")
    assert keys(one) == keys(other)
    assert one.splits == other.splits == ("train",)
    assert set(keys(one)) <= set(keys(data.split("train")))


def test_a_slice_is_answered_only_when_it_is_needed(tmp_path):
    root = scenes.write(tmp_path / "packed")
    part = tfstream.open(root).slice("width > 50").sort_by("width")
    indexes = sorted(root.glob("shards/*.parquet"))
    assert "width > 50" in repr(part)
    for path in indexes:
        path.rename(path.with_suffix(".away"))
    with pytest.raises((errors.StorageError, errors.CorruptRecordError), match=r"\.parquet"):
        len(part)


def test_a_wrong_query_is_refused_at_once(data):
    with pytest.raises(errors.InvalidArgumentError, match="width"):
        data.slice("widht > 50")
    with pytest.raises(errors.InvalidArgumentError, match="width"):
        data.sort_by("widht")
    with pytest.raises(errors.InvalidArgumentError, match="camera"):
        data.partition(train=0.5, by="camra")


ASKED = [
    *QUERIES,
    "@split:0.6:0.2:0.2 @seed:7 @phase:train camera:(left right)",
    "@split:scene @phase:3 @limit:4 @offset:1 label:cat or label:dog",
    "@sample:0.5 @group_by:scene @datapoint_by:scene not file.night:true",
    "@version:1 key:0*/left and day >= 2026-01-03",
]


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, (1 << 64) - 1))
def test_whatever_is_asked_is_answered_or_is_one_error_of_ours(data, seed):
    rng = random.Random(seed)
    with contextlib.suppress(errors.TfstreamError):
        assert 0 <= len(data.slice(mutate(rng, ASKED))) <= len(data)


def test_a_sample_is_always_the_same_and_in_storage_order(data):
    fifth = data.sample(0.2)
    assert keys(fifth) == keys(data.sample(0.2))
    assert keys(fifth) != keys(data.sample(0.2, seed=1))
    assert keys(data.sample(7)) == [key for key in keys(data) if key in set(keys(data.sample(7)))]
    assert len(data.sample(7)) == 7
    # What others there are changes nothing.
    left = data.slice("camera:left")
    assert set(keys(left.sample(0.2))) == set(keys(left)) & set(keys(fifth))


def test_what_was_drawn_can_be_drawn_from_again(data):
    half = data.sample(0.5)
    assert 0 < len(half.sample(0.5)) < len(half)
    train = data.partition(train=0.7, test=0.3).train
    parts = train.partition(train=0.5, val=0.5)
    assert min(map(len, parts)) > len(train) / 5
    split = data.slice("@split:0.5:0.5").split("test").slice("@split:0.5:0.5")
    assert min(len(split.split(name)) for name in split.splits) > 0


def test_limit_is_a_part_of_the_order(data):
    ordered = data.sort_by("key")
    assert keys(ordered.limit(4, offset=2)) == keys(ordered)[2:6]
    assert len(ordered.limit(10_000)) == len(data)


def test_counts_of_labels_are_an_order_and_groups(data):
    counts = [dict(row["labels"]).get("cat", 0) for row in data.metadata.to_pylist()]
    ordered = data.sort_by("-labels.cat").metadata["labels"].to_pylist()
    assert [dict(labels).get("cat", 0) for labels in ordered] == sorted(counts, reverse=True)
    assert {n: len(part) for n, part in data.group_by("labels.cat").items()} == dict(
        sorted(collections.Counter(counts).items())
    )


def test_groups_hold_each_record_once(data):
    groups = data.group_by("camera")
    assert list(groups) == ["left", "right", "top"]
    assert sorted(key for part in groups.values() for key in keys(part)) == sorted(keys(data))
    assert list(data.group_by("scene"))[-1] is None


def test_a_partition_shares_nothing_and_keeps_groups_together(data):
    train, val, test = parts = data.partition(train=0.6, val=0.2, test=0.2, by="scene")
    assert (parts.train, parts.val, parts.test) == (train, val, test)
    assert sorted(key for part in parts for key in keys(part)) == sorted(keys(data))
    scenes_of = [{key.split("/")[0] for key in keys(part)} for part in parts]
    numbered = [some - {f"{scenes.SCENES - 1:02d}"} for some in scenes_of]
    assert all(one.isdisjoint(other) for one in numbered for other in numbered if one is not other)
    assert all(map(len, parts))


def test_a_split_of_a_query_is_the_dataset_s_own(data):
    part = data.slice("@split:0.5:0.3:0.2 camera:left")
    assert part.splits == ("train", "test", "validation")
    lengths = {name: len(part.split(name)) for name in part.splits}
    assert sum(lengths.values()) == len(part) == len(data.slice("camera:left"))
    counted = collections.Counter(part.metadata["split"].to_pylist())
    assert counted == {name: length for name, length in lengths.items() if length}
    assert keys(data.slice("@split:0.5:0.3:0.2 camera:left @phase:test")) == keys(
        part.split("test")
    )
    with pytest.raises(errors.InvalidArgumentError, match="validation"):
        part.split("val")


@pytest.mark.parametrize(
    "choose",
    [
        lambda part: part[5:20],
        lambda part: part[[7, 3, 3, 12]],
        lambda part: part.slice("labels.dog >= 1"),
        lambda part: part.slice("@limit:9 @offset:3"),
        lambda part: part.sample(0.5),
        lambda part: part.sort_by("-width"),
        lambda part: part.group_by("file.night")[True],
    ],
)
def test_what_is_chosen_of_a_query_s_splits_is_in_them_still(data, choose):
    part = data.slice("@split:0.5:0.3 camera:left")
    splits = dict(zip(keys(part), part.metadata["split"].to_pylist(), strict=True))
    chosen = choose(part)
    assert chosen.splits == ("train", "test")
    assert chosen.metadata["split"].to_pylist() == [splits[key] for key in keys(chosen)]
    assert keys(chosen.split("test")) == [key for key in keys(chosen) if splits[key] == "test"]


def test_a_field_may_name_the_splits(data):
    part = data.slice("@split:camera")
    assert part.splits == ("left", "right", "top")
    assert keys(part.split("top")) == keys(data.slice("camera:top"))


def test_operators_of_a_query_do_what_the_methods_do(data):
    assert (
        keys(data.slice("@limit:3 @offset:2 camera:left")) == keys(data.slice("camera:left"))[2:5]
    )
    assert keys(data.slice("@sample:0.2 @seed:7")) == keys(data.sample(0.2, seed=7))


def test_data_points_hold_the_records_of_a_value_by_key(data):
    points = data.data_points("scene")
    wanted = [
        [f"{scene:02d}/{camera}" for camera in scenes.cameras(scene)]
        for scene in range(scenes.SCENES - 1)
    ]
    assert len(points) == len(wanted)
    found = [[m["key"] for m in point["members"] if m is not None] for point in points]
    assert found == wanted
    assert points[1]["members"][2]["key"] == "01/top"
    assert points[0]["members"][1:] == [None, None]
    assert points.metadata["data_point"].to_pylist() == [
        number for number, members in enumerate(wanted) for _ in members
    ]


def test_a_stream_of_data_points_has_an_axis_of_members(data):
    points = data.data_points("scene")
    spec = tfstream.ImageSpec(size=(8, 8))
    ds = points.stream(
        batch_size=4, image=spec, boxes=2, elements="dict", shuffle=False, drop_remainder=True
    )
    batches = list(ds.as_numpy_iterator())
    assert batches[0]["image"].shape == (4, 3, 8, 8, 3)
    assert batches[0]["label"].shape == (4, 3)
    assert batches[0]["boxes"].shape == (4, 3, 2, 4)
    for number, point in enumerate(points[: 4 * len(batches)]):
        batch, row = batches[number // 4], number % 4
        for place, member in enumerate(point["members"]):
            assert batch["present"][row, place] == (member is not None)
            if member is None:
                assert batch["key"][row, place] == b""
                assert not batch["image"][row, place].any()
                assert batch["label"][row, place] == -1
                assert not batch["boxes"][row, place].any()
            else:
                assert batch["key"][row, place].decode() == member["key"]
                assert batch["image"][row, place].any()


def test_members_of_a_data_point_are_cropped_alike(data):
    points = data.data_points("scene", size=2, missing="drop")
    assert all(len(point["members"]) == 2 for point in points)
    spec = tfstream.ImageSpec(size=(6, 6), mode="random_crop", flip=True)
    ds = points.stream(batch_size=None, image=spec, label=None, elements="dict", seed=3, epochs=2)
    for element in ds.as_numpy_iterator():
        left, right = element["image"].astype(np.float32)
        np.testing.assert_array_equal(left, right)  # both cameras took the same picture


@pytest.mark.parametrize("arguments", [{"label": "multi_hot"}, {"image": tfstream.RAW}, {}])
def test_data_points_are_shuffled_as_wholes_each_epoch(data, arguments):
    points = data.data_points("scene")
    arguments = {"image": None, "label": None} | arguments
    ds = points.stream(batch_size=3, elements="dict", seed=1, world=(0, 1), lanes=4, **arguments)
    epochs = [
        [tuple(k for k in members if k) for b in ds.as_numpy_iterator() for members in b["key"]]
        for _ in range(2)
    ]
    assert epochs[0] != epochs[1]
    assert sorted(epochs[0]) == sorted(epochs[1])
    assert len(epochs[0]) == len(points)


def test_a_data_point_with_a_corrupt_member_is_left_out_as_a_whole(tmp_path):
    root = scenes.write(tmp_path / "packed")
    (shard,) = (s for s in root.glob("shards/*.tfrecord") if b"04/left" in s.read_bytes())
    damaged = bytearray(shard.read_bytes())
    damaged[damaged.index(b"04/left")] ^= 1
    shard.write_bytes(damaged)
    points = tfstream.open(root).data_points("scene", size=2, missing="drop")
    ds = points.stream(batch_size=None, image=None, elements="dict", on_corrupt="skip")
    found = [tuple(element["key"].tolist()) for element in ds.as_numpy_iterator()]
    assert len(found) == len(points) - 1
    assert all(one[:3] == other[:3] for one, other in found)


def test_data_points_that_do_not_fit_are_refused(data):
    with pytest.raises(errors.InvalidArgumentError, match="scene = 0 has 1"):
        len(data.data_points("scene", size=2, missing="error"))
    with pytest.raises(errors.InvalidArgumentError, match="more than 2"):
        len(data.data_points("scene", size=2))
    with pytest.raises(errors.InvalidArgumentError, match="are data points"):
        len(data.data_points("scene").slice("camera:left"))


def test_arguments_out_of_their_range_are_refused_at_once(data):
    for wrong in ({"missing": "x"}, {"size": 0}):
        with pytest.raises(errors.InvalidArgumentError, match="must be"):
            data.data_points("scene", **wrong)
    for size in (True, "7", 1.5, -1):
        with pytest.raises(errors.InvalidArgumentError, match="sample takes"):
            data.sample(size)


def test_a_query_makes_data_points_that_no_split_parts(data):
    points = data.slice("@split:0.5:0.5 @datapoint_by:scene")
    assert points.splits == ("train", "test")
    assert sum(len(points.split(name)) for name in points.splits) == len(points)
    assert len(points) == len(data.data_points("scene"))
    for name in points.splits:
        made = points.split(name).metadata["key"].to_pylist()
        shown = [r["key"] for r in points.metadata.to_pylist() if r["split"] == name]
        assert sorted(made) == sorted(shown)
    assert len(data.slice("@datapoint_by:scene @limit:3")) == 3


def test_data_points_of_a_query_s_splits_have_members_in_one_of_them(data):
    divided = data.slice("@split:0.5:0.5")
    for points in (divided.slice("@datapoint_by:label"), divided.data_points("label")):
        assert points.splits == divided.splits
        for name in divided.splits:
            wanted = set(keys(divided.split(name)))
            members = [
                record["key"]
                for point in points.split(name)
                for record in point["members"]
                if record is not None
            ]
            assert set(members) <= wanted


def test_a_saved_slice_is_opened_again_by_its_name(tmp_path):
    root = scenes.write(tmp_path / "packed")
    data = tfstream.open(root)
    part = data.split("val").slice("camera:left").sort_by("-width")
    part.save("best")
    again = tfstream.open(root, slice="best")
    assert keys(again) == keys(part) == streamed(again)
    data.slice("@split:0.5:0.5").save("halves")
    halves = tfstream.open(root, slice="halves")
    assert halves.splits == ("train", "test")
    assert keys(halves.split("test")) == keys(data.slice("@split:0.5:0.5").split("test"))
    with pytest.raises(errors.DatasetExistsError, match="best"):
        data.save("best")
    with pytest.raises(errors.DatasetNotFoundError, match="best"):
        tfstream.open(root, slice="bets")


def test_saved_data_points_are_opened_again_with_their_members_and_parts(tmp_path):
    root = scenes.write(tmp_path / "packed")
    data = tfstream.open(root)
    for name, made in {
        "pairs": data.data_points("scene"),
        "parted": data.slice("@split:0.5:0.5 @datapoint_by:scene"),
        "left": data.slice("camera:left").data_points("scene", size=2),
    }.items():
        made.save(name)
        again = tfstream.open(root, slice=name)
        assert again.splits == made.splits
        assert again.metadata.equals(made.metadata)
        assert [None if m is None else m["key"] for m in again[0]["members"]] == [
            None if m is None else m["key"] for m in made[0]["members"]
        ]


def test_a_sample_that_was_saved_can_be_drawn_from_again(tmp_path):
    root = scenes.write(tmp_path / "packed")
    sample = tfstream.open(root).sample(0.5)
    sample.save("half")
    again = tfstream.open(root, slice="half")
    assert keys(again.sample(0.5)) == keys(sample.sample(0.5))


def test_only_what_draws_counts_as_drawn(data):
    # Told by what a step does: that a text holds such words says nothing.
    named = data.slice('not camera:"sample(" and not camera:"@split:"')
    assert keys(named.sample(0.5)) == keys(data.sample(0.5))
    assert keys(data.slice("@sample:0.5").sample(0.5)) == keys(data.sample(0.5).sample(0.5))


@pytest.mark.parametrize("asked", [False, True])
def test_a_part_is_pickled_as_the_records_that_it_holds(data, asked):
    for part in (
        data,
        data.split("val"),
        data.slice("camera:left").sort_by("-width"),
        data.slice("@split:0.5:0.5 @datapoint_by:scene"),
        data.sample(0.5),
    ):
        if asked:
            assert part.metadata.num_rows >= len(part)
        again = pickle.loads(pickle.dumps(part))
        assert (again.splits, again.query, again.path) == (part.splits, part.query, part.path)
        assert again.metadata.equals(part.metadata)
    half = data.sample(0.5)
    assert keys(pickle.loads(pickle.dumps(half)).sample(0.5)) == keys(half.sample(0.5))


def test_keys_are_found_however_often_they_are_asked_for(tmp_path):
    data = tfstream.open(scenes.write(tmp_path / "packed"))
    wanted = [keys(data)[number] for number in (5, 0, 5, 2)]
    for _ in range(6):  # by queries at first
        assert keys(data[wanted]) == wanted
        assert data[wanted[1]]["key"] == wanted[1]
        assert keys(data[[]]) == []
        with pytest.raises(errors.NoSuchKeyError, match=r"holds no record '05/lft' \(near it:"):
            data["05/lft"]


def test_keys_find_records_within_a_slice_only(data):
    part = data.slice("camera:left")
    assert keys(part[["05/left", "01/left", "05/left"]]) == ["05/left", "01/left", "05/left"]
    assert part["03/left"]["metadata"]["scene"] == 3
    with pytest.raises(errors.NoSuchKeyError, match=r"near it: .*03/left"):
        part["03/right"]


def test_a_description_says_what_there_is(data):
    told = data.slice("scene < 4").describe()
    assert told["records"] == 8
    assert told["labels"]["cat"] == (7, 13)
    assert told["width"] == (40, pytest.approx(41.625), 43)
    assert told["metadata"]["camera"]["distinct"] == 3
    assert told["metadata"]["scene"] == {
        "type": "int",
        "missing": 0,
        "distinct": 4,
        "least": 0,
        "most": 3,
    }
    nothing = data.slice("scene < 0").describe()
    assert (nothing["records"], nothing["labels"], nothing["width"]) == (0, {}, (0, 0.0, 0))


def test_a_slice_without_records_says_so_where_records_are_needed(data):
    nothing = data.slice("width > 10000")
    assert len(nothing) == 0
    assert list(nothing) == []
    with pytest.raises(errors.InvalidArgumentError, match="no record"):
        nothing.stream(epochs=None)


def test_metadata_become_a_data_frame(data):
    frame = data.slice("camera:top").to_pandas()
    assert set(frame["camera"]) == {"top"}
    assert frame["labels"].map(type).eq(dict).all()


def test_a_remote_dataset_answers_alike(bucket, root, data):
    bucket.upload(root)
    remote = tfstream.open(bucket.uri)
    for query in QUERIES:
        assert keys(remote.slice(query)) == keys(data.slice(query))
    part = remote.slice("labels.cat > 0 @sample:0.5")
    assert streamed(part) == keys(part) == keys(data.slice("labels.cat > 0 @sample:0.5"))
    assert [len(part["members"]) for part in remote.data_points("scene")[:2]] == [3, 3]
    spec = tfstream.ImageSpec(size=(8, 8))
    mine, theirs = (
        list(
            some.data_points("scene")
            .stream(batch_size=4, image=spec, elements="dict", block_size=2)
            .as_numpy_iterator()
        )
        for some in (remote, data)
    )
    for one, other in zip(mine, theirs, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_asking_leaves_tensorflow_alone(root):
    script = (
        "import sys, tfstream\n"
        f"data = tfstream.open({str(root)!r})\n"
        "part = data.slice('labels.cat > 0').sort_by('width').sample(0.5)\n"
        "part.describe(), part[0], data.data_points('scene')[0]\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    package = Path(tfstream.__file__).parent.parent
    subprocess.run([sys.executable, "-c", script], check=True, cwd=package)
