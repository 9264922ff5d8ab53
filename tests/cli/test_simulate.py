"""Tests of `tfstream simulate`."""

from __future__ import annotations

import json
from pathlib import Path

import numbered
import PIL.Image
import pytest

from tfstream.simulate import traffic

MADE_UP = ("--records", 50_000, "--record-bytes", "10kB", "--shard-bytes", "1MB")


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered.write(tmp_path_factory.mktemp("data") / "packed", train=50, val=10)


def test_a_table_says_what_hosts_will_see(tfstream, packed: Path) -> None:
    done = tfstream("simulate", packed, "--world", 4, "--hosts", 2, "--batch", 3, "--cache", "all")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("60 records, 4 workers on 2 hosts: ")
    assert "5 steps an epoch, of 3 x 4 samples; " in done.out
    assert [line.split()[0] for line in done.out.splitlines()[4:8]] == ["epoch", "0", "1", "2"]
    assert "counted: every request of every host" in done.out


def test_json_holds_all_of_it(tfstream, packed: Path) -> None:
    done = tfstream("simulate", packed, "--split", "val", "--batch", 2, "--epochs", 2, "--json")
    told = json.loads(done.out)
    assert (told["records"], told["steps"], len(told["epochs"])) == (10, 5, 2)
    assert told["epochs"][0]["hit_rate"] is None
    shard = next((packed / "shards").glob("val-*.tfrecord")).stat().st_size
    index = next((packed / "shards").glob("val-*.parquet")).stat().st_size
    assert told["epochs"][0]["bytes"]["mean"] == pytest.approx(shard + index, rel=0.8)
    assert told["shuffle_quality"]["quality"] > 0


def test_a_query_leaves_records_out(tfstream, packed: Path) -> None:
    done = tfstream("simulate", packed, "--query", "number < 20")
    assert done.out.startswith("20 records, ")
    assert "the query is answered before that, from" in done.out


def test_what_is_only_thought_of_is_estimated_and_drawn(
    tfstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traffic, "_CACHED_RECORDS", 2_000)
    arguments = ("--world", 64, "--hosts", 16, "--cache", "1GB", "--bandwidth", "1Gbit/s")
    picture = tmp_path / "plan.png"
    done = tfstream("simulate", *MADE_UP, *arguments, "--plot", picture)
    assert (done.status, done.err) == (0, "")
    assert "estimated from " in done.out
    assert "standard error of the bytes" in done.out
    with PIL.Image.open(picture) as drawn:
        assert drawn.size[0] > 1000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Say what to simulate: "),
        ((*MADE_UP, "--latency", "50"), "--latency='50' is not a duration: "),
        ((*MADE_UP, "--bandwidth", "1GB"), "--bandwidth='1GB' is not a bandwidth: "),
        ((*MADE_UP, "--cache", "much"), "--cache='much' is not a size: "),
        ((*MADE_UP, "--cache", "1MB"), "--cache 1MB is less than twice --read-ahead 64MB"),
        ((*MADE_UP, "--world", 9, "--hosts", 2), "--world 9 cannot be spread evenly over"),
        ((*MADE_UP, "--lanes", 0), "lanes must be in 1..65536 (got 0)"),
        (("--records", 2, "--world", 3), "2 records leave some of 3 workers without one"),
        ((*MADE_UP, "--plot", "plan.gif"), "plan.gif has the extension '.gif'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(tfstream, arguments, said: str) -> None:
    done = tfstream("simulate", *arguments)
    assert done.status == 2
    assert done.err.startswith(f"error: {said}")
    assert done.err.count("\n") == 1
