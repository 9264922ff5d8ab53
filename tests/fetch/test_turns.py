"""In what order windows that begin together ask the storage."""

import random
import threading
import time

import numpy as np
import pytest

from tfstream.fetch import kernel, turns
from tfstream.fetch.call import Call
from tfstream.fetch.fetcher import Fetcher
from tfstream.fetch.turns import Turns


def run(order, windows, *, line=None, delay=0.0):
    """Takes the turns of windows from a thread each, begun in the given order; which went when."""
    line = line or Turns()
    went, lock = [], threading.Lock()

    def window(turn, number):
        time.sleep(random.Random(number).uniform(0, 0.003))
        turn.wait()
        with lock:
            went.append(number)
        turn.over()

    threads = []
    for number in order:
        turn = line.take("stream", 1, *windows[number])
        threads.append(threading.Thread(target=window, args=(turn, number)))
        threads[-1].start()
        time.sleep(delay)
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    return went


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_windows_go_in_the_order_of_the_stream_however_they_begin(monkeypatch, order):
    monkeypatch.setattr(turns, "_SECONDS", 10.0)  # a loaded machine may start threads late
    assert run(order, [(0, 2), (2, 5), (5, 6), (6, 9)]) == [0, 1, 2, 3]


def test_one_that_fails_before_its_turn_holds_nobody_up(monkeypatch):
    monkeypatch.setattr(turns, "_SECONDS", 10.0)
    line = Turns()
    first, second = line.take("a", 0, 0, 1), line.take("a", 0, 1, 2)
    first.over()
    first.over()
    second.wait()
    second.over()
    line.take("a", 0, 2, 3).wait()


def test_an_iteration_that_begins_anew_begins_with_its_first_window(monkeypatch):
    monkeypatch.setattr(turns, "_SECONDS", 10.0)
    line = Turns()
    windows = [(0, 1), (1, 2), (2, 3)]
    assert run((0, 2, 1), windows, line=line) == [0, 1, 2]
    assert run((0, 2, 1), windows, line=line) == [0, 1, 2]


def test_a_process_with_only_some_of_the_windows_waits_for_the_others_once(monkeypatch):
    monkeypatch.setattr(turns, "_SECONDS", 0.01)
    line = Turns()
    windows = [(n, n + 1) for n in range(1, 40, 2)]
    assert run(range(len(windows)), windows, line=line, delay=0.002)[0] == 0
    monkeypatch.setattr(turns, "_SECONDS", 1e6)
    line.take("stream", 1, 101, 102).wait()
    line.take("stream", 2, 7, 8).wait()  # in the next epoch as well


def test_streams_do_not_wait_for_each_other(monkeypatch):
    monkeypatch.setattr(turns, "_SECONDS", 1e6)
    line = Turns()
    line.take("a", 0, 0, 1)  # which never has its turn
    line.take("b", 0, 0, 1).wait()


def test_a_window_that_cannot_begin_holds_nobody_up(monkeypatch):
    made, ended = Fetcher(), []
    monkeypatch.setattr(kernel, "end", lambda *told: ended.append(told))
    monkeypatch.setattr(Call, "serve_cached", lambda *_: (_ for _ in ()).throw(MemoryError()))
    monkeypatch.setattr(Fetcher, "_known", lambda *_: object())
    with pytest.raises(MemoryError):
        made.begin(1, 7, False, "spec", np.arange(3), (0, 0, 3))
    behind = threading.Thread(target=made.turns.take((7, "spec"), 0, 3, 6).wait, daemon=True)
    behind.start()
    behind.join(60)
    assert not behind.is_alive()
    made.close()
