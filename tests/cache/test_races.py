"""What another process may do between two steps of this one, made to happen just there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cached
import pytest
from cached import SIZE, check, fill

from tfstream.cache import PAGE, PageCache, cached_object, locks, space


@pytest.fixture
def before_lock(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has something done when a module is about to take a lock for the n-th time."""

    def arrange(module: object, turn: int, action: Callable[[], object]) -> None:
        left = turn

        def interrupted(*arguments: object) -> bool:
            nonlocal left
            left -= 1
            if left == 0:
                action()
            return locks.lock_within(*arguments)

        monkeypatch.setattr(module, "lock_within", interrupted)

    return arrange


def test_a_file_evicted_while_it_is_opened_is_made_anew(
    cache: PageCache, tmp_path: Path, before_lock
) -> None:
    fill(cached.cached(cache, 1), 1)
    fresh = cached.cached(PageCache(tmp_path / "cache"), 1)
    before_lock(cached_object, 1, lambda: space.evict(fresh._path))
    assert fill(fresh, 1, 0, PAGE)
    assert Path(fresh._path).exists()
    assert cached.cached(cache, 1).missing(0, SIZE) == [(PAGE, SIZE)]


def test_a_file_made_by_another_meanwhile_is_left_as_it_is(
    cache: PageCache, tmp_path: Path, before_lock
) -> None:
    fresh = cached.cached(PageCache(tmp_path / "cache"), 1)
    # The first lock finds an empty file; before the second, which allows making it, another does.
    before_lock(cached_object, 2, lambda: fill(cached.cached(cache, 1), 1))
    with fresh.use():
        assert check(fresh, 1, 0, SIZE) == SIZE


def test_an_object_stored_again_while_it_is_evicted_keeps_its_name(
    cache: PageCache, tmp_path: Path, before_lock
) -> None:
    target = cached.cached(cache, 1)
    fill(target, 1)
    other = cached.cached(PageCache(tmp_path / "cache"), 1)

    def evict_and_store_again() -> None:
        assert space.evict(target._path)
        assert fill(other, 1)

    before_lock(space, 1, evict_and_store_again)
    space.evict(target._path)
    assert Path(target._path).exists()
    assert check(target, 1, 0, SIZE) == SIZE
