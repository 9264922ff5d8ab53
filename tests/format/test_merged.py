"""Tests of tfstream/format/merged.py, and of what has to do with merged indexes elsewhere."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny_dataset
from memory_directory import MemoryDirectory

import tfstream
from tfstream import errors
from tfstream.format import index, manifest, merged
from tfstream.format.verify import verify
from tfstream.indexes import IndexFiles
from tfstream.storage.uri import as_directory
from tfstream.v1.manifest_pb2 import Manifest, Shard, Split
from tfstream.versions import delete_garbage, find_garbage, relabel, remove, retire, rollback

SHARDS = 70  # of two records
COMMIT = "0123456789ab"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many shards of a split and one of another, as no commit of ours leaves them."""
    root = tmp_path_factory.mktemp("many") / "data"
    numbers = itertools.count()
    shards = {
        split: [
            [tiny_dataset.image(f"{split}/{(n := next(numbers))}", n) for _ in range(2)]
            for _ in range(count)
        ]
        for split, count in {"train": SHARDS, "val": 1}.items()
    }
    tiny_dataset.write_dataset(root, shards)
    return root


@pytest.fixture
def many(plain: Path, tmp_path: Path) -> Path:
    """The same with merged indexes, as version 2."""
    root = tmp_path / "data"
    shutil.copytree(plain, root)
    _commit(root)
    return root


def _commit(root: Path) -> Manifest:
    """The newest version once more, as an edit makes one."""
    made = manifest.load(root)
    made.version += 1
    made.commit = COMMIT
    merged.merge(as_directory(root), made)
    manifest.commit(root, made)
    return made


def _split(*records: int) -> Split:
    """A split of shards with so many records."""
    split = Split(name="train")
    for place, count in enumerate(records):
        split.shards.add(path=f"{place}.tfrecord", index_path=f"{place}.parquet", records=count)
    return split


def _merge(split: Split, *runs: merged.Run) -> None:
    for run in runs:
        first = split.shards[run.begin].index_path
        split.merged.add(path=run.path, first=first, shards=run.end - run.begin)


def _runs(found: list[merged.Run]) -> list[tuple[int, int]]:
    return [(run.begin, run.end) for run in found]


def test_few_shards_are_left_as_they_are() -> None:
    assert merged.to_merge(_split(*[10] * 64), COMMIT) == []
    assert _runs(merged.to_merge(_split(*[10] * 65), COMMIT)) == [(0, 65)]


def test_a_file_has_half_a_million_rows_at_most_but_for_a_shard_that_has_more_alone() -> None:
    split = _split(*[5000] * 300)
    assert _runs(merged.to_merge(split, COMMIT)) == [(0, 104), (104, 208), (208, 300)]
    # What is as large as that needs no company.
    split = _split(*[100_000] * 60, 600_000, *[100_000] * 10)
    ends = [end for _, end in _runs(merged.to_merge(split, COMMIT))]
    assert 61 not in ends
    assert ends[-1] == 71


def test_what_is_merged_already_is_not_merged_again() -> None:
    split = _split(*[10] * 65)
    _merge(split, *merged.to_merge(split, COMMIT))
    assert merged.to_merge(split, COMMIT) == []
    for place in range(65, 130):
        assert merged.to_merge(split, COMMIT) == []  # too few
        split.shards.append(Shard(path=f"{place}.t", index_path=f"{place}.parquet", records=10))
    assert _runs(merged.to_merge(split, COMMIT)) == [(65, 130)]
    assert _runs(merged.covered(split)) == [(0, 65)]


@pytest.mark.parametrize("how", ["gone", "changed", "moved"])
def test_a_merged_index_is_of_its_shards_alone(how: str) -> None:
    split = _split(*[10] * 65)
    _merge(split, *merged.to_merge(split, COMMIT))
    if how == "gone":
        del split.shards[30]
    elif how == "changed":
        split.shards[30].index_path = "another.parquet"
    else:
        split.shards.insert(0, Shard(path="a.t", index_path="a.parquet", records=3))
    assert _runs(merged.covered(split)) == ([(1, 66)] if how == "moved" else [])


def test_merged_indexes_that_overlap_count_once() -> None:
    split = _split(*[10] * 130)
    whole = merged.to_merge(split, COMMIT)
    half = merged.to_merge(_split(*[10] * 65), COMMIT)
    _merge(split, *half, *whole)
    assert merged.covered(split) in (whole, half)


def test_the_rows_are_those_of_the_shards_in_their_order(many: Path) -> None:
    (split, other) = manifest.load(many).splits
    (each,) = split.merged
    assert (each.shards, len(other.merged)) == (SHARDS, 0)
    rows = index.read(many / each.path).to_pylist()
    assert rows == [
        row for shard in split.shards for row in index.read(many / shard.index_path).to_pylist()
    ]
    assert len(rows) == 2 * SHARDS
    assert verify(many) == []


QUERIES = ["width > 150", "labels.cat >= 1 and number < 77", "key:val/*", "split = train"]


def _answers(root: Path) -> list[object]:
    data = tfstream.open(root)
    found: list[object] = []
    for query in QUERIES:
        part = data.slice(query)
        found += [len(part), part.metadata.to_pylist()]
    found.append(data[[0, 5, 139, 140]].metadata.to_pylist())
    found.append(data.sort_by("-width").metadata["key"].to_pylist()[:5])
    found.append(data.split("train").slice("half > 20").metadata["key"].to_pylist())
    return found


