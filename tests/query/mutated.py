"""Queries of which something was changed: by a slip of the hand, or by who is curious."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

__all__ = ["mutate"]

_TOKENS = (
    *"()[]{}:,=<>!\"'\\@&|;*? \n\t",
    *("\0", "\ud800", "--", "/*", "“", "\ufeff", "$1", "?1", "::", "..", "\u2028"),
    *("and", "OR", "not", "in", "not in", "is", "is not", "TO", "null", "true", "to", "select"),
    *("0", "-1", ".5", "1e999", "9" * 25, "2024-02-30", "9999-12-31", "@", "@split:", "@phase"),
    *("width", "labels", "labels.dog", "file.", "metadata.key", "split", '"#record"', "read_text"),
)


def mutate(rng: random.Random, valid: Sequence[str]) -> str:
    """One of some valid queries, of which characters or tokens went, came, moved or changed."""
    text = rng.choice(valid)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        begin = rng.randrange(len(text) + 1)
        end = min(len(text), begin + rng.choice((0, 1, 1, 2, 5, 20)))
        if rng.random() < 0.5:  # whole words
            ends = [match.end() for match in re.finditer(r"\w+|\W", text)]
            begin, end = sorted(rng.choices([0, *ends], k=2))
        piece, other = text[begin:end], rng.choice(valid)
        cut = rng.randrange(len(other))
        any_character = chr(rng.choice((rng.randrange(128), rng.randrange(0x11000))))
        change = rng.choice(
            (
                "",
                piece * 2,
                piece[::-1],
                piece.swapcase(),
                rng.choice(_TOKENS),
                other[cut : cut + rng.randrange(1, 30)],
                any_character,
            )
        )
        text = text[:begin] + change + text[end:]
    return text
