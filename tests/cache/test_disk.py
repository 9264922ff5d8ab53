"""A page cache on a disk that is full, read-only, or another's; and on what is no cache."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import cached
import cached_faults
import pytest
from cached import SIZE, fill

from tfstream.cache import PageCache
from tfstream.errors import CacheError

_PROGRAM = [sys.executable, cached_faults.__file__]
_APART = ["unshare", "--mount", "--map-root-user", "--user"]
_WITHOUT_POWER = [
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-dac_override,-dac_read_search",
]


def _run(*command: str) -> None:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.returncode == 0, done.stderr


def _run_on_tmpfs(fault: str, directory: Path) -> None:
    """Runs a fault on a small file system of its own, which goes with the process."""
    apart = _APART[:2] if os.geteuid() == 0 else _APART
    mount = f"mount -t tmpfs -o size=8m,mode=755 tmpfs {shlex.quote(str(directory))}"
    probe = subprocess.run([*apart, "sh", "-c", mount], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"no right to mount a tmpfs here: {probe.stderr.strip()}")
    _run(*apart, "sh", "-c", f"{mount} && exec {shlex.join([*_PROGRAM, fault, str(directory)])}")


def _run_without_power(fault: str, directory: Path) -> None:
    """Runs a fault as a user whom permissions bind."""
    bound: list[str] = []
    if os.geteuid() == 0:
        bound = _WITHOUT_POWER
        if subprocess.run([*bound, "true"], capture_output=True, check=False).returncode:
            pytest.skip("root is not bound by permissions, and there is no setpriv")
        os.chown(directory, 65534, 65534)
    _run(*bound, *_PROGRAM, fault, str(directory))


def test_on_a_full_disk_old_objects_go_and_then_streaming_goes_on(tmp_path: Path) -> None:
    _run_on_tmpfs("full", tmp_path)


def test_a_read_only_cache_is_read(tmp_path: Path) -> None:
    _run_on_tmpfs("read_only", tmp_path)


def test_a_file_that_may_not_grow_is_left_out(tmp_path: Path) -> None:
    _run(*_PROGRAM, "no_large_files", str(tmp_path))


def test_another_users_cache_is_read_where_it_may_be(tmp_path: Path) -> None:
    directory = tmp_path / "cache"
    cache = PageCache(directory)
    fill(cached.cached(cache, 0), 0)
    cache.close()
    for path in [*directory.rglob("*"), directory]:
        if os.geteuid() == 0:
            os.chown(path, 65534, 65534)
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        _run_without_power("others_readable", directory)
    finally:
        for path in [directory, *directory.rglob("*")]:
            path.chmod(0o700)


def test_another_users_cache_that_may_not_be_read_is_an_error(tmp_path: Path) -> None:
    directory = tmp_path / "cache"
    PageCache(directory).close()
    directory.chmod(0)
    try:
        _run_without_power("others", directory)
    finally:
        directory.chmod(0o700)


def test_a_cache_directory_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    path.write_bytes(b"mine")
    with pytest.raises(CacheError, match=r"/cache is a file\. Name a directory"):
        PageCache(path)
    with pytest.raises(CacheError, match="cannot be made: Not a directory"):
        PageCache(path / "below")
    assert path.read_bytes() == b"mine"


def test_a_link_to_nowhere_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "cache").symlink_to(tmp_path / "nowhere" / "deep")
    with pytest.raises(CacheError):
        PageCache(tmp_path / "cache")


def test_a_cache_of_a_newer_format_is_an_error(tmp_path: Path) -> None:
    PageCache(tmp_path / "cache").close()
    marker = tmp_path / "cache" / "tfstream-cache.json"
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "format": 2}))
    with pytest.raises(CacheError, match="its format is 2, this one knows 1. Upgrade tfstream"):
        PageCache(tmp_path / "cache")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "1"}', '{"format": true}', '{"format": 0}', "\xff"]
)
def test_a_marker_of_anything_else_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "tfstream-cache.json").write_text(text)
    with pytest.raises(CacheError, match="is not what a cache begins with"):
        PageCache(tmp_path)


def test_a_directory_with_files_of_its_own_can_be_a_cache(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    cache = PageCache(tmp_path, 2 * SIZE)
    for number in range(4):
        assert fill(cached.cached(cache, number), number)
    assert (tmp_path / "photo.jpg").read_bytes() == b"mine"


def test_a_relative_directory_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cache = PageCache("cache")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert fill(cached.cached(cache, 0), 0)
    assert len(list((tmp_path / "cache" / "objects").iterdir())) == 1