def test_answers_are_the_same_as_without(plain: Path, many: Path) -> None:
    answers = _answers(many)
    assert answers == _answers(plain)
    assert 0 < answers[0] < 2 * SHARDS  # type: ignore[operator]


def test_who_asks_for_all_opens_no_shards_index(plain: Path, many: Path) -> None:
    wanted = [len(tfstream.open(plain).slice(query)) for query in QUERIES]
    for shard in manifest.load(many).splits[0].shards:
        os.unlink(many / shard.index_path)
    data = tfstream.open(many)
    assert [len(data.slice(query)) for query in QUERIES] == wanted
    with pytest.raises(errors.StorageError, match="train-ab-00002.parquet"):
        data[[4]].metadata  # noqa: B018 - few records are looked up in the index of their shard


def test_an_index_elsewhere_is_brought_when_it_is_asked_for(many: Path) -> None:
    loaded = manifest.load(many)
    names = [loaded.splits[0].merged[0].path, loaded.splits[0].shards[3].index_path]
    directory = MemoryDirectory({name: (many / name).read_bytes() for name in names})
    asked: list[list[str]] = []

    def read(some: list[str]) -> list[bytes]:
        asked.append(some)
        return [directory.read(name) for name in some]

    files = IndexFiles(directory, read)
    paths = files.paths([*names, names[0]])
    assert (asked, paths[0]) == ([], paths[2])
    files.bring(paths[:1])
    files.bring(paths)
    assert asked == [names[:1], names[1:]]
    assert [Path(path).read_bytes() for path in paths[:2]] == [
        (many / name).read_bytes() for name in names
    ]
    files.close()
    assert not any(map(os.path.exists, paths))


def test_an_edit_of_a_shard_makes_its_merged_index_anew(many: Path) -> None:
    before = manifest.load(many).splits[0].merged[0].path
    remove(many, "key:train/7", message="blurred")
    after = manifest.load(many).splits[0].merged[0].path
    assert after != before
    assert index.read(many / after).num_rows == 2 * SHARDS - 1
    edits = pa.table({"key": ["train/9"], "number": [4000]})
    relabel(many, edits, message="far away")
    assert len(tfstream.open(many).slice("number = 4000")) == 1
    rollback(many, 2, message="as it was")
    assert manifest.load(many).splits[0].merged[0].path == before
    assert len(tfstream.open(many)) == 2 * SHARDS + 2
    assert verify(many) == []


def test_what_only_an_old_version_needs_becomes_garbage(many: Path) -> None:
    before = manifest.load(many).splits[0].merged[0].path
    remove(many, "key:train/7", message="blurred")
    assert find_garbage(many, grace=0).files == ()
    retire(many, [2])
    assert [info.name for info in find_garbage(many, grace=0).files] == [before]
    delete_garbage(find_garbage(many, grace=0))
    assert verify(many) == []


def test_a_file_that_an_interrupted_commit_left_is_taken(plain: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(plain, root)
    (run,) = merged.to_merge(manifest.load(root).splits[0], COMMIT)
    made = manifest.load(root)
    made.commit = COMMIT
    merged.merge(as_directory(root), made)
    # As another version of pyarrow may have written it.
    pq.write_table(pq.read_table(root / run.path), root / run.path, compression="none")
    _commit(root)
    assert verify(root) == []


def test_a_manifest_cannot_name_a_merged_index_of_other_shards(many: Path) -> None:
    made = manifest.load(many)
    made.version += 1
    made.splits[0].merged[0].shards -= 1
    with pytest.raises(errors.ManifestError, match="merged index 'shards/train-.*split 'train'"):
        manifest.commit(many, made)


@pytest.mark.parametrize("how", ["value", "rows", "type", "damaged", "missing"])
def test_a_merged_index_that_says_something_else_is_told(many: Path, how: str) -> None:
    path = many / manifest.load(many).splits[0].merged[0].path
    table = pq.read_table(path)
    place = table.schema.get_field_index("width")
    widths = table["width"].to_numpy().copy()
    widths[100] += 1
    if how == "value":
        table = table.set_column(place, table.schema.field("width"), pa.array(widths))
    elif how == "type":
        table = table.set_column(place, "width", pa.array(widths.astype(np.int64)))
    else:
        table = table.slice(1)
    path.unlink()
    if how == "damaged":
        path.write_bytes(b"PAR1 and nothing else PAR1")
    elif how != "missing":
        pq.write_table(table, path)
    (problem,) = verify(many)
    told = {
        "value": "column 'width' is not that of the shards' own",
        "type": "column 'width' is not that of the shards' own",
        "rows": "it has 139 rows, where the shards' own indexes have 140",
        "damaged": "cannot be read",
        "missing": "",
    }
    assert told[how] in problem.reason
    assert str(path) in str(problem)


def test_a_damaged_index_is_not_merged(plain: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(plain, root)
    path = root / manifest.load(root).splits[0].shards[5].index_path
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(errors.CorruptRecordError, match=r"00005.parquet holds 1 records.*says 2"):
        _commit(root)
    assert manifest.versions(root) == [1]
