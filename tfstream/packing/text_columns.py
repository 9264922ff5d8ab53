"""What the text of a column means: true or false, whole numbers, numbers, or text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["TextColumn", "cast"]

# Numbers with a leading zero, a plus or very many digits are rather names: of places, of people.
_PATTERNS = {
    "bool": r"^(?i:true|false)$",
    "int": r"^-?(0|[1-9][0-9]{0,17})$",
    "float": (
        r"^(-?((0|[1-9][0-9]{0,14})|(0|[1-9][0-9]*)?\.[0-9]+|(0|[1-9][0-9]*)\.)"
        r"([eE][+-]?[0-9]{1,3})?|(?i:nan|-?inf))$"
    ),
}


class TextColumn:
    """One column of text; finds the narrowest type that all of its values are of."""

    def __init__(self, kind: str | None) -> None:
        """Begins with nothing seen.

        Args:
            kind: The type, where it is known; None: it is to be found.
        """
        self._known = kind
        self._possible = list(_PATTERNS) if kind is None else [kind]
        self._empty = True

    @property
    def kind(self) -> str | None:
        """The type; None where there was no value to tell it from."""
        if self._empty:
            return self._known
        return self._possible[0] if self._possible else "string"

    def see(self, texts: pa.Array) -> int | None:
        """Takes in some values, nulls among them.

        Returns:
            The place of the first that is not of the type, where that is known; else None.
        """
        import pyarrow.compute as pc

        self._empty = self._empty and texts.null_count == len(texts)
        for kind in [kind for kind in self._possible if kind in _PATTERNS]:
            place = pc.index(pc.match_substring_regex(texts, _PATTERNS[kind]), False).as_py()
            if place >= 0 and self._known:
                return int(place)
            if place >= 0:
                self._possible.remove(kind)
        return None


def cast(texts: pa.Array, kind: str) -> pa.Array:
    """Values as their column's type has them: texts that were seen, or values of that type."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if kind == "bool" and pa.types.is_string(texts.type):
        return pc.equal(pc.utf8_lower(texts), "true")
    types = {"string": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
    return pc.cast(texts, types[kind])
