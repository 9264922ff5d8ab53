"""Tests of tfstream/storage/gcs.py and the files beside it, against the emulator."""

from __future__ import annotations

import concurrent.futures
import os
import pickle
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from emulator import Bucket

from tfstream import errors
from tfstream.storage import retry
from tfstream.storage.directory import Access, Attempt, ObjectInfo
from tfstream.storage.gcs import GcsDirectory
from tfstream.storage.uri import open_directory

DATA = os.urandom(3_000_000)
ODD_NAMES = ["a b", "50%", "x#y?z", "ü/ñ/日本", "a+b&c=d", "~'()!*", "a//b", "%2F"]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(retry, "_LONGEST_PAUSE", 0.05)


@pytest.fixture
def directory(bucket: Bucket) -> GcsDirectory:
    return GcsDirectory(bucket.uri, stall=1.0, patience=5.0)


def _read(directory: GcsDirectory, info: ObjectInfo, offset: int = 0, length: int = -1) -> bytes:
    buffer = bytearray(info.size - offset if length < 0 else length)
    attempt = Attempt()
    directory.read_range(info, offset, memoryview(buffer), attempt)
    assert attempt.received == len(buffer)
    return bytes(buffer)


def test_what_was_made_is_listed_and_read(directory: GcsDirectory, bucket: Bucket) -> None:
    assert list(directory.list()) == []
    made = directory.create("a/b.json", b"0123456789")
    directory.create("c", b"")
    assert (made.name, made.size, made.crc32c) == ("a/b.json", 10, 0x280C069E)
    assert [info.name for info in directory.list()] == ["a/b.json", "c"]
    assert list(directory.list("a/")) == [made]
    for info in (made, directory.stat("a/b.json"), *directory.list("a/")):
        assert info.modified is not None
        assert abs(info.modified - time.time()) < 600
    assert directory.stat("a/b.json") == made
    assert directory.read("a/b.json") == b"0123456789"
    assert directory.read("a/b.json", generation=made.generation) == b"0123456789"
    assert _read(directory, made, 3, 4) == b"3456"
    assert _read(directory, made, 10, 0) == b""


def test_the_whole_bucket_is_a_directory_too(bucket: Bucket) -> None:
    bucket.put("a", b"x")
    root = open_directory(f"gs://{bucket.name}/")
    assert root.uri == f"gs://{bucket.name}"
    assert [info.name for info in root.list()] == ["data/a"]
    assert root.read("data/a") == b"x"
    assert root.locate("b") == f"gs://{bucket.name}/b"


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_quoted(
    directory: GcsDirectory, tmp_path: Path, name: str, bucket: Bucket
) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    info = directory.upload(name, tmp_path / "file")
    assert info.name == name
    assert [each.name for each in directory.list()] == [name] == bucket.names()
    assert directory.stat(name) == info
    assert (_read(directory, info, 1, 3), directory.read(name)) == (b"234", b"12345")
    directory.delete(info)
    assert bucket.names() == []


def test_a_directory_goes_to_other_processes(directory: GcsDirectory) -> None:
    directory.create("a", b"12")
    copy = pickle.loads(pickle.dumps(directory))
    assert copy.uri == directory.uri
    assert copy.read("a") == b"12"


def test_many_threads_read_at_once(directory: GcsDirectory, bucket: Bucket) -> None:
    bucket.put("x", DATA)
    info = directory.stat("x")
    places = [(n * 7919 % 2_900_000, 1 + n * 101 % 90_000) for n in range(300)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        found = pool.map(lambda place: _read(directory, info, *place), places)
        for (offset, length), data in zip(places, found, strict=True):
            assert data == DATA[offset : offset + length]


# Faults of a range: one try each.


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("reset", r"reset|closed connection"),
        ("truncate", r"ended \d+ bytes too early"),
        ("break", r"reset"),
        ("503", r"not able to answer \(503: the proxy was told"),
        ("429", r"\(429: "),
        ("408", r"\(408: "),
        ("500", r"\(500: "),
    ],
)
def test_a_fault_that_may_pass_is_transient_and_the_next_try_succeeds(
    directory: GcsDirectory, bucket: Bucket, fault: str, message: str
) -> None:
    bucket.put("x", DATA)
    info = directory.stat("x")
    assert _read(directory, info, 0, 10) == DATA[:10]  # a connection is open already
    bucket.proxy.script(fault, count=2 if fault == "reset" else 1)
    attempt, buffer = Attempt(), bytearray(len(DATA))
    with pytest.raises(errors.TransientError, match=message) as caught:
        directory.read_range(info, 0, memoryview(buffer), attempt)
    assert str(caught.value).startswith(f"{bucket.uri}/x: ")
    assert (caught.value.retry_after, caught.value.stalled) == (None, 0.0)
    if fault == "truncate":
        assert attempt.received == len(DATA) // 2  # all that came counts
        assert buffer[: attempt.received] == DATA[: attempt.received]
    assert _read(directory, info) == DATA


