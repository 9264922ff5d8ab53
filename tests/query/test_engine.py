"""Tests of tfstream/query/engine.py, and of what keeps its SQL from the rest of the machine."""

from __future__ import annotations

import itertools
import multiprocessing
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from query.indexes import SCHEMA, Shards, row

from tfstream.errors import CorruptRecordError, InvalidArgumentError, StorageError
from tfstream.query.condition import Condition
from tfstream.query.database import Database
from tfstream.query.engine import Engine

DOGS = Condition("coalesce(labels[?], 0) >= ? AND width > ?", ("dog", 2, 150))


def _dogs(record: dict[str, Any]) -> bool:
    return record["labels"].get("dog", 0) >= 2 and record["width"] > 150


def _write(root: Path) -> Shards:
    """Four shards of two splits: one lacks columns, one has no records."""
    shards = Shards()
    few = {"camera": "string"}
    shards.add(root / "a.parquet", "train", [row(number) for number in range(40)])
    shards.add(root / "b.parquet", "train", [row(number) for number in range(40, 55)], few)
    shards.add(root / "c.parquet", "val", [])
    shards.add(root / "d.parquet", "val", [row(number) for number in range(55, 90)])
    return shards


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    return _write(tmp_path_factory.mktemp("engine"))


@pytest.fixture(scope="module")
def engine(shards: Shards) -> Engine:
    return shards.engine()


def _told(table: pa.Table) -> list[dict[str, Any]]:
    return [{**got, "labels": dict(got["labels"])} for got in table.to_pylist()]


def test_a_condition_selects_the_records_that_fulfil_it(shards: Shards, engine: Engine) -> None:
    wanted = [number for number, record in enumerate(shards.records) if _dogs(record)]
    assert len(wanted) > 10
    found = engine.rows(DOGS)
    assert found.dtype == np.int64
    assert found.tolist() == wanted
    assert engine.count(DOGS) == len(wanted)


def test_without_a_condition_all_records_are_meant(engine: Engine) -> None:
    assert engine.rows(None).tolist() == list(range(90))
    assert engine.count(None) == len(engine) == 90


def test_a_column_that_an_index_lacks_is_null_in_its_rows(shards: Shards, engine: Engine) -> None:
    without = [number for number, record in enumerate(shards.records) if record["day"] is None]
    assert set(range(40, 55)) < set(without)
    assert engine.rows(Condition("day IS NULL")).tolist() == without


def test_a_column_that_no_index_has_is_null_everywhere(shards: Shards) -> None:
    engine = Engine(shards.paths, [40, 15, 0, 35], shards.splits, {**SCHEMA, "new": "float"})
    assert engine.count(Condition('"new" IS NULL')) == 90
    assert engine.table(None, ["new"])["new"].to_pylist() == [None] * 90
    assert engine.table(None, ["new"]).schema.field("new").type == pa.float64()
    assert engine.sorted(None, [("new", True)]).tolist() == list(range(90))


def test_a_column_that_the_schema_does_not_have_is_not_seen(shards: Shards) -> None:
    engine = Engine(shards.paths, [40, 15, 0, 35], shards.splits, {})
    assert "camera" not in engine.table().column_names
    with pytest.raises(InvalidArgumentError, match="no field 'camera'"):
        engine.table(None, ["camera"])


def test_the_split_is_a_column(engine: Engine) -> None:
    assert engine.rows(Condition("split = ?", ("val",))).tolist() == list(range(55, 90))


def test_a_table_tells_all_but_the_place_of_records(shards: Shards, engine: Engine) -> None:
    table = engine.table()
    assert table.column_names[:3] == ["key", "split", "width"]
    assert table.column_names[-4:] == sorted(SCHEMA)
    assert not {"offset", "length", "orientation"} & set(table.column_names)
    wanted = [{name: told[name] for name in table.column_names} for told in shards.records]
    assert _told(table) == wanted


@given(rows=st.lists(st.integers(0, 89)))
def test_a_table_has_the_order_of_the_rows_asked_for(
    shards: Shards, engine: Engine, rows: list[int]
) -> None:
    table = engine.table(np.array(rows, np.int64), ["key", "day", "split"])
    names = ["key", "day", "split"]
    assert table.to_pylist() == [{n: shards.records[r][n] for n in names} for r in rows]


def test_tables_of_any_rows_have_the_same_schema(engine: Engine) -> None:
    schema = engine.table().schema
    for rows in ([], [3], [50, 2], range(90)):
        assert engine.table(np.array(rows, np.int64)).schema.equals(schema)


