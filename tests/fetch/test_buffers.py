"""Memory that is lent, and comes home."""

import gc

import numpy as np
import pytest

from tfstream.fetch.buffers import Buffers


def address(view):
    return np.frombuffer(view, np.uint8).ctypes.data


@pytest.mark.parametrize("length", [1, 1000, 65_535, 65_536, 1_000_000, 8 << 20, 9 << 20])
def test_lent_memory_has_the_length_asked_for_and_can_be_written(length):
    lent = Buffers().lend(length)
    assert lent.nbytes == length
    lent[:] = bytes(length)
    assert lent[-1] == 0


def test_memory_that_nobody_refers_to_is_lent_again():
    buffers = Buffers()
    lent = buffers.lend(300_000)
    where = address(lent)
    del lent
    gc.collect()
    assert address(buffers.lend(400_000)) == where


def test_memory_stays_away_as_long_as_a_slice_of_it_is_referred_to():
    buffers = Buffers()
    lent = buffers.lend(300_000)
    kept = lent[1000:2000]
    array = np.frombuffer(lent, np.uint8)[5000:]
    del lent
    kept[:] = b"x" * 1000
    for _ in range(20):
        buffers.lend(300_000)[:] = bytes(300_000)
    assert bytes(kept) == b"x" * 1000
    del kept
    array[:] = 7
    for _ in range(20):
        buffers.lend(300_000)[:] = bytes(300_000)
    assert (array == 7).all()


def test_idle_memory_is_bounded():
    buffers = Buffers()
    lent = [buffers.lend(1 << 20) for _ in range(100)]
    lent.clear()
    gc.collect()
    assert sum(len(idle) << 20 for idle in [buffers._idle[1 << 20]]) <= 24 << 20