@pytest.mark.parametrize("fault", ["stall", "silence"])
def test_silence_ends_a_try(directory: GcsDirectory, bucket: Bucket, fault: str) -> None:
    bucket.put("x", DATA)
    info = directory.stat("x")
    bucket.proxy.script(fault)
    begun = time.monotonic()
    with pytest.raises(errors.TransientError, match=r"no byte came for 1 s") as caught:
        _read(directory, info)
    assert caught.value.stalled == 1.0
    assert 0.9 < time.monotonic() - begun < 20  # of 30
    assert _read(directory, info) == DATA


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [("7", 7, 7), ("Wed, 21 Oct 2099 07:28:00 GMT", 1e9, 1e10), ("soon", None, None)],
)
def test_retry_after_is_passed_on(
    directory: GcsDirectory,
    bucket: Bucket,
    header: str,
    least: float | None,
    most: float | None,
) -> None:
    bucket.put("x", DATA)
    info = directory.stat("x")
    bucket.proxy.script("503", retry_after=header)
    with pytest.raises(errors.TransientError) as caught:
        _read(directory, info)
    if least is None or most is None:
        assert caught.value.retry_after is None
    else:
        assert least <= (caught.value.retry_after or 0) <= most


@pytest.mark.parametrize("fault", ["stall", "silence"])
def test_cancelling_an_attempt_ends_a_read_that_waits_at_once(bucket: Bucket, fault: str) -> None:
    directory = GcsDirectory(bucket.uri, stall=600.0)
    bucket.put("x", DATA)
    info = directory.stat("x")
    bucket.proxy.stall_seconds = 600
    bucket.proxy.script(fault)
    attempt = Attempt()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        reading = pool.submit(
            directory.read_range, info, 0, memoryview(bytearray(len(DATA))), attempt
        )
        time.sleep(0.5)
        assert not reading.done()
        begun = time.monotonic()
        attempt.cancel()
        with pytest.raises(errors.TransientError):
            reading.result(timeout=60)
        assert time.monotonic() - begun < 20  # of 600
    assert _read(directory, info) == DATA


def test_an_attempt_cancelled_after_its_end_harms_nobody(
    directory: GcsDirectory, bucket: Bucket
) -> None:
    bucket.put("x", DATA)
    info = directory.stat("x")
    done = Attempt()
    directory.read_range(info, 0, memoryview(bytearray(10)), done)
    bucket.proxy.latency = 0.3
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        reading = pool.submit(_read, directory, info)
        time.sleep(0.1)
        done.cancel()
        assert reading.result() == DATA


def test_a_connection_that_the_server_closed_meanwhile_is_no_failure(
    directory: GcsDirectory, bucket: Bucket
) -> None:
    bucket.put("x", DATA)
    info = directory.stat("x")
    for _ in range(5):
        assert _read(directory, info, 5, 5) == DATA[5:10]
        bucket.proxy.hang_up()


def test_many_faults_leave_the_bytes_as_they_are(directory: GcsDirectory, bucket: Bucket) -> None:
    from tfstream.storage.reader import read_exactly

    bucket.put("x", DATA)
    info = directory.stat("x")
    bucket.proxy.inject(0.4, ("reset", "truncate", "break", "503", "429"), seed=3)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda n: read_exactly(directory, info, n * 20_000, 20_000), range(150))
        assert b"".join(found) == DATA
    assert sum(bucket.proxy.stats()["faults"].values()) > 50


# Answers that are final.


def test_an_object_overwritten_under_a_reader_is_told_with_both_generations(
    directory: GcsDirectory, bucket: Bucket
) -> None:
    old = bucket.put("x", DATA)
    info = directory.stat("x")
    new = bucket.put("x", DATA)
    message = rf"{bucket.uri}/x was overwritten.*generation {old} was.*{new} is there now.*new ver"
    with pytest.raises(errors.ObjectChangedError, match=message):
        _read(directory, info)
    with pytest.raises(errors.ObjectChangedError, match=message):
        directory.read("x", generation=info.generation)
    directory.delete(info)  # it is another one now
    assert bucket.names() == ["x"]


