"""What a version's manifest says of how the version came about."""

import datetime
import getpass
import socket

import pytest

from tfstream import errors
from tfstream.format.change import change


def test_the_time_is_that_of_the_clock_in_utc(monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    before = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    stated = datetime.datetime.strptime(change("pack", parent=0).time, "%Y-%m-%dT%H:%M:%SZ")
    after = datetime.datetime.now(datetime.timezone.utc)
    assert before <= stated.replace(tzinfo=datetime.timezone.utc) <= after


def test_source_date_epoch_stands_for_the_clock(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1706704200")
    assert change("pack", parent=0).time == "2024-01-31T12:30:00Z"


@pytest.mark.parametrize("wrong", ["yesterday", "1.5", "9" * 30])
def test_a_source_date_epoch_that_is_no_time_is_told(monkeypatch, wrong):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", wrong)
    with pytest.raises(errors.InvalidArgumentError, match=f"SOURCE_DATE_EPOCH='{wrong}'"):
        change("pack", parent=0)


def test_the_author_is_stated_or_in_the_environment_or_the_user(monkeypatch):
    monkeypatch.setenv("TFSTREAM_AUTHOR", "ann")
    assert change("append", author="bob", parent=1).author == "bob"
    assert change("append", parent=1).author == "ann"
    monkeypatch.setenv("TFSTREAM_AUTHOR", "")
    assert change("append", parent=1).author == f"{getpass.getuser()}@{socket.gethostname()}"


def test_a_user_without_a_name_has_a_number(monkeypatch):
    monkeypatch.delenv("TFSTREAM_AUTHOR", raising=False)
    monkeypatch.setattr(getpass, "getuser", lambda: {}["pw_name"])
    assert change("pack", parent=0).author.startswith("user ")


@pytest.mark.parametrize(
    ("wrong", "told"), [("x" * 10_001, "10,001 characters"), ("\udcff", "not UTF-8"), (3, "text")]
)
def test_what_cannot_stand_in_a_manifest_is_refused(wrong, told):
    for given in ({"message": wrong}, {"author": wrong}):
        with pytest.raises(errors.InvalidArgumentError, match=told):
            change("pack", parent=0, **given)


def test_an_operation_that_there_is_not_is_a_mistake():
    with pytest.raises(ValueError, match="operation='prune'"):
        change("prune", parent=0)
