"""Keras beside a stream: augmentation, a data generator, callbacks, help with `tf.distribute`.

Importing this module imports neither Keras nor TensorFlow, which its backend need not be.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfstream.adapters.augmentation import Augment
    from tfstream.adapters.generator import DataGenerator
    from tfstream.adapters.keras import StreamMonitor
    from tfstream.adapters.resume import ResumeStream
    from tfstream.adapters.strategies import distribute, prepare

__all__ = [
    "Augment",
    "DataGenerator",
    "ResumeStream",
    "StreamMonitor",
    "distribute",
    "prepare",
]

_HOMES = {
    "Augment": "tfstream.adapters.augmentation",
    "DataGenerator": "tfstream.adapters.generator",
    "ResumeStream": "tfstream.adapters.resume",
    "StreamMonitor": "tfstream.adapters.keras",
    "distribute": "tfstream.adapters.strategies",
    "prepare": "tfstream.adapters.strategies",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tfstream.keras' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
