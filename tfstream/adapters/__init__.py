"""Streams inside other frameworks' training loops."""
