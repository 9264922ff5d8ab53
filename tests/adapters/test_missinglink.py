"""Tests of tfstream/adapters/missinglink.py, batches.py and keras_batches.py."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import keras
import numbered
import numpy as np
import pytest
from emulator import Bucket

import tfstream
from tfstream.errors import CorruptRecordError, InvalidArgumentError, QueryError
from tfstream.stored import StoredRecords

THIRDS = "@split:0.6:0.2:0.2"


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered.write(tmp_path_factory.mktemp("missinglink") / "packed", train=50)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFSTREAM_CACHE", str(tmp_path / "cache"))


def bind(volume: Any, query: str = "", callback: Any = numbered.read, **options: Any) -> Any:
    options.setdefault("batch_size", 8)
    options.setdefault("processes", 2)
    return tfstream.bind_data_generator(volume, query, callback, **options)


def numbers(batches: Iterable[Any]) -> list[int]:
    return [int(number) for _, some in batches for number in some]


def test_flow_gives_a_part_each_in_the_documented_order(volume: Path) -> None:
    flow = bind(volume, THIRDS).flow()
    train, test, validation = flow
    assert flow._fields == ("train", "test", "validation")
    assert (flow.train, flow.test, flow.validation) == (train, test, validation)
    parts = [numbers(part) for part in flow]
    assert sorted(number for part in parts for number in part) == list(range(50))
    assert [len(part) for part in parts] == [part.samples for part in flow]
    assert len(parts[0]) > len(parts[1])


def test_parts_that_the_query_does_not_name_are_none(volume: Path, tmp_path: Path) -> None:
    flow = bind(volume, "@split:0.7:0.3").flow()
    assert flow.validation is None
    assert flow.test is not None
    own = bind(numbered.write(tmp_path / "own", train=9, val=4)).flow()
    assert own.test is None
    assert sorted(numbers(own.train)) == list(range(9))
    assert sorted(numbers(own.validation)) == [9, 10, 11, 12]


def test_batches_are_stacked_and_the_last_is_as_large_as_it_is(volume: Path) -> None:
    train = bind(volume, batch_size=8).flow().train
    assert len(train) == 7
    batches = list(train)
    assert [images.shape for images, _ in batches] == [(8, 8, 8, 1)] * 6 + [(2, 8, 8, 1)]
    assert [labels.shape for _, labels in batches] == [(8,)] * 6 + [(2,)]
    # No row is padding: each image shows its number.
    assert all((images[:, 0, 0, 0] == labels).all() for images, labels in batches)
    assert isinstance(batches[0], tuple)


def test_drop_last_leaves_out_the_smaller_batch(volume: Path) -> None:
    train = bind(volume, batch_size=8, drop_last=True).flow().train
    assert len(train) == 6
    assert [len(labels) for _, labels in train] == [8] * 6


def test_a_batch_of_one_keeps_its_axis(volume: Path) -> None:
    images, labels = next(iter(bind(volume, batch_size=1).flow().train))
    assert (images.shape, labels.shape) == ((1, 8, 8, 1), (1,))


def test_each_epoch_is_another_permutation_from_the_first_on(volume: Path) -> None:
    train = bind(volume).flow().train
    first, second = numbers(train), numbers(train)
    stored = list(range(50))
    assert sorted(first) == sorted(second) == stored
    assert first != stored
    assert first != second
    # Not whole batches that change places: those of the first are not those of the second.
    sets = [{frozenset(e[at : at + 8]) for at in range(0, 50, 8)} for e in (first, second, stored)]
    assert not sets[0] & sets[1]
    assert not sets[0] & sets[2]


def test_the_order_follows_from_the_seed(volume: Path) -> None:
    again = [numbers(bind(volume, query).flow().train) for query in ("", "", "@seed:7")]
    assert again[0] == again[1] != again[2]


@pytest.mark.parametrize("shuffle", [(True, False, False), [True, False]])
def test_shuffle_can_be_said_of_each_part(volume: Path, shuffle: Any) -> None:
    train, test, validation = bind(volume, THIRDS, shuffle=shuffle).flow()
    assert numbers(train) != sorted(numbers(train))
    assert numbers(test) == sorted(numbers(test))
    assert (numbers(validation) == sorted(numbers(validation))) == (len(shuffle) == 3)


def test_an_infinite_one_begins_anew_after_each_epoch(volume: Path) -> None:
    train = bind(volume, is_infinite=True).flow().train
    assert len(train) == 7
    sizes = [len(labels) for _, labels in itertools.islice(train, 15)]
    assert sizes == [*[8] * 6, 2] * 2 + [8]


def test_samples_that_the_callback_skips_leave_no_holes(volume: Path) -> None:
    train = bind(volume, callback=numbered.read_few).flow().train
    assert len(train) == 7
    batches = list(train)
    assert [len(labels) for _, labels in batches] == [8] * 5
    assert sorted(numbers(batches)) == [n for n in range(50) if n % 5]
    assert len(train) == 5  # now that it is known


def test_terms_side_by_side_must_all_hold(volume: Path) -> None:
    train = bind(volume, "night:true number:>40").flow().train
    assert sorted(numbers(train)) == [41, 43, 45, 47, 49]


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ("number:1 OR number:>40 AND night:false", lambda n: n == 1 or (n > 40 and n % 2 == 0)),
        ("NOT night:true AND number:<10", lambda n: n % 2 == 0 and n < 10),
        ("number:>40 AND night:false OR number:1", lambda n: n == 1 or (n > 40 and n % 2 == 0)),
    ],
)
def test_not_binds_tighter_than_and_than_or(
    volume: Path, query: str, holds: Callable[[int], bool]
) -> None:
    train = bind(volume, query).flow().train
    assert sorted(numbers(train)) == [n for n in range(50) if holds(n)]


def test_the_first_batch_needs_little_of_the_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = numbered.write(tmp_path / "large", train=3000, shard=500)
    asked = []
    real = StoredRecords.rows
    monkeypatch.setattr(StoredRecords, "rows", lambda s, p: asked.append(len(p)) or real(s, p))
    batches = iter(bind(volume, batch_size=4).flow().train)
    next(batches)
    batches.close()
    assert asked[0] == 4
    assert sum(asked) < 1500


def test_any_number_of_bindings_run_side_by_side(volume: Path) -> None:
    flows = [bind(volume, f"number:<{10 * n}").flow().train for n in range(1, 5)]
    found = [numbers([batch]) for group in zip(*flows, strict=False) for batch in group]
    assert len(found) == 8
    assert [sorted(numbers(flow)) for flow in flows] == [list(range(10 * n)) for n in range(1, 5)]


def test_a_data_point_of_several_files_comes_to_the_callback_at_once(volume: Path) -> None:
    seen: list[tuple[tuple[str, ...], tuple[dict[str, Any], ...]]] = []

    def callback(file_names: Any, metadatas: Any) -> Any:
        seen.append((file_names, metadatas))
        return np.array([len(file_names)]), metadatas[0]["scene"]

    train, test, _ = bind(volume, "@datapoint_by:scene @split:0.5:0.5", callback).flow()
    scenes = [[s for _, some in part for s in some] for part in (train, test)]
    assert not set(scenes[0]) & set(scenes[1])
    assert sorted(scenes[0] + scenes[1]) == sorted({f"scene {n // 3}" for n in range(50)})
    for file_names, metadatas in seen:
        assert isinstance(file_names, tuple)
        assert isinstance(metadatas, tuple)
        assert (
            len(file_names) == len(metadatas) == (2 if metadatas[0]["scene"] == "scene 16" else 3)
        )
        assert len({row["scene"] for row in metadatas}) == 1
        assert [row["key"] for row in metadatas] == sorted(row["key"] for row in metadatas)


def test_data_points_without_a_split_stay_within_the_stored_ones(tmp_path: Path) -> None:
    volume = numbered.write(tmp_path / "own", train=10, val=5)  # scene 3 is in both
    got = Counter()

    def callback(file_names: Any, metadatas: Any) -> Any:
        got[metadatas[0]["key"].split("/")[0], metadatas[0]["scene"], len(file_names)] += 1
        return (len(file_names),)

    flow = bind(volume, "@datapoint_by:scene", callback).flow()
    assert (flow.train.samples, flow.validation.samples) == (4, 2)
    list(flow.train), list(flow.validation)
    assert got["train", "scene 3", 1] == got["val", "scene 3", 2] == 1


def test_the_callback_gets_real_files_named_by_key_and_what_is_known_of_them(volume: Path) -> None:
    seen = {}

    def callback(file_names: Any, metadatas: Any) -> Any:
        path = Path(file_names[0])
        seen[metadatas[0]["number"]] = (path.read_bytes(), str(path), metadatas[0])
        return (0,)

    list(bind(volume, "number:<=3", callback, use_threads=True).flow().train)
    content, path, metadata = seen[3]
    assert content == numbered.image(3).encoded
    assert path.endswith("/train/0003.png")
    assert metadata == {
        "key": "train/0003",
        "split": "train",
        "width": 8,
        "height": 8,
        "format": "png",
        "bytes": len(content),
        "label": "cat",
        "objects": 2,
        "labels": {"cat": 1, "dog": 1},
        "night": True,
        "number": 3,
        "scene": "scene 1",
    }


def test_files_are_kept_for_all_queries_and_read_no_more(
    volume: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    list(bind(volume, "number:<20", cache_directory=tmp_path / "here").flow().train)
    assert len(list((tmp_path / "here").rglob("*.png"))) == 20
    read = []
    real = StoredRecords.images
    monkeypatch.setattr(StoredRecords, "images", lambda s, p: read.extend(p) or real(s, p))
    train = bind(volume, "number:<30", cache_directory=tmp_path / "here").flow().train
    assert sorted(numbers(train)) == list(range(30))
    assert len(read) == 10


def test_the_cache_keeps_to_its_limit(volume: Path, tmp_path: Path) -> None:
    limit = 10 * 4096
    train = bind(volume, cache_directory=tmp_path / "here", cache_limit=limit).flow().train
    for _ in range(2):
        assert sorted(numbers(train)) == list(range(50))
    kept = list((tmp_path / "here").rglob("*.png"))
    assert 0 < len(kept) <= 10 + 2  # what the two threads had in hand


def test_with_caching_disabled_no_file_stays(
    volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    assert len(numbers(bind(volume, disable_caching=True).flow().train)) == 50
    assert not list((tmp_path / "tmp").iterdir())
    assert not (tmp_path / "cache").exists()


def test_ending_early_leaves_nothing_behind(volume: Path) -> None:
    train = bind(volume).flow().train
    batches = iter(train)
    next(batches)
    batches.close()
    assert sorted(numbers(train)) == list(range(50))


def test_processes_call_what_can_be_imported_and_keras_need_not_be_there(
    volume: Path, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys\n"
        "import tfstream\n"
        "sys.modules['keras'] = None\n"
        "def read(file_names, metadatas):\n"
        "    assert os.path.getsize(file_names[0]) == metadatas[0]['bytes']\n"
        "    return metadatas[0]['number'], os.getpid()\n"
        "if __name__ == '__main__':\n"
        "    train, _, _ = tfstream.bind_data_generator(\n"
        f"        {str(volume)!r}, '', read, batch_size=50, use_threads=False, processes=2\n"
        "    ).flow()\n"
        "    numbers, processes = next(iter(train))\n"
        "    assert sorted(numbers.tolist()) == list(range(50))\n"
        "    assert os.getpid() not in processes\n"
        "    assert 'tensorflow' not in sys.modules\n"
        "    print(len(set(processes.tolist())))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env=environment, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) in (1, 2)


def test_an_error_of_the_callback_is_the_users_own(volume: Path) -> None:
    def callback(file_names: Any, metadatas: Any) -> Any:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        list(bind(volume, callback=callback).flow().train)


def test_a_corrupt_record_is_named(tmp_path: Path) -> None:
    volume = numbered.write(tmp_path / "bad", train=20)
    (shard,) = (volume / "shards").glob("train-*-00001.tfrecord")
    shard.write_bytes(shard.read_bytes()[:-20] + b"x" * 20)
    with pytest.raises(CorruptRecordError, match="train/0019"):
        list(bind(volume).flow().train)


@pytest.mark.parametrize(
    ("returned", "why"),
    [
        (np.zeros(3), "must return a tuple of arrays, or None .* returned ndarray"),
        ((), "returned an empty tuple"),
        ({"a": 1}, "returned dict"),
    ],
)
def test_what_is_no_sample_is_refused(volume: Path, returned: Any, why: str) -> None:
    with pytest.raises(InvalidArgumentError, match=why):
        list(bind(volume, callback=lambda *_: returned).flow().train)


def test_samples_that_do_not_fit_together_are_named(volume: Path) -> None:
    def callback(file_names: Any, metadatas: Any) -> Any:
        return np.zeros(3 + metadatas[0]["number"] // 49), 0

    def shorter(file_names: Any, metadatas: Any) -> Any:
        return (0,) * (1 + metadatas[0]["number"] // 49)

    with pytest.raises(InvalidArgumentError, match=r"position 0 has the shape \(\d,\) for 'train/"):
        list(bind(volume, callback=callback).flow().train)
    with pytest.raises(InvalidArgumentError, match="arrays for 'train/.* must be alike"):
        list(bind(volume, callback=shorter).flow().train)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"batch_size": 0}, r"batch_size must be positive \(got 0\)"),
        ({"processes": 0}, r"processes must be positive \(got 0\)"),
        ({"shuffle": [True] * 4}, r"shuffle must be True or False, or up to one .*train, test"),
        ({"shuffle": 3}, "shuffle must be"),
        ({"cache_limit": "much"}, "cache_limit='much' is not a size"),
        ({"callback": 3}, r"deserialization_callback must be callable .*\(got 3\)"),
        (
            {"callback": lambda *_: None, "use_threads": False},
            "module's top level, or give use_thr",
        ),
    ],
)
def test_arguments_that_cannot_be_used_are_told_at_once(
    volume: Path, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=why):
        bind(volume, **options)


def test_a_query_that_cannot_be_used_is_told_of(volume: Path) -> None:
    with pytest.raises(QueryError, match="number"):
        bind(volume, "numbr:3")
    with pytest.raises(InvalidArgumentError, match="the query selects no records"):
        bind(volume, "number:>1000").flow()
    with pytest.raises(InvalidArgumentError, match=r"'scene \d+' is none of train, test"):
        bind(volume, "@split:scene")


def test_a_bucket_is_a_volume_too(
    volume: Path, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.upload(volume)
    train = bind(bucket.uri, "night:true", batch_size=4).flow().train
    for _ in range(2):
        assert sorted(numbers(train)) == list(range(1, 50, 2))
        read = sum("tfrecord" in str(entry) for entry in bucket.proxy.log)
    # The second epoch has its files from the disk.
    assert read == sum("tfrecord" in str(entry) for entry in bucket.proxy.log)


def test_an_opened_dataset_is_a_volume_too(volume: Path) -> None:
    data = tfstream.open(volume)
    assert sorted(numbers(bind(data[:10]).flow().train)) == list(range(10))


def small_model() -> keras.Model:
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    return model


class Recorder:
    """A callback that remembers which samples were made."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self, file_names: Any, metadatas: Any) -> Any:
        pixels, number = numbered.read(file_names, metadatas)
        self.seen.append(number)
        return pixels / 255, np.float32(number)


