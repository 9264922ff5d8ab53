"""Windows of records that are fetched at the same time."""

import ctypes
import threading

import numpy as np
import pytest
from memory_directory import MemoryDirectory
from tiny_dataset import tiny

from tfstream.fetch import objects
from tfstream.fetch.counters import Counters
from tfstream.fetch.downloads import Downloads
from tfstream.fetch.objects import Writer
from tfstream.fetch.ranges import LARGEST_REQUEST
from tfstream.fetch.source import RemoteFiles, RemoteSource
from tfstream.fetch.turns import Turns
from tfstream.fetch.window import Window
from tfstream.format import manifest


class SlowToLookUp(MemoryDirectory):
    """One that says of shards what they are only when it is told to."""

    def __init__(self, objects):
        super().__init__(objects)
        self.asked, self.may = threading.Event(), threading.Event()

    def stat(self, name):
        if name.endswith(".tfrecord"):
            self.asked.set()
            assert self.may.wait(10)
        return super().stat(name)


def test_a_window_waits_for_shards_that_another_looks_up(tmp_path):
    root = tiny(tmp_path).root
    names = [path for path in root.rglob("*") if path.is_file()]
    directory = SlowToLookUp({str(p.relative_to(root)): p.read_bytes() for p in names})
    shards = manifest.load(root).splits[0].shards
    downloads = Downloads(4)
    source = RemoteSource(RemoteFiles(directory, None, downloads, Writer()), shards)
    placed = []

    def fetch():
        with Window(source, np.arange(3), Counters()) as window:
            window.fetch()
            placed.append(len(window.places()))

    first, second = threading.Thread(target=fetch), threading.Thread(target=fetch)
    first.start()
    assert directory.asked.wait(10)
    while not any(read.name.endswith(".parquet") for read in directory.reads):
        first.join(0.01)
    first.join(0.1)  # it has the index by now, and waits for the shard
    second.start()
    second.join(0.1)
    directory.may.set()
    first.join(10)
    second.join(10)
    downloads.close()
    assert placed == [3, 3]


def test_a_window_that_is_ready_first_asks_in_its_turn(tmp_path):
    root = tiny(tmp_path).root
    names = [path for path in root.rglob("*") if path.is_file()]
    directory = MemoryDirectory({str(p.relative_to(root)): p.read_bytes() for p in names})
    shards = manifest.load(root).splits[0].shards
    downloads, turns = Downloads(4), Turns()
    source = RemoteSource(RemoteFiles(directory, None, downloads, Writer()), shards)
    source.prepare(np.array([0]), Counters())
    known = len(directory.reads)
    first, second = turns.take("s", 0, 0, 1), turns.take("s", 0, 1, 2)

    def fetch(number, turn):
        with Window(source, np.array([number]), Counters(), turn) as window:
            window.fetch()

    ready = threading.Thread(target=fetch, args=(1, second))
    ready.start()
    ready.join(0.1)
    assert len(directory.reads) == known
    fetch(0, first)
    ready.join(10)
    downloads.close()
    assert [read.offset for read in directory.reads[known:]] == sorted(
        source.places.lookup(0, np.array([0, 1]))[0].tolist()
    )


@pytest.mark.parametrize("largest", [40, 300, LARGEST_REQUEST])
def test_records_are_placed_whole_however_the_requests_cut_them(tmp_path, monkeypatch, largest):
    monkeypatch.setattr(objects, "LARGEST_REQUEST", largest)
    root = tiny(tmp_path).root
    names = [path for path in root.rglob("*") if path.is_file()]
    directory = MemoryDirectory({str(p.relative_to(root)): p.read_bytes() for p in names})
    shard = manifest.load(root).splits[0].shards[0]
    downloads = Downloads(4)
    source = RemoteSource(RemoteFiles(directory, None, downloads, Writer()), [shard])
    data = (root / shard.path).read_bytes()
    with Window(source, np.arange(shard.records), Counters()) as window:
        window.fetch()
        places = window.places()
        found = [ctypes.string_at(int(each["address"]), int(each["length"])) for each in places]
    downloads.close()
    assert sorted(places["number"]) == list(range(shard.records))
    assert found == [data[each["offset"] :][: each["length"]] for each in places]