def test_a_row_that_is_not_there_is_refused(engine: Engine) -> None:
    for wrong in (-1, 90):
        with pytest.raises(IndexError, match="not a record of 90"):
            engine.table(np.array([5, wrong]))


def test_records_are_sorted_by_several_columns_with_nulls_last(
    shards: Shards, engine: Engine
) -> None:
    records = shards.records

    def rank(number: int) -> tuple[Any, ...]:
        camera, day = records[number]["camera"], records[number]["day"]
        return camera is None, camera or "", day is None, -(day or 0), number

    by = [("camera", False), ("day", True)]
    assert engine.sorted(None, by).tolist() == sorted(range(90), key=rank)
    some = np.array([88, 3, 50, 12, 41, 60, 0])
    assert engine.sorted(some, by).tolist() == sorted(some.tolist(), key=rank)


def test_groups_come_in_ascending_order_none_last(shards: Shards, engine: Engine) -> None:
    for rows in (None, np.arange(1, 90, 2)):
        numbers = range(90) if rows is None else rows.tolist()
        groups = engine.groups(rows, "day")
        values = [value for value, _ in groups]
        assert values == [*sorted(v for v in values if v is not None), None]
        for value, members in groups:
            assert members.tolist() == [n for n in numbers if shards.records[n]["day"] == value]
        assert sum(len(members) for _, members in groups) == len(numbers)
    assert engine.groups(np.array([], np.int64), "day") == []


def test_a_float_that_is_no_number_is_no_value(tmp_path: Path) -> None:
    shards = Shards()
    values = [2.0, float("nan"), None, float("inf"), -1.0]
    rows = [row(number, metadata={"iso": value}) for number, value in enumerate(values)]
    shards.add(tmp_path / "a.parquet", "train", rows)
    engine = shards.engine()
    assert engine.sorted(None, [("iso", True)]).tolist() == [3, 0, 4, 1, 2]
    assert [value for value, _ in engine.groups(None, "iso")] == [-1, 2, float("inf"), None]
    assert engine.table(None, ["iso"])["iso"].to_pylist() == [2, None, None, float("inf"), -1]
    assert engine.rows(Condition("iso > 0")).tolist() == [0, 3]


def test_only_indexes_of_the_rows_asked_for_are_read(shards: Shards, tmp_path: Path) -> None:
    paths = [shards.paths[0], tmp_path / "nowhere.parquet"]
    engine = Engine(paths, [40, 10], ["train", "train"], SCHEMA)
    assert engine.table(np.array([7]), ["key"])["key"].to_pylist() == ["set/0007"]
    with pytest.raises(StorageError, match=r"nowhere\.parquet"):
        engine.rows(DOGS)


def test_an_unknown_column_is_told_with_the_nearest(engine: Engine) -> None:
    for ask in (
        lambda: engine.sorted(None, [("widht", False)]),
        lambda: engine.groups(None, "widht"),
        lambda: engine.table(None, ["widht"]),
    ):
        with pytest.raises(InvalidArgumentError, match="'widht'. Did you mean width"):
            ask()


def test_a_dataset_without_shards_has_no_records() -> None:
    engine = Engine([], [], [], SCHEMA)
    assert engine.count(DOGS) == 0
    assert engine.rows(DOGS).tolist() == engine.rows(None).tolist() == []
    assert engine.table().num_rows == 0
    assert engine.groups(None, "camera") == []


def test_fields_are_those_of_queries(shards: Shards) -> None:
    engine = Engine(shards.paths, [40, 15, 0, 35], shards.splits, SCHEMA, ["dog", "cat"])
    dogs = [record["labels"].get("dog", 0) for record in shards.records]
    asked = ["labels.dog", "metadata.day", "file.width", "labels"]
    table = engine.table(None, asked)
    assert table.column_names == asked
    assert table["labels.dog"].to_pylist() == dogs
    assert table["metadata.day"].to_pylist() == [record["day"] for record in shards.records]
    by = sorted(range(90), key=lambda number: (-dogs[number], number))
    assert engine.sorted(None, [("labels.dog", True)]).tolist() == by
    assert [(value, len(members)) for value, members in engine.groups(None, "labels.dog")] == [
        (value, dogs.count(value)) for value in range(4)
    ]
    for ask in (lambda: engine.table(None, ["labels.cow"]), lambda: engine.groups(None, "dog")):
        with pytest.raises(InvalidArgumentError, match="labels"):
            ask()


