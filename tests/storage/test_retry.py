"""Tests of tfstream/storage/retry.py."""

from __future__ import annotations

import logging

import pytest

from tfstream import errors
from tfstream.storage import retry


class Clock:
    """Time that passes by sleeping alone."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def transient(message, seconds):
    error = errors.TransientError(message)
    error.retry_after = seconds
    return error


@pytest.mark.parametrize(("failing", "lines"), [(8, 0), (30, 1), (200, 4)])
def test_what_goes_wrong_for_long_is_logged(failing, lines, monkeypatch, caplog):
    clock = Clock()
    monkeypatch.setattr(retry, "time", clock)

    def call():
        if clock.now < 100 + failing:
            raise transient("gs://b/a: 429 too many requests.", 4.0)
        return "read"

    with caplog.at_level(logging.WARNING, "tfstream"):
        assert retry.persist(call) == "read"
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == lines
    assert all(
        line.startswith("gs://b/a: 429 too many requests. Trying again, for") for line in told
    )


def test_patience_ends_with_one_error(monkeypatch):
    monkeypatch.setattr(retry, "time", Clock())

    def call():
        raise transient("gs://b/a: 503.", 7.0)

    with pytest.raises(errors.StorageError, match="503. Tried again for 14 s, and given"):
        retry.persist(call, patience=20.0)
