"""Tests of tfstream/adapters/torch.py and what it makes samples with, with real DataLoaders."""

from __future__ import annotations

import itertools
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scenes
from PIL import Image

import tfstream
from tfstream.adapters import reading
from tfstream.errors import CorruptRecordError, InvalidArgumentError, StateError

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'tfstream[torch]'")
DataLoader = torch.utils.data.DataLoader

KEYS = {"image": None, "label": None, "elements": "dict", "seed": 3}
# A machine of two cores is warned of three workers.
pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),
    pytest.mark.filterwarnings("error:Length of IterableDataset"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return scenes.write(tmp_path_factory.mktemp("torch") / "packed")


@pytest.fixture(scope="module")
def data(root):
    return tfstream.open(root)


def dataset(data, **arguments):
    return data.to_torch(**{"batch_size": 5, **KEYS, **arguments})


def batches(ds, workers=0, **arguments):
    loader = DataLoader(ds, batch_size=ds.batch_size, num_workers=workers, **arguments)
    return [batch["key"] for batch in loader]


def order_of(data, epoch=0, **arguments):
    """The keys in the order of an epoch, by the arithmetic that the streams' tests compare too."""
    order = data.to_torch(**{**KEYS, **arguments})._position.order
    keys = data.metadata["key"].to_pylist()
    return [keys[n] for n in order.records_at(np.arange(len(keys)), epoch)]


def flat(parts):
    return list(itertools.chain(*parts))


@pytest.mark.parametrize("arguments", [{}, {"lanes": 3, "block_size": 4}, {"shuffle": False}])
def test_the_samples_come_in_the_order_of_an_epoch(data, arguments):
    ds = dataset(data, **arguments)
    epochs = [flat(batches(ds)) for _ in range(2)]
    assert epochs == [order_of(data, epoch, **arguments) for epoch in range(2)]


@pytest.mark.parametrize("arguments", [{}, {"lanes": 3, "block_size": 4}, {"shuffle": False}])
def test_the_samples_are_those_of_streams(data, arguments):
    pytest.importorskip("tensorflow")
    ds = dataset(data, **arguments)
    epochs = [flat(batches(ds)) for _ in range(2)]
    stream = data.stream(batch_size=5, **KEYS, **arguments)
    for epoch in epochs:
        assert [k.decode() for b in stream.as_numpy_iterator() for k in b["key"]] == epoch


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("persistent", [False, True])
def test_any_number_of_workers_gives_the_same_batches_epoch_after_epoch(data, workers, persistent):
    alone, ds = dataset(data), dataset(data)
    loader = DataLoader(ds, batch_size=5, num_workers=workers, persistent_workers=persistent)
    for _ in range(3):
        torch.manual_seed(7)  # which makes DataLoader's own iterations look alike
        assert [batch["key"] for batch in loader] == batches(alone)
    assert len(loader) == 10
    assert batches(ds) == batches(alone)  # of the next epoch


def test_an_iteration_that_was_left_early_was_an_epoch_as_well(data):
    ds = dataset(data)
    for _ in range(2):
        next(iter(DataLoader(ds, batch_size=5, num_workers=2)))
    assert flat(batches(ds, 2)) == order_of(data, 2)
    ds.set_epoch(7)
    assert flat(batches(ds, 2)) == order_of(data, 7)
    assert flat(batches(ds)) == order_of(data, 8)
    with pytest.raises(InvalidArgumentError, match="-1"):
        ds.set_epoch(-1)


@pytest.mark.parametrize("drop", [False, True])
def test_ranks_and_workers_share_an_epoch_without_repeats(data, drop):
    parts = []
    for rank in range(3):
        ds = dataset(data, world=(rank, 3), drop_remainder=drop)
        parts.append(batches(ds, 2))
        assert len(flat(parts[-1])) == len(ds)
    whole = order_of(data)[: 45 if drop else None]
    assert sorted(flat(flat(parts))) == sorted(whole)
    for step in range(3):  # a global batch is a run of the order
        together = flat(part[step] for part in parts)
        assert sorted(together) == sorted(whole[15 * step : 15 * (step + 1)])


def test_the_rank_is_that_of_torchrun(data, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert flat(batches(dataset(data))) == order_of(data)[1::2]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("consumed", [0, 1, 4, 9, 10, 13])
def test_a_dataset_goes_on_at_the_very_next_batch(data, workers, consumed):
    ds = dataset(data)
    whole = flat(batches(ds) for _ in range(3))
    state = json.loads(json.dumps(dataset(data).state_dict(batches_consumed=consumed)))
    resumed = dataset(data, state=state)
    left = batches(resumed, workers)
    assert left == whole[consumed : consumed + len(left)]
    left += batches(resumed, workers)
    assert left == whole[consumed : consumed + len(left)]


def test_a_state_counts_the_samples_that_were_taken_and_suits_streams(data):
    ds = dataset(data)
    taken = [sample["key"] for sample in itertools.islice(ds, 7)]
    state = ds.state_dict()
    assert (state["epoch"], state["position"]) == (0, 7)
    other = dataset(data)
    other.load_state_dict(state)
    assert taken + [sample["key"] for sample in other] == order_of(data)
    assert (other.state_dict()["epoch"], other.state_dict()["position"]) == (1, 0)
    with pytest.raises(StateError, match="seed"):
        dataset(data, seed=4).load_state_dict(state)


def test_a_stream_goes_on_where_a_dataset_was(data):
    pytest.importorskip("tensorflow")
    ds = dataset(data)
    for _ in itertools.islice(ds, 7):
        pass
    state = ds.state_dict()
    stream = data.stream(batch_size=5, **KEYS, state=state)
    assert [k.decode() for b in stream.as_numpy_iterator() for k in b["key"]] == order_of(data)[7:]


def test_what_workers_took_is_not_guessed(data):
    ds = dataset(data)
    batches(ds, 1)
    with pytest.raises(InvalidArgumentError, match="batches_consumed"):
        ds.state_dict()
    assert ds.state_dict(batches_consumed=10)["epoch"] == 1


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("consumed", [1, 4, 10, 12])
def test_torchdata_resumes_it(data, workers, persistent, consumed):
    stateful = pytest.importorskip("torchdata.stateful_dataloader", reason="needs torchdata")

    def loader():
        keeping = persistent and workers > 0
        return stateful.StatefulDataLoader(
            dataset(data), batch_size=5, num_workers=workers, persistent_workers=keeping
        )

    first, taken, expected = loader(), [], dataset(data)
    while len(taken) < consumed:
        for batch in first:
            taken.append(batch["key"])
            if len(taken) == consumed:
                state = first.state_dict()
                break
    resumed = loader()
    resumed.load_state_dict(state)
    whole = flat(batches(expected) for _ in range(4))
    rest = [batch["key"] for batch in resumed]
    assert (taken + rest)[: len(whole)] == whole[: len(taken + rest)]
    assert len(taken + rest) in (10, 20)
    assert [batch["key"] for batch in resumed] == whole[len(taken + rest) :][:10]


def double(sample):
    return {**sample, "key": 2 * sample["key"]}


@pytest.mark.parametrize("context", ["spawn", "forkserver"])
def test_workers_may_be_spawned(data, context, monkeypatch):
    root = str(Path(__file__).parents[2])  # where workers look for this module, behind all else
    monkeypatch.setattr(sys, "path", [*sys.path, root])
    ds = dataset(data, transform=double)
    got = batches(ds, 1, multiprocessing_context=context)
    assert flat(got) == [2 * key for key in order_of(data)]


def test_a_dataset_can_be_pickled(data):
    ds = pickle.loads(pickle.dumps(dataset(data)))
    assert flat(batches(ds)) == order_of(data)


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_remote_records_are_the_same(data, root, bucket, context):
    bucket.upload(root)
    remote = tfstream.open(bucket.uri)
    len(remote[0]["key"])  # so that this process has connections, which a child must not use
    ds = dataset(remote, block_size=4)
    assert flat(batches(ds, 2, multiprocessing_context=context)) == order_of(data, block_size=4)
    assert flat(batches(ds)) == order_of(data, 1, block_size=4)
    part = remote.slice("camera:left")
    assert flat(batches(dataset(part))) == order_of(part, block_size=dataset(part).block_size)


def test_tensorflow_is_not_imported(root):
    code = f"""
import sys, tfstream
from torch.utils.data import DataLoader
ds = tfstream.open({str(root)!r}).split("train").to_torch(boxes=3)
images, labels, boxes = next(iter(DataLoader(ds, batch_size=4)))
assert images.shape == (4, 3, 224, 224), images.shape
assert "tensorflow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("label", ["index", "one_hot", "multi_hot"])
@pytest.mark.parametrize("boxes", ["ragged", 2])
def test_labels_and_boxes_are_those_of_streams(data, label, boxes):
    pytest.importorskip("tensorflow")
    arguments = {"label": label, "boxes": boxes, "elements": "dict", "seed": 1}
    arguments["image"] = tfstream.ImageSpec(size=(20, 30), mode="random_crop", flip=True)
    stream = data.stream(batch_size=None, **arguments)
    for mine, theirs in zip(data.to_torch(**arguments), stream, strict=True):
        assert mine["key"] == theirs["key"].numpy().decode()
        for name in ("label", "boxes", "box_labels"):
            np.testing.assert_allclose(mine[name], theirs[name].numpy(), atol=1e-6)
        difference = mine["image"].permute(1, 2, 0).numpy().astype(int) - theirs["image"].numpy()
        assert np.abs(difference).mean() < 2.5


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"antialias": True},
        {"antialias": False},
        {"mode": "center_crop"},
        {"mode": "crop_or_pad"},
        {"mode": "random_crop", "dtype": "float32", "normalize": "imagenet"},
        {"dtype": "float16", "normalize": "unit"},
        {"dtype": "bfloat16"},
        {"dtype": "float32", "normalize": "standardize"},
    ],
)
@pytest.mark.parametrize("size", [(5, 4), (40, 70)])
def test_images_are_those_of_streams(data, spec, size):
    tf = pytest.importorskip("tensorflow")
    spec = tfstream.ImageSpec(size=size, **spec)
    stream = data.stream(batch_size=None, image=spec)
    scale = {"imagenet": 58, "unit": 255, "standardize": 58, None: 1}[spec.normalize]
    for (mine, _), (theirs, _) in itertools.islice(
        zip(data.to_torch(image=spec), stream, strict=True), 12
    ):
        assert mine.shape == (3, *size)
        assert mine.is_contiguous()  # collating is several times as fast
        assert str(mine.dtype) == f"torch.{spec.dtype}"
        theirs = tf.cast(theirs, tf.float32).numpy()
        difference = mine.permute(1, 2, 0).float().numpy() - theirs
        assert np.abs(difference).mean() * scale < 2.5


def test_more_shards_than_are_kept_open_are_read_as_well(data, monkeypatch):
    monkeypatch.setattr(reading, "_OPEN_SHARDS", 1)
    assert len(data.stored.table.files) > 1
    assert [each["key"] for each in dataset(data)] == order_of(data)


def test_images_may_be_left_as_they_are(data):
    record = data[order_of(data, seed=0)[0]]
    by = {
        kind: next(iter(data.to_torch(image=kind, label=None)))
        for kind in ("tensor", "pil", tfstream.RAW)
    }
    np.testing.assert_array_equal(by["tensor"].permute(1, 2, 0), record["image"])
    assert isinstance(by["pil"], Image.Image)
    np.testing.assert_array_equal(np.asarray(by["pil"]), record["image"])
    assert by[tfstream.RAW].startswith(b"\xff\xd8")


def test_a_map_style_dataset_is_in_the_datasets_order(data):
    ds = data.to_torch(**{**KEYS, "batch_size": 5}, map_style=True)
    keys = data.metadata["key"].to_pylist()
    assert len(ds) == len(keys)
    loader = DataLoader(ds, batch_size=5, num_workers=2)
    assert flat(batch["key"] for batch in loader) == keys
    shuffled = DataLoader(ds, batch_size=5, shuffle=True)
    assert sorted(flat(batch["key"] for batch in shuffled)) == sorted(keys)
    assert ds[-1]["key"] == keys[-1]
    with pytest.raises(IndexError, match="47"):
        ds[47]


def damage(root, key):
    """Changes a byte of a record's payload; gives its shard."""
    from tfstream.format import index

    for path in (root / "shards").glob("*.parquet"):
        for row in index.read(path).to_pylist():
            if row["key"] == key:
                shard = path.with_suffix(".tfrecord")
                content = bytearray(shard.read_bytes())
                content[row["offset"] + 40] ^= 1
                shard.write_bytes(content)
                return shard.name
    raise KeyError(key)


def test_a_corrupt_record_is_named_or_skipped_alone(tmp_path):
    data = tfstream.open(scenes.write(tmp_path / "packed"))
    keys = order_of(data)
    name = damage(tmp_path / "packed", keys[17])
    with pytest.raises(CorruptRecordError, match=f"(?s){name}.*{keys[17]}"):
        batches(dataset(data), 1)
    with pytest.warns(RuntimeWarning, match="skipped"):
        got = flat(batches(dataset(data, on_corrupt="skip")))
    assert got == keys[:17] + keys[18:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": "numpy"}, "numpy"),
        ({"label": "text"}, "text"),
        ({"boxes": 0}, "boxes"),
        ({"elements": "list"}, "list"),
        ({"image": None, "label": None}, "nothing is left"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": None}, "batch_size"),
        ({"on_corrupt": "warn"}, "warn"),
        ({"world": (2, 2)}, "world"),
        ({"map_style": True, "on_corrupt": "skip"}, "map_style"),
    ],
)
def test_a_bad_argument_is_named(data, arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        data.to_torch(**arguments)


@pytest.mark.parametrize("boxes", [None, "ragged", 2])
@pytest.mark.parametrize("label", ["index", "multi_hot"])
def test_data_points_have_one_more_axis(data, label, boxes):
    points = data.data_points("scene")
    spec = tfstream.ImageSpec(size=(9, 8), mode="random_crop", flip=True)
    ds = points.to_torch(image=spec, label=label, boxes=boxes, elements="dict", batch_size=2)
    assert len(ds) == len(points) == 23
    samples = list(ds)
    assert samples[0]["image"].shape == (3, 3, 9, 8)
    assert samples[0]["label"].shape == ((3,) if label == "index" else (3, 3))
    missing = next(sample for sample in samples if not sample["present"].all())
    place = missing["present"].tolist().index(False)
    assert missing["key"][place] == ""
    assert not missing["image"][place].any()
    assert (missing["label"][place] == (-1 if label == "index" else 0)).all()
    pytest.importorskip("tensorflow")
    stream = points.stream(image=spec, label=label, boxes=boxes, elements="dict", batch_size=None)
    for mine, theirs in zip(samples, stream, strict=True):
        assert mine["key"] == [key.decode() for key in theirs["key"].numpy()]
        for name in {"label", "boxes", "present"} & set(mine):
            for member in range(3):
                np.testing.assert_allclose(mine[name][member], theirs[name][member], atol=1e-6)


def test_without_pytorch_the_way_to_it_is_told(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InvalidArgumentError, match=r"pip install 'tfstream\[torch\]'"):
        data.to_torch()


def test_the_state_of_one_worker_is_for_that_worker_alone(data):
    state = dataset(data).state_dict() | {"worker": 1, "workers": 2, "delivered": 3}
    with pytest.raises(StateError, match="worker 1, workers 2.*no worker"):
        dataset(data).load_state_dict(state)


def test_the_benchmark_runs(root, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    benchmark = Path(__file__).resolve().parents[2] / "benchmarks/torch_loader.py"
    command = [sys.executable, str(benchmark), str(root), "--images", "20", "--rounds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "to_torch is 1.00 times as fast" in done.stdout
