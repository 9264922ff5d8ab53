"""Tests of tfstream/query/splitting.py."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from query.indexes import Shards, row

from tfstream.errors import InvalidArgumentError
from tfstream.format import index
from tfstream.query.engine import Engine
from tfstream.query.splitting import check_fractions, fractions, partition, sample

PARTS = {"train": 0.8, "val": 0.1, "test": 0.1}
COUNT = 20_000


def _engine(root: Path, numbers: range) -> tuple[Shards, Engine]:
    shards = Shards()
    half = numbers.start + len(numbers) // 2
    for name, part in (("a", range(numbers.start, half)), ("b", range(half, numbers.stop))):
        rows = [row(number, metadata={"day": number // 9, "night": None}) for number in part]
        shards.add(root / f"{name}.parquet", "train", rows, {"day": "int", "night": "bool"})
    return shards, shards.engine()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return _engine(tmp_path_factory.mktemp("splitting"), range(COUNT))[1]


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shards, Engine]:
    shards = Shards()
    shards.add(
        tmp_path_factory.mktemp("few") / "a.parquet", "train", [row(number) for number in range(60)]
    )
    return shards, shards.engine()


def _fraction(text: str) -> float:
    """What the documentation says, written again."""
    return int(hashlib.md5(text.encode()).hexdigest()[:13], 16) / 16**13


# Changing these moves records between training and test sets that people have.


def test_the_fraction_of_a_record_is_pinned(few: tuple[Shards, Engine]) -> None:
    got = fractions(few[1], np.array([0, 17]), seed=1337)
    assert got.tolist() == [0.685455114039278, 0.9737680093680654]
    assert got.tolist() == [_fraction("1337:set/0000"), _fraction("1337:set/0017")]


@pytest.mark.parametrize(
    ("by", "write"),
    [
        ("camera", str),
        ("day", str),
        ("iso", lambda value: repr(value)),
        ("night", lambda value: str(value).lower()),
        ("split", str),
        ("width", str),
    ],
)
def test_fractions_are_hashes_of_values_as_documented(
    few: tuple[Shards, Engine], by: str, write: type
) -> None:
    shards, engine = few
    values = [
        record["key"] if record[by] is None else write(record[by]) for record in shards.records
    ]
    for seed in (0, 2**63 - 1):
        assert fractions(engine, None, by=by, seed=seed).tolist() == [
            _fraction(f"{seed}:{value}") for value in values
        ]


def test_fractions_come_in_the_order_of_the_rows(many: Engine) -> None:
    whole = fractions(many, None, seed=1)
    rows = np.random.default_rng(0).permutation(COUNT)[:5000]
    assert (fractions(many, rows, seed=1) == whole[rows]).all()
    assert whole.min() >= 0
    assert whole.max() < 1


def test_parts_share_nothing_and_have_their_proportions(many: Engine) -> None:
    parts = partition(many, None, PARTS, seed=1337)
    assert list(parts) == ["train", "val", "test"]
    together = np.concatenate(list(parts.values()))
    assert sorted(together.tolist()) == list(range(COUNT))
    for name, fraction in PARTS.items():
        assert abs(len(parts[name]) / COUNT - fraction) < 0.01


def test_what_no_part_takes_is_in_none(many: Engine) -> None:
    parts = partition(many, None, {"a": 0.25, "none": 0, "b": 0.25}, seed=3)
    where = fractions(many, None, seed=3)
    assert parts["a"].tolist() == np.flatnonzero(where < 0.25).tolist()
    assert parts["none"].tolist() == []
    assert parts["b"].tolist() == np.flatnonzero((where >= 0.25) & (where < 0.5)).tolist()


def test_adding_and_leaving_out_records_moves_no_other(many: Engine, tmp_path: Path) -> None:
    whole = partition(many, None, PARTS, seed=1337)
    _, more = _engine(tmp_path, range(COUNT // 2, COUNT + COUNT // 10))
    later = partition(more, None, PARTS, seed=1337)
    for name, rows in whole.items():
        kept = rows[rows >= COUNT // 2] - COUNT // 2
        assert later[name][later[name] < COUNT // 2].tolist() == kept.tolist()
    some = np.arange(0, COUNT, 3)
    for name, rows in partition(many, some, PARTS, seed=1337).items():
        assert rows.tolist() == [number for number in whole[name] if number % 3 == 0]


def test_of_a_hundred_thousand_none_moves_when_a_tenth_is_added(tmp_path: Path) -> None:
    sizes = [100_000, 10_000]
    paths = [tmp_path / "old.parquet", tmp_path / "new.parquet"]
    for path, begin, size in zip(paths, (0, 100_000), sizes, strict=True):
        index.write_table(path, _rows(begin, size))
    old = Engine(paths[:1], sizes[:1], ["train"], {})
    before = partition(old, None, PARTS, seed=1337)
    for name, fraction in PARTS.items():
        assert abs(len(before[name]) / 100_000 - fraction) < 0.01
    after = partition(Engine(paths, sizes, ["train"] * 2, {}), None, PARTS, seed=1337)
    for name, rows in before.items():
        assert np.array_equal(rows, after[name][after[name] < 100_000])


def _rows(begin: int, size: int) -> pa.Table:
    """An index of records of which nothing but the key differs."""
    columns = {
        "key": pa.array([f"train/{number:06d}" for number in range(begin, begin + size)]),
        "format": pa.array(["jpeg"] * size),
        "label": pa.nulls(size),
        "labels": pa.array([[]] * size, pa.map_(pa.string(), pa.int32())),
    }
    schema = index.schema({})
    made = [columns.get(name, pa.array(np.ones(size, np.int8))) for name in schema.names]
    return pa.table(made, names=schema.names).cast(schema)


def test_another_seed_gives_other_parts(many: Engine) -> None:
    one, other = (set(partition(many, None, PARTS, seed=seed)["test"].tolist()) for seed in (1, 2))
    assert len(one & other) < 0.2 * len(one)


def test_parts_keep_the_order_of_the_rows(many: Engine) -> None:
    rows = np.random.default_rng(0).permutation(COUNT)[:999]
    parts = partition(many, rows, PARTS, seed=1)
    for part in parts.values():
        chosen = set(part.tolist())
        assert part.tolist() == [number for number in rows.tolist() if number in chosen]


@pytest.mark.parametrize("stratify", [None, "label"])
def test_groups_never_straddle(many: Engine, stratify: str | None) -> None:
    parts = partition(many, None, PARTS, by="day", seed=1337, stratify=stratify)
    groups = {name: set((rows // 9).tolist()) for name, rows in parts.items()}
    assert not groups["train"] & groups["val"]
    assert not (groups["train"] | groups["val"]) & groups["test"]
    assert sum(map(len, parts.values())) == COUNT
    for name, fraction in PARTS.items():
        assert abs(len(parts[name]) / COUNT - fraction) < 0.03


def test_records_without_a_group_are_each_for_themselves(many: Engine) -> None:
    parts = partition(many, None, PARTS, by="night", seed=1337)
    assert parts["val"].tolist() == partition(many, None, PARTS, seed=1337)["val"].tolist()


def test_each_stratum_is_divided_to_a_record(many: Engine) -> None:
    parts = partition(many, None, PARTS, seed=1337, stratify="label")
    labels = many.table(None, ["label"])["label"].to_pylist()
    sizes = Counter(labels)
    assert None in sizes
    for name, fraction in PARTS.items():
        counts = Counter(labels[number] for number in parts[name].tolist())
        for label, size in sizes.items():
            assert abs(counts[label] - fraction * size) < 1
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(COUNT))


def test_many_small_strata_are_rounded_without_bias(many: Engine) -> None:
    # Nine records a day: 7.2, 0.9 and 0.9 would fall to the parts.
    parts = partition(many, None, PARTS, seed=1337, stratify="day")
    for name, fraction in PARTS.items():
        assert abs(len(parts[name]) / COUNT - fraction) < 0.005


def test_a_fraction_of_a_sample_is_stable_and_about_that_large(many: Engine) -> None:
    tenth, fifth = (sample(many, None, size, seed=1) for size in (0.1, 0.2))
    assert abs(len(tenth) / COUNT - 0.1) < 0.01
    assert set(tenth.tolist()) < set(fifth.tolist())
    assert len(sample(many, None, 1.0, seed=1)) == COUNT
    assert len(sample(many, None, 0.0, seed=1)) == 0


def test_a_number_of_records_is_drawn_exactly_in_the_order_that_they_have(many: Engine) -> None:
    rows = np.random.default_rng(0).permutation(COUNT)[:999]
    drawn = sample(many, rows, 100, seed=1)
    assert len(set(drawn.tolist())) == 100
    chosen = set(drawn.tolist())
    assert drawn.tolist() == [number for number in rows.tolist() if number in chosen]
    assert chosen < set(sample(many, rows, 101, seed=1).tolist())
    assert sample(many, None, COUNT, seed=1).tolist() == list(range(COUNT))


def test_a_sample_has_all_or_none_of_a_group(many: Engine) -> None:
    days = Counter((sample(many, None, 0.3, seed=1, by="day") // 9).tolist())
    assert set(days.values()) <= {9, COUNT % 9}


def test_a_sample_is_divided_like_everything(many: Engine) -> None:
    drawn = sample(many, None, 0.2, seed=1337)
    parts = partition(many, drawn, PARTS, seed=1337)
    assert abs(len(parts["train"]) / len(drawn) - 0.8) < 0.03


def test_nothing_is_divided_into_nothing(many: Engine) -> None:
    nothing = np.array([], np.int64)
    for stratify in (None, "day"):
        parts = partition(many, nothing, PARTS, seed=1, stratify=stratify)
        assert [rows.tolist() for rows in parts.values()] == [[], [], []]
    assert sample(many, nothing, 0.5, seed=1).tolist() == []


@pytest.mark.parametrize(
    ("parts", "match"),
    [
        ({}, "needs parts"),
        ({"a": 0.9, "b": 0.2}, r"sum to 1\.1, which is more than 1 \(got a=0\.9, b=0\.2\)"),
        ({"a": -0.1}, r"fraction in 0\.\.1 \(got a=-0\.1\)"),
        ({"a": float("nan")}, "fraction in 0..1"),
        ({"a": 80, "b": 20}, "fraction in 0..1"),
    ],
)
def test_what_are_no_fractions_is_refused(parts: dict[str, float], match: str) -> None:
    with pytest.raises(InvalidArgumentError, match=match):
        check_fractions(parts)


def test_fractions_that_miss_one_by_rounding_take_everything(many: Engine) -> None:
    parts = {f"p{number}": 0.1 for number in range(10)}
    assert sum(len(rows) for rows in partition(many, None, parts, seed=1).values()) == COUNT


@pytest.mark.parametrize("size", [-1, COUNT + 1, -0.5, 1.5, float("nan")])
def test_a_sample_that_cannot_be_drawn_is_refused(many: Engine, size: float) -> None:
    with pytest.raises(InvalidArgumentError, match="sample"):
        sample(many, None, size, seed=1)


def test_an_unknown_column_is_told_with_the_nearest(many: Engine) -> None:
    for arguments in ({"by": "lable"}, {"stratify": "lable"}):
        with pytest.raises(InvalidArgumentError, match="Did you mean label"):
            partition(many, None, PARTS, seed=1, **arguments)
