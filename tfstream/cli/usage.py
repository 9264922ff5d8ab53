"""The help of a verb, from its docstring."""

from __future__ import annotations

import inspect
from collections.abc import Callable

__all__ = ["help_of"]


def help_of(function: Callable[..., object]) -> str:
    """A function's docstring, marked so that the lines of its example stay as they are."""
    return (inspect.getdoc(function) or "").replace("\n\nExample:", "\n\n\b\nExample:")
