"""Mixes: proportions over every window, every sample where the schedule says, on any world."""

import functools
import itertools
import json

import numpy as np
import pytest
import scenes
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import tfstream
from tfstream.errors import InvalidArgumentError, StateError
from tfstream.order import Order
from tfstream.schedule import ENDLESS, Mixture, Schedule, whole_weights

KEYS = {"image": None, "label": None, "elements": "dict", "batch_size": 5}
WEIGHT = st.one_of(st.floats(1e-3, 1), st.integers(1, 1000))


def weights_of(smallest, largest):
    return st.lists(WEIGHT, min_size=smallest, max_size=largest)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return scenes.write(tmp_path_factory.mktemp("scenes") / "packed")


@pytest.fixture(scope="module")
def data(root):
    return tfstream.open(root)


CAMERAS = ("left", "right", "top")


@functools.cache
def parts(data):
    return {name: data.slice(f"camera:{name}") for name in CAMERAS}


@functools.cache
def streams(data, cameras=CAMERAS, **arguments):
    """Streams of 24, 19 and 4 records, by their cameras."""
    return {
        name: parts(data)[name].stream(
            **{**KEYS, "seed": CAMERAS.index(name), "block_size": 2, **arguments}
        )
        for name in cameras
    }


def mixed(data, weights=(5, 3, 2), seed=0, stop="all_exhausted", state=None, **arguments):
    made = streams(data, **arguments)
    return tfstream.mix(made, weights=weights, seed=seed, stop=stop, state=state)


@pytest.fixture(scope="module")
def unread(data):
    """A mix that nobody reads or sets back: it tells states, and takes none that is refused."""
    return mixed(data)


@pytest.fixture(scope="module")
def epochs(data):
    """The batches of each of a mix's first five epochs."""
    ds = mixed(data)
    return [batches(ds) for _ in range(5)]


def batches(ds, count=-1):
    """The keys of each batch."""
    return [batch["key"].tolist() for batch in ds.take(count).as_numpy_iterator()]


def endless(ds):
    """The keys of one epoch after the other."""
    ds.restore(ds.recipe.position.state((0, 0, 0, 0), 0))
    while True:
        for batch in batches(ds):
            yield from batch


def model(data, epochs, weights=(5, 3, 2), *, stop="all_exhausted"):
    """The keys of some epochs of a mix, drawn from whole streams by a loop over the schedule."""
    sources, _ = Schedule(weights).places(np.arange(2000))
    parts = [endless(ds) for ds in streams(data).values()]
    sizes = [24, 19, 4]
    out = []
    for _ in range(epochs):
        epoch, taken = [], [0, 0, 0]
        for source in sources:
            if stop == "first_exhausted" and taken[source] == sizes[source]:
                break
            if stop == "all_exhausted" and all(t >= s for t, s in zip(taken, sizes, strict=True)):
                break
            taken[source] += 1
            epoch.append(next(parts[source]))
        for part, count, size in zip(parts, taken, sizes, strict=True):
            list(itertools.islice(part, -count % size))  # each begins a new epoch of its own
        out.append(epoch)
    return out


@settings(max_examples=40)
@given(weights_of(1, 3), st.integers(0, 1 << 62))
def test_any_thousand_samples_of_up_to_three_streams_are_within_one_of_what_is_due(weights, seed):
    schedule = Schedule(whole_weights(weights), seed)
    sources, numbers = schedule.places(np.arange(20_000))
    for source, weight in enumerate(weights):
        ours = sources == source
        assert (numbers[ours] == np.arange(ours.sum())).all()
        before = np.concatenate([[0], np.cumsum(ours)])
        due = weight / sum(weights)
        assert abs(before[1000:] - before[:-1000] - 1000 * due).max() < 1 + 1e-3
        assert abs(before - due * np.arange(20_001)).max() < 6


