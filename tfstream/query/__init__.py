"""The query language: from a text to a predicate over indexes, and its answer."""
