"""Runs what a page of the documentation shows: its blocks of Python, and tfstream's commands."""

from __future__ import annotations

import re
import shlex

import typer.testing

import tfstream
from tfstream.cli.app import app

_BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(text: str, name: str, *, packed: str = "packed") -> dict[str, object]:
    """Runs the blocks of a page one after the other, in this process; what Python then knows.

    Of `bash`, lines that begin with "tfstream" are run, with a key of the dataset `packed` where
    they say KEY; they must succeed. What is only to be read stands in blocks of other languages.
    """
    names: dict[str, object] = {"__name__": name}
    for block in _BLOCK.finditer(text):
        language, shown = block.groups()
        if language == "bash":
            _run_commands(shown, packed)
        else:
            # The empty lines give an error the line that it has on the page.
            line = text[: block.start(2)].count("\n")
            exec(compile("\n" * line + shown, name, "exec"), names)
    return names


def _run_commands(lines: str, packed: str) -> None:
    for line in lines.splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["tfstream"]:
            key = tfstream.open(packed)[0]["key"] if "KEY" in words else ""
            arguments = [key if word == "KEY" else word for word in words[1:]]
            result = typer.testing.CliRunner().invoke(app, arguments)
            assert result.exit_code == 0, (line, result.output, result.exception)
