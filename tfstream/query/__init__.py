"""The query language: from a text to a predicate over indexes, and its answer."""

from __future__ import annotations

from tfstream.query.compiler import bind, compile_where
from tfstream.query.condition import Condition
from tfstream.query.fields import Column, Fields
from tfstream.query.parser import parse
from tfstream.query.tree import Query

__all__ = ["Column", "Condition", "Fields", "Query", "bind", "compile_where", "parse"]