def test_an_object_deleted_under_a_reader_is_told(directory: GcsDirectory, bucket: Bucket) -> None:
    generation = bucket.put("x", DATA)
    info = directory.stat("x")
    bucket.delete("x")
    with pytest.raises(errors.ObjectChangedError, match=rf"/x was deleted.*{generation}"):
        _read(directory, info)
    directory.delete(info)


def test_what_is_not_there_is_told_by_its_uri(directory: GcsDirectory, bucket: Bucket) -> None:
    for call in (directory.stat, directory.read):
        with pytest.raises(errors.ObjectNotFoundError, match=rf"^{bucket.uri}/x does not exist"):
            call("x")


def test_a_bucket_that_does_not_exist_is_told_by_its_name(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    nowhere = open_directory("gs://no-such-bucket/data")
    calls: list[Callable[[], object]] = [
        lambda: list(nowhere.list()),
        lambda: nowhere.stat("x"),
        lambda: nowhere.read("x"),
        lambda: nowhere.create("x", b""),
        lambda: nowhere.upload("x", tmp_path / "f"),
        lambda: nowhere.read_range(ObjectInfo("x", 5, "1"), 0, memoryview(bytearray(5)), Attempt()),
    ]
    for call in calls:
        with pytest.raises(errors.ObjectNotFoundError, match=r"bucket gs://no-such-bucket does"):
            call()


@pytest.mark.parametrize("status", ["401", "403"])
def test_whoever_may_not_is_told_what_role_it_takes(
    directory: GcsDirectory, bucket: Bucket, tmp_path: Path, status: str
) -> None:
    bucket.put("x", DATA)
    info = directory.stat("x")
    (tmp_path / "f").write_bytes(b"x")
    bucket.proxy.script(status, count=1000)
    readers: list[Callable[[], object]] = [
        lambda: list(directory.list()),
        lambda: directory.stat("x"),
        lambda: directory.read("x"),
        lambda: _read(directory, info),
    ]
    writers: list[Callable[[], object]] = [
        lambda: directory.create("y", b""),
        lambda: directory.delete(info),
    ]
    for calls, role in ((readers, "objectViewer"), (writers, "objectUser")):
        for call in calls:
            with pytest.raises(errors.AccessDeniedError) as caught:
                call()
            assert isinstance(caught.value, PermissionError)
            assert str(caught.value).startswith(bucket.uri)
            assert f"roles/storage.{role}" in str(caught.value)
            assert f"({status}" in str(caught.value)


def test_other_answers_are_final_errors(directory: GcsDirectory, bucket: Bucket) -> None:
    bucket.put("x", DATA)
    info = directory.stat("x")
    for status, kind in (
        ("302", errors.StorageError),
        ("400", errors.StorageError),
        ("416", errors.ObjectChangedError),
    ):
        bucket.proxy.script(status)
        with pytest.raises(kind, match=r"/x") as caught:
            _read(directory, info)
        assert not isinstance(caught.value, errors.TransientError)


# Everything but ranges tries again by itself.


@pytest.mark.parametrize("fault", ["reset", "503", "429", "truncate", "flip"])
def test_requests_are_tried_again(directory: GcsDirectory, bucket: Bucket, fault: str) -> None:
    bucket.put("x", DATA)
    for call in (
        lambda: directory.stat("x").size,
        lambda: next(info.size for info in directory.list()),
        lambda: len(directory.read("x")),
    ):
        if fault == "flip" and "read" not in call.__code__.co_names:
            continue  # JSON has no checksum
        bucket.proxy.script(fault, count=3)
        assert call() == len(DATA)
    assert directory.read("x") == DATA


def test_a_server_that_says_when_is_heeded(directory: GcsDirectory, bucket: Bucket) -> None:
    bucket.put("x", b"1")
    bucket.proxy.script("503", retry_after=1)
    begun = time.monotonic()
    directory.stat("x")
    assert time.monotonic() - begun > 1


def test_patience_has_an_end(bucket: Bucket) -> None:
    directory = GcsDirectory(bucket.uri, patience=0.3)
    bucket.proxy.script("503", count=10_000)
    with pytest.raises(errors.StorageError, match=r"/x: .*503.*given up: check") as caught:
        directory.stat("x")
    assert not isinstance(caught.value, errors.TransientError)


def test_a_server_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    directory = GcsDirectory("gs://bucket/data", patience=0.2)
    with pytest.raises(errors.StorageError, match=r"gs://bucket/data/x: .*refused.*given up"):
        directory.stat("x")
    with pytest.raises(errors.TransientError, match=r"gs://bucket/data/x: .*refused"):
        _read(directory, ObjectInfo("x", 5, "1"))


# Writing.


def test_of_racing_writers_one_wins(directory: GcsDirectory, bucket: Bucket) -> None:
    def write(number: int) -> bool:
        try:
            directory.create("a.json", b"%d" % number)
        except errors.ObjectExistsError:
            return False
        return True

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        won = list(pool.map(write, range(24)))
    assert sum(won) == 1
    assert directory.read("a.json") == b"%d" % won.index(True)
    with pytest.raises(errors.ObjectExistsError, match=rf"^{bucket.uri}/a.json exists already"):
        directory.create("a.json", b"")


@pytest.mark.parametrize("fault", ["reset", "lost", "503"])
def test_making_an_object_survives_a_fault(
    directory: GcsDirectory, bucket: Bucket, fault: str
) -> None:
    bucket.proxy.script(fault, match="^POST")
    assert directory.create("a", b"12").size == 2
    assert bucket.get("a") == b"12"


@pytest.mark.parametrize("size", [0, 1, 262_144, 20_000_001])
def test_a_file_is_uploaded_whole_and_checked(
    directory: GcsDirectory, bucket: Bucket, tmp_path: Path, size: int
) -> None:
    (tmp_path / "f").write_bytes(data := os.urandom(size))
    told: list[int] = []
    made = directory.upload("x", tmp_path / "f", told.append)
    assert (made, made.size, sum(told)) == (directory.stat("x"), size, size)
    assert bucket.get("x") == data
    # Again: nothing is sent.
    bucket.proxy.reset_stats()
    assert directory.upload("x", tmp_path / "f") == made
    assert [each.method for each in bucket.proxy.log] == ["GET"]


@pytest.mark.parametrize("seed", range(4))
def test_an_upload_goes_on_where_it_broke_off(
    directory: GcsDirectory, bucket: Bucket, tmp_path: Path, seed: int
) -> None:
    (tmp_path / "f").write_bytes(data := os.urandom(30_000_000))
    told: list[int] = []
    bucket.proxy.inject(0.4, ("reset", "lost", "503", "429"), seed=seed, match="upload_id", limit=8)
    assert directory.upload("x", tmp_path / "f", told.append).size == len(data)
    assert bucket.get("x") == data
    sessions = [each for each in bucket.proxy.log if "uploadType" in each.path]
    assert len([each for each in sessions if each.method == "POST"]) == 1


def test_an_upload_does_not_replace_other_bytes(
    directory: GcsDirectory, bucket: Bucket, tmp_path: Path
) -> None:
    bucket.put("x", b"precious")
    (tmp_path / "f").write_bytes(b"other")
    with pytest.raises(errors.ObjectExistsError, match=r"/x exists already with other bytes \(8"):
        directory.upload("x", tmp_path / "f")
    assert bucket.get("x") == b"precious"
    with pytest.raises(errors.StorageError, match=r"Cannot read .*gone"):
        directory.upload("y", tmp_path / "gone")


def test_of_racing_uploads_one_wins(
    directory: GcsDirectory, bucket: Bucket, tmp_path: Path
) -> None:
    barrier = threading.Barrier(4)

    def upload(number: int) -> bool:
        (tmp_path / f"{number}").write_bytes(bytes([number]) * 300_000)
        barrier.wait()
        try:
            directory.upload("x", tmp_path / f"{number}")
        except errors.ObjectExistsError:
            return False
        return True

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        won = list(pool.map(upload, range(4)))
    assert sum(won) == 1
    assert bucket.get("x")[0] == won.index(True)


# Who asks.


def test_the_project_that_pays_is_named_in_every_request(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12345")
    directory = open_directory(bucket.uri, Access(project="payer"))
    info = directory.upload("x", tmp_path / "f")
    directory.create("y", b"")
    list(directory.list())
    directory.read("x")
    directory.read_range(info, 0, memoryview(bytearray(5)), Attempt())
    directory.delete(info)
    asked = [each.path for each in bucket.proxy.log if "upload_id" not in each.path]
    assert len(asked) >= 7
    assert [path for path in asked if "userProject=payer" not in path] == []


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("gs://", r"'gs://' names no bucket"),
        ("gs:///a", r"names no bucket"),
        ("gs://Bucket/a", r"no valid bucket name: 'Bucket'"),
        ("gs://b/a", r"no valid bucket name"),
        ("gs://buck et/a", r"no valid bucket name"),
        ("gs://bucket/a\nb", r"the character '\\n'"),
        ("gs://bucket/" + "a" * 2000, r"too long"),
        ("gs:/bucket/a", r"two slashes"),
    ],
)
def test_a_uri_that_is_none_is_refused(uri: str, message: str) -> None:
    with pytest.raises(errors.InvalidArgumentError, match=message):
        open_directory(uri)