@pytest.mark.parametrize("shuffle", [True, False])
def test_keras_trains_on_each_sample_once_an_epoch(volume: Path, shuffle: bool) -> None:
    train, _, validation = bind(volume, THIRDS, callback=(made := Recorder())).flow()
    assert isinstance(train, keras.utils.PyDataset)
    trained: list[int] = []

    class Model(keras.Sequential):
        def train_step(self, data: Any) -> Any:
            import tensorflow as tf

            tf.py_function(lambda y: trained.extend(y.numpy().tolist()), [data[1]], [])
            return super().train_step(data)

    model = Model([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    history = model.fit(
        train, validation_data=validation, epochs=3, shuffle=shuffle, verbose=0
    ).history
    assert len(history["val_loss"]) == 3
    size = train.samples
    epochs = [trained[at : at + size] for at in range(0, 3 * size, size)]
    assert len(trained) == 3 * size
    assert all(sorted(epoch) == sorted(epochs[0]) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert len(set(made.seen)) == train.samples + validation.samples


def test_keras_evaluates_and_predicts_in_order(volume: Path) -> None:
    train = bind(volume, shuffle=False, callback=Recorder()).flow().train
    model = small_model()
    model.fit(train, epochs=1, verbose=0)
    for _ in range(2):
        got = model.predict(train, verbose=0)
        expected = model.predict_on_batch(np.concatenate([x for x, _ in train]))
        np.testing.assert_allclose(got, expected, rtol=1e-5)
    assert model.evaluate(train, verbose=0) >= 0


def test_keras_goes_on_without_end(volume: Path) -> None:
    train = bind(volume, is_infinite=True, callback=(made := Recorder())).flow().train
    small_model().fit(train, steps_per_epoch=5, epochs=3, verbose=0)
    assert set(made.seen) == set(range(50))


def test_keras_is_given_full_batches_where_samples_are_skipped(volume: Path) -> None:
    def callback(file_names: Any, metadatas: Any) -> Any:
        return None if metadatas[0]["number"] % 5 == 0 else (np.zeros(4), 1.0)

    train = bind(volume, callback=callback).flow().train
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    assert len(model.fit(train, epochs=3, verbose=0).history["loss"]) == 3
    assert len(train) == 5


def test_where_all_samples_are_skipped_nothing_hangs(volume: Path) -> None:
    train = bind(volume, callback=lambda *_: None, is_infinite=True).flow().train
    with pytest.raises(InvalidArgumentError, match="the callback skipped 50 of them"):
        next(iter(train))
    with pytest.raises(InvalidArgumentError, match="the callback skipped 50 of them"):
        train[0]


def test_importing_and_binding_leave_tensorflow_alone(volume: Path) -> None:
    program = (
        "import sys, tfstream\n"
        f"tfstream.bind_data_generator({str(volume)!r}, '', print, disable_caching=True)\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