@settings(max_examples=20)
@given(weights_of(4, 9), st.integers(0, 1 << 62))
def test_of_more_streams_they_are_within_two(weights, seed):
    sources, _ = Schedule(whole_weights(weights), seed).places(np.arange(20_000))
    for source, weight in enumerate(weights):
        before = np.concatenate([[0], np.cumsum(sources == source)])
        due = 1000 * weight / sum(weights)
        assert abs(before[1000:] - before[:-1000] - due).max() < 2 + 1e-3


@settings(max_examples=20)
@given(weights_of(1, 6), st.integers(0, 1 << 60), st.integers(0, 99))
def test_any_place_of_the_schedule_is_found_from_either_side(weights, begin, seed):
    schedule = Schedule(whole_weights(weights), seed)
    positions = begin + np.arange(2500)
    sources, numbers = schedule.places(positions)
    counts = np.array(schedule.counts(begin))
    for source, number in zip(sources.tolist(), numbers.tolist(), strict=True):
        assert number == counts[source]
        counts[source] += 1
    assert schedule.counts(begin + 2500) == counts.tolist()
    at = seed * 25
    assert schedule.position(int(sources[at]), int(numbers[at])) == positions[at]
    in_graph = schedule.places(tf.constant(positions))
    np.testing.assert_array_equal(in_graph[0], sources)
    np.testing.assert_array_equal(in_graph[1], numbers)


def test_the_turns_are_pinned():
    sources, numbers = Schedule((5, 3, 2), seed=7).places(np.arange(20))
    assert sources.tolist() == PINNED
    assert numbers[-1] == PINNED[:-1].count(PINNED[-1])
    odd, _ = Schedule((359, 311, 330), seed=7).places(np.arange(4_000_000, 4_000_020))
    assert odd.tolist() == ODD


PINNED = [0, 0, 2, 0, 0, 1, 2, 1, 0, 1, 1, 0, 2, 0, 1, 0, 0, 0, 1, 1]
ODD = [0, 0, 1, 2, 2, 0, 2, 1, 0, 1, 1, 0, 0, 2, 1, 2, 0, 1, 2, 2]


def test_weights_become_the_whole_numbers_that_were_meant():
    assert whole_weights([0.1, 0.2, 0.7]) == (1, 2, 7)
    assert whole_weights([1281167, 50000]) == (1281167, 50000)
    huge = whole_weights([1e-15, 1.0, 2**0.5])
    assert min(huge) == 1
    assert sum(huge) <= 1 << 30


def test_two_workers_see_both_of_two_equal_sources():
    sources, _ = Schedule((1, 1)).places(np.arange(4000))
    for rank in range(2):
        assert 0.45 < sources[rank::2].mean() < 0.55


@settings(max_examples=30)
@given(weights_of(1, 4), st.data())
def test_an_epoch_ends_where_a_count_of_its_samples_says(weights, data):
    sizes = data.draw(st.lists(st.integers(1, 50), min_size=len(weights), max_size=len(weights)))
    epochs = data.draw(st.lists(st.sampled_from([1, 2, None]), min_size=len(sizes), max_size=4))
    epochs = [*epochs, 1, 1, 1][: len(sizes)]
    schedule = Schedule(whole_weights(weights))
    sources, numbers = schedule.places(np.arange(40_000))
    ends = [None if e is None else e * size for e, size in zip(epochs, sizes, strict=True)]

    def records(stop):
        orders = tuple(Order(size) for size in sizes)
        names = tuple("abcd"[: len(sizes)])
        return Mixture(schedule, names, orders, tuple(epochs), stop).records

    lacking = [n >= (ends[s] or 1 << 62) for s, n in zip(sources, numbers, strict=True)]
    first = records("first_exhausted")
    assert first == (lacking.index(True) if any(lacking) else ENDLESS) or first > 40_000
    last = records("all_exhausted")
    if None in ends:
        assert last == ENDLESS
    elif last <= 40_000:
        counts = [np.bincount(sources[:n], minlength=len(ends)) for n in (last - 1, last)]
        assert (counts[1] >= ends).all()
        assert not (counts[0] >= ends).all()
    assert records("repeat") == ENDLESS