def test_names_of_files_and_columns_mean_nothing_but_themselves(tmp_path: Path) -> None:
    names = ["file_index", "file_row_number", "filename", "#record", "Key", "key#2", 'a "b"; --']
    table = dict.fromkeys(names, "string")
    rows = [row(number, metadata={name: f"{name}{number}" for name in names}) for number in (1, 2)]
    shards = Shards()
    for directory in ("[ab]=1", "a=1", "b=2", "*", "?", "x'y\"z", "ü\\d"):
        shards.add(tmp_path / directory / "i.parquet", directory, rows, table)
    engine = Engine(shards.paths, [2] * 7, shards.splits, table)
    got = engine.table()
    assert got["split"].to_pylist() == [split for split in shards.splits for _ in rows]
    for name in names:
        assert got[name].to_pylist() == [f"{name}1", f"{name}2"] * 7
    assert engine.rows(Condition("split = ?", ("*",))).tolist() == [6, 7]


def test_columns_that_differ_in_case_alone_can_be_told_apart(tmp_path: Path) -> None:
    schema = {"Day": "int", "day": "int"}
    shards = Shards()
    shards.add(tmp_path / "a.parquet", "t", [row(1, metadata={"Day": 1, "day": 2})], schema)
    shards.add(tmp_path / "b.parquet", "t", [row(2, metadata={"day": 2})], {"day": "int"})
    engine = Engine(shards.paths, [1, 1], shards.splits, schema)
    assert engine.table(None, ["Day", "day"]).to_pylist() == [
        {"Day": 1, "day": 2},
        {"Day": None, "day": 2},
    ]
    assert engine.count(Condition(f"{engine.field('Day').sql} = 1")) == 1


def test_several_threads_ask_one_engine(shards: Shards) -> None:
    engine = shards.engine()
    wanted = [number for number, record in enumerate(shards.records) if _dogs(record)]
    wrong: list[Any] = []

    def ask() -> None:
        try:
            for _ in range(10):
                assert engine.rows(DOGS).tolist() == wanted
                assert engine.table(np.array([44, 3]), ["day"])["day"].to_pylist() == [None, 0]
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_query_sees_where_its_records_lie(shards: Shards, engine: Engine) -> None:
    rows, located = engine.locate(DOGS)
    assert rows.tolist() == engine.rows(DOGS).tolist()
    assert located is not None
    for number, offset, length in zip(
        located.numbers, located.offsets, located.lengths, strict=True
    ):
        record = shards.records[number]
        assert (offset, length) == (record["offset"], record["length"])
    assert located.numbers is rows
    assert engine.locate(Condition("width < 0"))[0].tolist() == []


