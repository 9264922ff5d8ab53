"""Every example in a docstring runs and prints what it says."""

import doctest
import importlib
import pkgutil

import pytest

import tfstream

MODULES = [
    module.name
    for module in pkgutil.walk_packages(tfstream.__path__, "tfstream.")
    if not module.name.startswith("tfstream.v1.")
]
# Modules that need what only an extra installs.
EXTRAS = {
    "tfstream.adapters.torch": "torch",
    "tfstream.view.app": "starlette",
    "tfstream.view.guard": "starlette",
}


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_docstrings_run(name):
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    if name in EXTRAS:
        pytest.importorskip(EXTRAS[name], reason=f"{EXTRAS[name]} is not installed")
    result = doctest.testmod(importlib.import_module(name), optionflags=flags)
    assert result.failed == 0
