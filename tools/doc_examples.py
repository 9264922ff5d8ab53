"""For the documentation's site: examples in docstrings are code, not quotations of quotations."""

from __future__ import annotations

import re
from typing import Any

import griffe

__all__ = ["Examples"]

# Of an example, all lines up to an empty one.
_EXAMPLE = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)


class Examples(griffe.Extension):
    """Fences the examples of each docstring."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Changes an object's docstring once it is loaded."""
        if obj.docstring is not None:
            plain = re.sub(r" +# doctest: \+\w+", "", obj.docstring.value)
            obj.docstring.value = _EXAMPLE.sub(r"```pycon\n\g<0>\n```", plain)
