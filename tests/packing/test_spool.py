"""Tests of tfstream/packing/spool.py: how much of a large spool file stays in memory."""

from __future__ import annotations

import os

import numpy as np
import pytest

from tfstream.packing.spool import Spool, pack_serialized


def mapped():
    """Bytes of files that count as this process's own."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("RssFile:"))
    return int(line.split()[1]) << 10


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux's /proc")
def test_a_large_file_that_is_read_in_any_order_does_not_stay_in_memory(tmp_path):
    entry = pack_serialized(bytes(50_000), 7, 8, reencode=False)
    count = 4_000
    with open(tmp_path / "spool", "wb") as file:
        for _ in range(count):
            file.write(entry)
    before = most = mapped()
    with Spool(tmp_path / "spool") as spool:
        for number in np.random.default_rng(0).permutation(count).tolist():
            assert spool.stamp(number * len(entry)) == (7, 8)
            if number % 100 == 0:
                most = max(most, mapped())
    assert most - before < 0.6 * count * len(entry)
