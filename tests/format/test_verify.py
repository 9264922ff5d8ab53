"""Tests of tfstream/format/verify.py and shard_check.py."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import tiny_dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_dataset import Tiny, image, write_dataset

import tfstream
from tfstream import errors
from tfstream.format import index, manifest, record, statistics
from tfstream.format.shard_check import Problem
from tfstream.format.verify import verify


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return tiny_dataset.tiny(tmp_path / "data")


def _damage(path: Path, change: Callable[[bytearray], object]) -> None:
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)


def _flip(path: Path, place: int) -> None:
    def change(data: bytearray) -> None:
        data[place] ^= 0x55

    _damage(path, change)


def _edit_index(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(index.read(path)), path)


def _set(table: pa.Table, column: str, values: list[object]) -> pa.Table:
    field = table.schema.field(column)
    place = table.column_names.index(column)
    return table.set_column(place, field, pa.array(values, field.type))


def _told(root: Path) -> list[str]:
    return [str(problem) for problem in verify(root, processes=1)]


def test_a_sound_dataset_has_no_problems(tiny: Tiny) -> None:
    done: list[int] = []
    assert verify(tiny.root, progress=done.append) == []
    assert verify(str(tiny.root), 1, processes=1) == []
    assert done == [tiny.shard(*w).stat().st_size for w in ((0,), (1,), (0, "val"))]


def test_a_dataset_without_records_has_no_problems(tmp_path: Path) -> None:
    write_dataset(tmp_path, {"train": [[]], "val": []})
    assert verify(tmp_path) == []


def test_a_missing_shard_and_a_missing_index_are_told(tiny: Tiny) -> None:
    tiny.shard(1).unlink()
    tiny.index(0).unlink()
    assert verify(tiny.root) == [
        Problem(str(tiny.index(0)), None, "", "the index is missing"),
        Problem(str(tiny.shard(1)), None, "", "the shard is missing"),
    ]


def test_a_shard_that_is_a_directory_is_told(tiny: Tiny) -> None:
    tiny.shard().unlink()
    tiny.shard().mkdir()
    assert any("Is a directory" in line for line in _told(tiny.root))


def test_a_flipped_byte_loses_its_record_alone(tiny: Tiny) -> None:
    rows = tiny.rows()
    _flip(tiny.shard(), rows[1]["offset"] + 40)
    (problem,) = verify(tiny.root)
    assert (problem.path, problem.offset) == (str(tiny.shard()), rows[1]["offset"])
    assert problem.key == "train/1"
    assert "the record is corrupt: its" in problem.reason
    assert "do not match their CRC32C" in problem.reason


def test_a_flipped_length_does_not_hide_the_records_after_it(tiny: Tiny) -> None:
    rows = tiny.rows()
    _flip(tiny.shard(), rows[1]["offset"] + 2)
    _flip(tiny.shard(), rows[3]["offset"] + 40)
    one, two = verify(tiny.root)
    assert (one.key, two.key) == ("train/1", "train/3")
    assert "length's CRC32C" in one.reason


def test_without_an_index_what_could_not_be_checked_is_told(tiny: Tiny) -> None:
    rows = tiny.rows()
    tiny.index().unlink()
    _flip(tiny.shard(), rows[1]["offset"] + 2)
    lines = _told(tiny.root)
    assert len(lines) == 3
    rest = tiny.shard().stat().st_size - rows[1]["offset"]
    assert f"the last {rest} bytes of the shard were not checked" in lines[1]
    assert "holds 2 records, where the manifest says 4" in lines[2]


def test_a_cut_shard_tells_what_is_missing(tiny: Tiny) -> None:
    rows = tiny.rows()
    _damage(tiny.shard(), lambda data: data.__delitem__(slice(rows[1]["offset"] + 50, None)))
    size, whole = rows[1]["offset"] + 50, rows[3]["offset"] + rows[3]["length"]
    lines = _told(tiny.root)
    assert f"the shard has {size} bytes, where the manifest says {whole}" in lines[0]
    assert "(key 'train/1'): the record is corrupt: it needs" in lines[1]
    assert (
        "(key 'train/2'): the index has a record and 1 more, to 'train/3', that lie past"
        in lines[2]
    )
    assert "holds 2 records, where the manifest says 4" in lines[3]
    assert len(lines) == 4


def test_an_empty_shard_tells_that_all_is_missing(tiny: Tiny) -> None:
    tiny.shard().write_bytes(b"")
    lines = _told(tiny.root)
    assert "has 0 bytes" in lines[0]
    assert "'train/0'): the index has a record and 3 more" in lines[1]


@pytest.mark.parametrize("extra", [b"x", b"\0" * 12, b"garbage" * 30])
def test_bytes_at_the_end_that_are_no_record_are_told(tiny: Tiny, extra: bytes) -> None:
    size = tiny.shard().stat().st_size
    _damage(tiny.shard(), lambda data: data.extend(extra))
    lines = _told(tiny.root)
    assert len(lines) == 2
    assert f"has {size + len(extra)} bytes, where the manifest says {size}" in lines[0]
    assert f"byte {size}: the index knows nothing of the {len(extra)} bytes there" in lines[1]


def test_a_record_that_the_index_does_not_know_is_told(tiny: Tiny) -> None:
    _damage(tiny.shard(), lambda data: data.extend(tiny.shard(1).read_bytes()))
    lines = _told(tiny.root)
    assert "(key 'train/4'): the index has no row for this record" in lines[1]
    assert "holds 8 records, where the manifest says 4" in lines[-1]


def test_a_payload_that_is_no_example_is_told(tiny: Tiny) -> None:
    first = tiny.rows()[0]
    payload = b"\xff" * (first["length"] - record.FRAME_BYTES)
    _damage(tiny.shard(), lambda d: d.__setitem__(slice(0, first["length"]), record.frame(payload)))
    (line,) = _told(tiny.root)
    assert "byte 0 (key 'train/0')" in line
    assert "is not a tf.train.Example" in line


def test_a_length_that_lies_with_a_sound_crc_is_told(tiny: Tiny) -> None:
    raw = struct.pack("<Q", (1 << 31) - 1)
    header = raw + struct.pack("<I", record.masked_crc(raw))
    _damage(tiny.shard(), lambda data: data.__setitem__(slice(0, 12), header))
    (line,) = _told(tiny.root)
    assert "byte 0 (key 'train/0'): the record is corrupt: it needs 2147483663 bytes" in line


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("key", "train/9", "it says key 'train/9' (the record: 'train/1')"),
        ("width", 3, "it says width 3 (the record: 101)"),
        ("length", 3, "it says length 3 (the record:"),
        ("format", "gif", "it says format 'gif' (the record: 'jpeg')"),
        ("label", None, "it says label None (the record: 'cat')"),
        ("labels", [("cow", 1)], "it says labels [('cow', 1)] (the record: [('cat', 1)])"),
        ("half", 7.0, "it says half 7.0 (the record: 0.5)"),
        ("number", None, "it says number None (the record: 1)"),
    ],
)
def test_an_index_that_disagrees_with_its_shard_is_told(
    tiny: Tiny, column: str, value: object, told: str
) -> None:
    values = [row[column] for row in tiny.rows()]
    _edit_index(tiny.index(), lambda t: _set(t, column, [values[0], value, *values[2:]]))
    (line,) = _told(tiny.root)
    assert line.startswith(str(tiny.index()))
    assert told in line


@pytest.mark.parametrize("offset", [-4, 5, 1 << 40])
def test_an_offset_that_is_wrong_is_told(tiny: Tiny, offset: int) -> None:
    offsets = [row["offset"] for row in tiny.rows()]
    _edit_index(tiny.index(), lambda t: _set(t, "offset", [*offsets[:3], offset]))
    lines = _told(tiny.root)
    assert f"byte {offsets[3]} (key 'train/3'): the index has no row" in lines[0]
    assert f"byte {offset} (key 'train/3'): the index has a record that lies" in lines[1]


def test_two_rows_for_one_place_are_told(tiny: Tiny) -> None:
    offsets = [row["offset"] for row in tiny.rows()]
    _edit_index(tiny.index(), lambda t: _set(t, "offset", [0, 0, *offsets[2:]]))
    lines = _told(tiny.root)
    assert "byte 0 (key 'train/1'): the index has two rows for one place" in lines[0]


def test_rows_too_few_or_too_many_are_told(tiny: Tiny) -> None:
    _edit_index(tiny.index(), lambda t: t.slice(0, 3))
    lines = _told(tiny.root)
    assert "the index has 3 rows, where the manifest says 4 records" in lines[0]
    assert "(key 'train/3'): the index has no row for this record" in lines[1]


def test_an_index_with_other_columns_is_told(tiny: Tiny) -> None:
    _edit_index(tiny.index(), lambda t: t.drop_columns(["number"]))
    _edit_index(
        tiny.index(1),
        lambda t: t.set_column(1, "offset", pc.cast(t["offset"], pa.string())),
    )
    lines = _told(tiny.root)
    # A column that none has any more is one that the index is older than, but for the records.
    assert "it says number None (the record: 1)" in lines[1]
    assert "column 'offset' of the index is string, where int64 is expected" in lines[4]


def test_an_index_without_a_column_of_ours_is_told(tiny: Tiny) -> None:
    _edit_index(tiny.index(), lambda t: t.drop_columns(["width"]))
    assert "has no column 'width'" in _told(tiny.root)[0]


def _edited(tiny: Tiny, change: Callable[[pa.Table], pa.Table], **fields: object) -> None:
    """Commits a version 2 whose first shard has another index."""
    table = change(index.read(tiny.index()))
    made = manifest.load(tiny.root)
    made.version = 2
    shard = made.splits[0].shards[0]
    shard.index_path = "shards/train-ab-00000-cd.parquet"
    shard.records = table.num_rows
    for name, value in fields.items():
        setattr(shard, name, value)
    index.write_table(tiny.root / shard.index_path, table)
    rows = [*table.to_pylist(), *tiny.rows(1)]
    sums = statistics.summarize(index.Row(**_plain(row)) for row in rows)
    made.splits[0].statistics.CopyFrom(statistics.to_proto(sums))
    manifest.commit(tiny.root, made)


def test_a_version_may_do_without_records_of_a_shard(tiny: Tiny) -> None:
    _edited(tiny, lambda t: t.take([0, 2]))
    assert _told(tiny.root) == []
    # Nor does it matter to it what becomes of the others.
    _flip(tiny.shard(), tiny.rows()[1]["offset"] + 2)
    _flip(tiny.shard(), tiny.rows()[3]["offset"] + 40)
    assert _told(tiny.root) == []
    assert len(verify(tiny.root, 1)) == 2
    _flip(tiny.shard(), tiny.rows()[2]["offset"] + 40)
    assert "(key 'train/2'): the record is corrupt" in _told(tiny.root)[0]


def test_a_row_where_no_record_begins_is_told_of_part_of_a_shard_too(tiny: Tiny) -> None:
    _edited(tiny, lambda t: _set(t.take([0, 2]), "offset", [0, 5]))
    (line,) = _told(tiny.root)
    assert "train-ab-00000-cd.parquet at byte 5 (key 'train/2')" in line
    assert "lies where no record of the shard begins" in line


def test_the_metadata_of_a_relabelled_shard_are_those_of_its_index(tiny: Tiny) -> None:
    def change(table: pa.Table) -> pa.Table:
        return _set(table, "number", [9, None, 9, 9]).drop_columns(["half"])

    _edited(tiny, change, relabelled=True)
    assert _told(tiny.root) == []
    _edit_index(
        tiny.root / "shards/train-ab-00000-cd.parquet", lambda t: _set(t, "bytes", [1, 2, 3, 4])
    )
    assert "it says bytes 1 (the record: 100)" in _told(tiny.root)[0]


def test_an_index_with_holes_is_told(tiny: Tiny) -> None:
    def change(table: pa.Table) -> pa.Table:
        return table.set_column(0, "key", pa.array([None, "b", "c", "d"], pa.string()))

    _edit_index(tiny.index(), change)
    assert "column 'key' of the index has rows without a value" in _told(tiny.root)[0]


def test_a_damaged_index_is_told(tiny: Tiny) -> None:
    tiny.index().write_bytes(b"nonsense")
    (line,) = _told(tiny.root)
    assert "cannot be read" in line


def test_a_key_that_occurs_twice_is_told_wherever_it_is(tmp_path: Path) -> None:
    write_dataset(
        tmp_path,
        {
            "train": [[image("a", 1), image("b", 2)], [image("c", 3), image("a", 4)]],
            "val": [[image("b", 5), image("b", 6)]],
        },
    )
    problems = verify(tmp_path)
    assert [(problem.key, Path(problem.path).name) for problem in problems] == [
        ("a", "train-ab-00001.tfrecord"),
        ("b", "val-ab-00000.tfrecord"),
        ("b", "val-ab-00000.tfrecord"),
    ]
    assert "also that of the record at byte 0 of" in problems[0].reason


def test_statistics_that_are_not_those_of_the_records_are_told(tmp_path: Path) -> None:
    made = write_dataset(tmp_path / "a", {"train": [[image("a", 1), image("b", 3)]]})
    shutil.copytree(tmp_path / "a" / "shards", tmp_path / "b" / "shards")
    made.splits[0].statistics.objects = 9
    made.splits[0].statistics.label_objects["dog"] = 77
    manifest.commit(tmp_path / "b", made)
    one, two = _told(tmp_path / "b")
    assert "00000001.json: the statistics of split 'train': objects is 9, and the records" in one
    assert "label_objects is 77 for 'dog', and the records have 1" in two


def test_values_that_are_not_numbers_are_equal_to_themselves(tmp_path: Path) -> None:
    odd = image("a", 1)
    odd.metadata["half"].float_value = float("nan")
    write_dataset(tmp_path, {"train": [[odd]]})
    assert verify(tmp_path) == []


def test_what_cannot_be_verified_is_an_error(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(errors.DatasetNotFoundError):
        verify(tmp_path / "gone")
    with pytest.raises(errors.DatasetNotFoundError, match=r"no version 3"):
        verify(tiny.root, 3)
    with pytest.raises(errors.InvalidArgumentError, match=r"processes is 0"):
        verify(tiny.root, processes=0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_no_damage_goes_unseen_and_none_breaks_the_check(tiny: Tiny, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from([tiny.shard(), tiny.index(1)]))
    whole = path.read_bytes()
    try:
        begin = data.draw(st.integers(0, len(whole)))
        end = data.draw(st.integers(begin, min(begin + 60, len(whole))))
        new = data.draw(st.binary(max_size=40))
        path.write_bytes(whole[:begin] + new + whole[end:])
        problems = verify(tiny.root, processes=1)
        # Parquet has bytes that carry nothing; a shard has none.
        if path == tiny.shard() and path.read_bytes() != whole:
            assert problems
    finally:
        path.write_bytes(whole)


def test_many_processes_find_what_one_finds(tmp_path: Path) -> None:
    large = image("a", 1)
    large.encoded = b"\x07" * (17 << 20)
    write_dataset(tmp_path, {"train": [[large], [large], [large], [large]]})
    shards = sorted((tmp_path / "shards").glob("*.tfrecord"))
    _flip(shards[1], 5000)
    _damage(shards[3], lambda data: data.extend(b"x"))
    script = (
        "import sys\n"
        "from tfstream.format.verify import verify\n"
        "if __name__ == '__main__':\n"
        "    done = []\n"
        "    for problem in verify(sys.argv[1], processes=2, progress=done.append):\n"
        "        print(problem)\n"
        "    print(sum(done))\n"
        "    assert 'tensorflow' not in sys.modules\n"
    )
    (tmp_path / "script.py").write_text(script)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path)]
    # The package that is tested, installed or not.
    paths = [str(Path(tfstream.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    lines = done.stdout.splitlines()
    assert lines[:-1] == _told(tmp_path)
    assert len(lines) > 5
    assert int(lines[-1]) == sum(s.stat().st_size for s in shards) - 1


def test_statistics_need_not_be_in_one_order(tiny: Tiny) -> None:
    loaded = manifest.load(tiny.root)
    again = statistics.to_proto(
        statistics.merge(
            statistics.summarize(index.Row(**_plain(row)) for row in tiny.rows(number))
            for number in (1, 0)
        )
    )
    assert again == loaded.splits[0].statistics


def _plain(row: dict[str, object]) -> dict[str, object]:
    fields = {name: row[name] for name in index.COLUMNS}
    return {**fields, "labels": dict(row["labels"]), "metadata": {}}