@pytest.mark.parametrize("stop", ["first_exhausted", "all_exhausted"])
def test_each_epoch_holds_what_the_streams_give_in_turn(data, stop):
    ds = mixed(data, stop=stop)
    expected = model(data, 3, stop=stop)
    for epoch in expected:
        assert [key for batch in batches(ds) for key in batch] == epoch
    assert ds.cardinality() == ds.steps_per_epoch == -(-len(expected[0]) // 5)
    assert ds.stats()["samples"] == sum(map(len, expected))


def test_a_repeated_mix_has_no_end(data):
    ds = mixed(data, stop="repeat")
    assert ds.cardinality() == ds.steps_per_epoch == tf.data.INFINITE_CARDINALITY
    got = [key for batch in batches(ds, 60) for key in batch]
    ends = mixed(data, stop="all_exhausted", epochs=5)
    assert got == [key for batch in batches(ends, 60) for key in batch]
    endless_one = mixed(data, (1,), cameras=("top",), stop="first_exhausted", epochs=None)
    assert endless_one.steps_per_epoch == -1


@pytest.mark.parametrize(("consumed", "remote"), [(1, False), (12, False), (29, True)])
def test_a_mix_goes_on_at_the_very_next_batch(data, root, bucket, unread, epochs, remote, consumed):
    whole = [keys for epoch in epochs for keys in epoch]
    state = unread.state(batches_consumed=consumed)
    assert len(json.dumps(state)) < 1024
    if remote:
        bucket.upload(root)
        data = tfstream.open(bucket.uri)
    resumed = mixed(data, state=json.loads(json.dumps(state, sort_keys=True)))
    got = [keys for _ in range(2) for keys in batches(resumed)]
    assert got == whole[consumed : consumed + len(got)]
    assert len(got) > len(epochs[0])


def test_what_was_delivered_is_what_the_state_counts_and_sets_back(data):
    ds = mixed(data, stop="repeat")
    iterator = iter(ds)
    for _ in range(31):
        next(iterator)
    state = ds.state()
    assert (state["epoch"], state["position"]) == (0, 155)
    rest = [next(iterator)["key"].numpy().tolist() for _ in range(3)]
    ds.restore(state)
    assert batches(ds, 3) == rest


def test_each_of_any_number_of_workers_takes_its_turns_at_the_same_samples(data):
    two = {"cameras": ("left", "top"), "weights": (5, 2), "stop": "repeat"}
    whole = itertools.chain(*batches(mixed(data, batch_size=12, **two), 6))
    whole, state, place = list(whole), None, 0
    for rank, count in ((1, 2), (2, 3), (0, 4)):
        share = mixed(data, batch_size=12 // count, world=(rank, count), state=state, **two)
        got = list(itertools.chain(*batches(share, 2)))
        assert got == whole[place + rank : place + 24 : count]
        state, place = share.state(batches_consumed=2), place + 24
        assert (state["epoch"], state["position"]) == (0, place)


def test_local_and_remote_streams_are_mixed(data, root, bucket, epochs):
    bucket.upload(root)
    near, far = streams(data), streams(tfstream.open(bucket.uri), ("right",))
    ds = tfstream.mix(near | far, weights=(5, 3, 2), stop="all_exhausted")
    assert batches(ds) == epochs[0]
    assert ds.stats()["bytes_fetched"] > 0


def test_a_session_draws_the_same(data, epochs):
    expected = epochs[0]
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        element = tf.compat.v1.data.make_one_shot_iterator(mixed(data)).get_next()["key"]
        assert [session.run(element).tolist() for _ in expected] == expected
        with pytest.raises(tf.errors.OutOfRangeError):
            session.run(element)


def test_elements_say_what_they_are_of_and_each_stream_transforms_its_own(data):
    spec = tfstream.ImageSpec(size=(8, 8), mode="random_crop", flip=True, dtype="float32")
    made = {
        name: data.slice(f"camera:{name}").stream(
            image=spec,
            elements="dict",
            batch_size=8,
            seed=5,
            transform=lambda row, shift=shift: {**row, "image": row["image"] + shift},
        )
        for name, shift in (("right", 1000.0), ("left", 0.0))
    }
    alone = {
        key: image
        for ds in made.values()
        for batch in ds.as_numpy_iterator()
        for key, image in zip(batch["key"].tolist(), batch["image"], strict=True)
    }
    ds = tfstream.mix(made, weights={"left": 0.5, "right": 0.5})
    for batch in ds.as_numpy_iterator():
        named = [key.split(b"/")[1] for key in batch["key"].tolist()]
        assert named == batch["source"].tolist()
        for key, image in zip(batch["key"].tolist(), batch["image"], strict=True):
            np.testing.assert_array_equal(image, alone[key])


def test_tuples_are_transformed_by_their_stream_as_well(data):
    made = {
        name: data.slice(f"camera:{name}").stream(
            image=tfstream.ImageSpec(size=(4, 4)),
            batch_size=None,
            transform=(lambda image, label: (image, -label)) if name == "left" else None,
        )
        for name in ("left", "right")
    }
    ds = tfstream.mix(made, weights=(2, 1), stop="first_exhausted")
    sources, _ = Schedule((2, 1)).places(np.arange(30))
    for source, (image, label) in zip(sources, ds.as_numpy_iterator(), strict=False):
        assert image.shape == (4, 4, 3)
        assert label == 0 or (label > 0) == bool(source)


def test_the_rest_is_padded_or_dropped(data, epochs):
    length = sum(map(len, epochs[0]))
    padded = list(mixed(data, batch_size=50, pad_remainder=True).as_numpy_iterator())
    assert [batch["present"].sum() for batch in padded] == [50] * (length // 50) + [length % 50]
    assert set(padded[-1]["source"][length % 50 :].tolist()) == {b""}
    small = streams(data, batch_size=4, drop_remainder=True)
    ds = tfstream.mix(small, weights=(5, 3, 2), stop="all_exhausted")
    assert [len(batch) for batch in batches(ds)] == [4] * (length // 4)


def test_data_points_are_mixed(data):
    points = data.data_points("scene", size=3)
    halves = {"even": points[0::2].stream(**KEYS), "odd": points[1::2].stream(**KEYS)}
    ds = tfstream.mix(halves, weights=(1, 1))
    whole = [row for b in data_rows(ds) for row in b]
    alone = {name: [row for b in data_rows(half) for row in b] for name, half in halves.items()}
    for name, rows in alone.items():
        ours = [keys for source, keys in whole if source == name.encode()]
        assert ours == [keys for _, keys in rows][: len(ours)]


def data_rows(ds):
    """(source, keys) of each data point, by batches."""
    for batch in ds.as_numpy_iterator():
        sources = batch.get("source", [None] * len(batch["key"]))
        yield list(zip(list(sources), batch["key"].tolist(), strict=True))


def test_a_corrupt_record_is_left_out_alone(tmp_path, epochs):
    root = scenes.write(tmp_path / "packed")
    expected = list(itertools.chain(*epochs[0]))
    shard = sorted((root / "shards").glob("*.tfrecord"))[0]
    content = bytearray(shard.read_bytes())
    content[40] ^= 255
    shard.write_bytes(content)
    ds = mixed(tfstream.open(root), batch_size=1000, on_corrupt="skip")
    got = batches(ds)[0]
    lost = set(expected) - set(got)
    assert len(lost) == 1
    assert got == [key for key in expected if key not in lost]


def test_weights_of_nothing_leave_a_stream_out_and_sizes_are_the_default(data):
    assert mixed(data, weights=(1, 0, 0)).state()["weights"] == [1]
    assert mixed(data, weights=None).state()["weights"] == [24, 19, 4]
    assert mixed(data, weights={"top": 1, "left": 2, "right": 3}).state()["weights"] == [2, 3, 1]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ((1, -1, 1), "not negative.*-1 for 'right'"),
        ((1, float("nan"), 1), "nan for 'right'"),
        ((1, "2", 1), "'2' for 'right'"),
        ((0, 0, 0), "all weights are 0"),
        ((1, 1), "as many as there are streams, 3"),
        ({"left": 1, "right": 1, "bottom": 1}, "'bottom' is only in one"),
        ({"left": 1, "right": 1}, "'top' is only in one"),
    ],
)
def test_weights_that_cannot_be_are_refused(data, weights, message):
    with pytest.raises(InvalidArgumentError, match=message):
        mixed(data, weights=weights)


def test_what_cannot_be_mixed_is_refused(data, unread):
    one = {"left": streams(data)["left"]}

    def refuse(other, message):
        with pytest.raises(InvalidArgumentError, match=message):
            tfstream.mix({**one, "other": other}, weights=(1, 1))

    refuse(data.stream(**{**KEYS, "batch_size": 4}), "batch_size: 'left' has 5, 'other' has 4")
    refuse(data.stream(**KEYS, world=(0, 2)), "world")
    refuse(data.stream(**{**KEYS, "label": "index"}), "label: 'left' has None, 'other' has 'index'")
    refuse(data.stream(**KEYS, transform=lambda row: row["key"]), "elements after transform")
    refuse(data.stream(**KEYS, on_corrupt="skip"), "on_corrupt")
    refuse(data.data_points("scene", size=3).stream(**KEYS), "data points: 'left' has 1, .* has 3")
    refuse(unread, "a mix itself")
    refuse(one["left"].map(lambda row: row), "mix takes what PackedDataset.stream gives")
    refuse(data.stream(**KEYS, state=data.stream(**KEYS).state(batches_consumed=1)), "its own")
    for nothing in ({}, [one["left"]]):
        with pytest.raises(InvalidArgumentError, match="streams by name"):
            tfstream.mix(nothing)
    with pytest.raises(InvalidArgumentError, match='stop must be "first_exhausted"'):
        mixed(data, stop="never")
    with pytest.raises(InvalidArgumentError, match="seed must be"):
        mixed(data, seed=-1)


def test_other_label_maps_are_refused_where_labels_matter(data, tmp_path, monkeypatch):
    import tiny_dataset

    monkeypatch.setattr(tiny_dataset, "LABELS", tfstream.LabelMap.from_names(["cat", "cow", "dog"]))
    other = tfstream.open(scenes.write(tmp_path / "other"))
    indexed = {**KEYS, "label": "index"}
    with pytest.raises(
        InvalidArgumentError, match="label map: label 1: 'a' has 'dog', 'b' has 'cow'"
    ):
        tfstream.mix({"a": data.stream(**indexed), "b": other.stream(**indexed)})
    assert tfstream.mix({"a": data.stream(**KEYS), "b": other.stream(**KEYS)}).steps_per_epoch


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": (5, 3, 1)}, r"other weights.*\[5, 3, 2\].*\[5, 3, 1\]"),
        ({"seed": 4}, "another seed.*state 0, mix 4.*the mix with seed=0"),
        ({"stop": "repeat"}, "another end.*'all_exhausted'.*'repeat'"),
        ({"epochs": 2}, "other epochs"),
        ({"lanes": 8}, "other lanes as to source 'left'.*state 16, stream 8"),
    ],
)
def test_the_state_of_another_mix_is_refused(data, unread, change, message):
    state = unread.state(batches_consumed=3)
    with pytest.raises(StateError, match=message):
        mixed(data, state=state, **change)


def test_the_state_of_something_else_is_refused(data, unread):
    state = unread.state(batches_consumed=3)
    made = streams(data)
    with pytest.raises(StateError, match="is that of a mix"):
        made["left"].restore(state)
    with pytest.raises(StateError, match="is that of a single stream"):
        mixed(data, state=made["left"].state())
    renamed = tfstream.mix({"one": made["left"], "two": made["right"], "three": made["top"]})
    with pytest.raises(StateError, match="weights"):
        renamed.restore(state)
    with pytest.raises(StateError, match="other sources"):
        unread.restore(state | {"sources": {"left": {}}})
    with pytest.raises(StateError, match="damaged"):
        unread.restore(state | {"sources": {name: {} for name in state["sources"]}})
    with pytest.raises(StateError, match="past the end"):
        unread.restore(state | {"position": 10_000})