def test_very_many_places_are_not_kept(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfstream.query.engine._MOST_LOCATED", 3)
    rows, located = engine.locate(DOGS)
    assert located is None
    assert rows.tolist() == engine.rows(DOGS).tolist()


def test_files_in_several_lists_are_numbered_as_in_one(
    shards: Shards, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfstream.query.relation._TOGETHER", 1)
    assert shards.engine().rows(DOGS).tolist() == engine.rows(DOGS).tolist()


# What is wrong with an index.


def _ask(path: Path, records: int, schema: dict[str, str] = SCHEMA) -> None:
    engine = Engine([path], [records], ["train"], schema)
    engine.rows(Condition("day > 3 OR label = 'x'"))


@pytest.mark.parametrize(("told", "compared"), [(39, "more"), (41, "fewer")])
def test_an_index_with_another_number_of_rows_is_named(
    shards: Shards, told: int, compared: str
) -> None:
    with pytest.raises(CorruptRecordError, match=rf"a\.parquet holds {compared} records than"):
        _ask(shards.paths[0], told)


def test_an_index_with_a_column_of_another_type_is_named(tmp_path: Path) -> None:
    shards = _write(tmp_path)
    changed = pq.read_table(shards.paths[3])
    day = changed.schema.get_field_index("day")
    pq.write_table(
        changed.set_column(day, "day", changed["day"].cast(pa.string())), shards.paths[3]
    )
    with pytest.raises(CorruptRecordError, match=r"'day' of the index .*d\.parquet is .* string"):
        shards.engine().count(DOGS)


def test_an_index_without_a_column_that_all_have_is_named(tmp_path: Path) -> None:
    shards = _write(tmp_path)
    pq.write_table(pq.read_table(shards.paths[1]).drop_columns(["width"]), shards.paths[1])
    with pytest.raises(CorruptRecordError, match=r"b\.parquet has no column 'width'"):
        shards.engine().count(DOGS)


def test_an_index_that_is_no_parquet_file_is_named(tmp_path: Path) -> None:
    shards = _write(tmp_path)
    shards.paths[1].write_bytes(b"nothing of the kind")
    with pytest.raises(CorruptRecordError, match=r"b\.parquet"):
        shards.engine().count(DOGS)


def test_a_damaged_index_is_named_or_read_as_it_is(tmp_path: Path) -> None:
    shards = Shards()
    for name in ("a", "b", "c"):
        shards.add(tmp_path / f"{name}.parquet", "train", [row(n) for n in range(200)])
    whole = shards.paths[1].read_bytes()
    generator = np.random.default_rng(0)
    told: list[str] = []
    for cut in itertools.chain(range(1, len(whole), len(whole) // 20)):
        for damage in (whole[:cut], whole[:cut] + generator.bytes(40) + whole[cut + 40 :]):
            shards.paths[1].write_bytes(damage)
            try:
                engine = shards.engine()
                engine.rows(Condition("day > 3 AND camera = 'left' AND labels['dog'] > 1"))
                engine.table()
            except CorruptRecordError as error:
                told.append(str(error))
    assert len(told) > 20
    assert all("b.parquet" in message for message in told)


# What SQL may not do.

_REACHING = [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM read_json('/etc/passwd')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM read_parquet('{other}')",
    "SELECT * FROM '{other}'",
    "SELECT * FROM parquet_schema('{other}')",
    "SELECT * FROM read_parquet('{directory}/*.parquet')",
    "SELECT * FROM read_parquet('http://127.0.0.1:1/x.parquet')",
    "SELECT * FROM 'https://example.org/x.parquet'",
    "SELECT * FROM read_parquet('s3://bucket/x.parquet')",
    "SELECT * FROM query('COPY (SELECT 1) TO ''{directory}/out''')",
    "SELECT * FROM query_table('{other}')",
    "SELECT * FROM python_variable",
    "SELECT getenv('HOME')",
    "COPY (SELECT 1) TO '{directory}/out.csv'",
    "COPY (SELECT 1) TO '{directory}/out.parquet' (USE_TMP_FILE false)",
    "EXPORT DATABASE '{directory}/out'",
    "ATTACH '{directory}/out.db'",
    "ATTACH 'https://example.org/x.db'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{directory}/x.duckdb_extension'",
    "FORCE INSTALL spatial FROM 'https://example.org'",
    "SET enable_external_access = true",
    "SET allowed_paths = ['/etc/passwd']",
    "SET allowed_directories = ['/']",
    "SET python_enable_replacements = true",
    "SET temp_directory = '{directory}/out'",
    "RESET enable_external_access",
    "SET lock_configuration = false",
]


@pytest.mark.parametrize("sql", _REACHING)
def test_the_connection_reaches_nothing_but_its_files(tmp_path: Path, sql: str) -> None:
    import duckdb

    python_variable = pa.table({"a": [1]})
    shards = _write(tmp_path)
    database = Database([str(path) for path in shards.paths[:1]])
    statement = sql.format(other=shards.paths[1], directory=tmp_path)
    before = sorted(tmp_path.rglob("*"))
    # Whatever it is given, and by whomever: past all that checks it before.
    with pytest.raises(duckdb.Error):
        database._connection.execute(statement).fetchall()
    assert sorted(tmp_path.rglob("*")) == before
    assert python_variable.num_rows == 1


@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT 1) TO '{path}' (USE_TMP_FILE false)",
        "SELECT 1; SELECT 2",
        "CREATE TABLE t AS SELECT 1",
        "ATTACH ':memory:' AS other",
        "SET threads = 1",
        "",
    ],
)
def test_the_database_runs_nothing_but_one_selection(shards: Shards, sql: str) -> None:
    path = shards.paths[0]
    database = Database([str(path)])
    before = path.read_bytes()
    for run in (database.fetch, lambda *asked: list(database.batches(*asked))):
        with pytest.raises(InvalidArgumentError, match="not one SELECT"):
            run(sql.format(path=path), [])
    assert path.read_bytes() == before


def test_what_is_sorted_on_disk_is_gone_with_the_engine(shards: Shards) -> None:
    database = Database([str(shards.paths[0])])
    spill = Path(database._directory.name)
    assert spill.is_dir()
    del database
    assert not spill.exists()


def test_a_forked_process_asks_for_itself(engine: Engine) -> None:
    dogs = engine.rows(DOGS).tolist()  # the engine has threads now, which are not forked
    context = multiprocessing.get_context("fork")
    answers: multiprocessing.SimpleQueue[list[int]] = context.SimpleQueue()
    child = context.Process(target=lambda: answers.put(engine.rows(DOGS).tolist()))
    child.start()
    child.join(30)
    hangs = child.is_alive()
    child.kill()
    assert not hangs
    assert child.exitcode == 0
    assert answers.get() == dogs
    assert engine.rows(DOGS).tolist() == dogs
