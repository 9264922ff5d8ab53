"""tfstream: pack annotated images once, stream any part of them into TensorFlow.

Importing this package does not import TensorFlow; the names that need it load
it when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from tfstream import errors

if TYPE_CHECKING:
    from tfstream import keras, versions
    from tfstream.adapters.diffgram import directory
    from tfstream.adapters.missinglink import bind_data_generator
    from tfstream.annotations.npy import NpySet
    from tfstream.annotations.text_rows import TextFile
    from tfstream.dataset import PackedDataset
    from tfstream.format.label_map import LabelMap
    from tfstream.images import RAW, ImageSpec
    from tfstream.indexing import index
    from tfstream.iterators import ReinitializableIterator
    from tfstream.keypoint_names import COCO_KEYPOINTS
    from tfstream.mixing import mix
    from tfstream.opening import open_dataset as open
    from tfstream.packing import append, pack
    from tfstream.stream import StreamDataset
    from tfstream.stream_position import StreamPosition
    from tfstream.versions import relabel, remove

__version__ = "0.1.0"

__all__ = [
    "COCO_KEYPOINTS",
    "RAW",
    "ImageSpec",
    "LabelMap",
    "NpySet",
    "PackedDataset",
    "ReinitializableIterator",
    "StreamDataset",
    "StreamPosition",
    "TextFile",
    "append",
    "bind_data_generator",
    "directory",
    "errors",
    "index",
    "keras",
    "mix",
    "open",
    "pack",
    "relabel",
    "remove",
    "versions",
]

_HOMES = {
    "COCO_KEYPOINTS": ("tfstream.keypoint_names", "COCO_KEYPOINTS"),
    "ImageSpec": ("tfstream.images", "ImageSpec"),
    "LabelMap": ("tfstream.format.label_map", "LabelMap"),
    "NpySet": ("tfstream.annotations.npy", "NpySet"),
    "PackedDataset": ("tfstream.dataset", "PackedDataset"),
    "RAW": ("tfstream.images", "RAW"),
    "ReinitializableIterator": ("tfstream.iterators", "ReinitializableIterator"),
    "StreamDataset": ("tfstream.stream", "StreamDataset"),
    "StreamPosition": ("tfstream.stream_position", "StreamPosition"),
    "TextFile": ("tfstream.annotations.text_rows", "TextFile"),
    "append": ("tfstream.packing", "append"),
    "bind_data_generator": ("tfstream.adapters.missinglink", "bind_data_generator"),
    "directory": ("tfstream.adapters.diffgram", "directory"),
    "index": ("tfstream.indexing", "index"),
    "mix": ("tfstream.mixing", "mix"),
    "open": ("tfstream.opening", "open_dataset"),
    "pack": ("tfstream.packing", "pack"),
    "relabel": ("tfstream.versions", "relabel"),
    "remove": ("tfstream.versions", "remove"),
}

_MODULES = ("keras", "versions")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"tfstream.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'tfstream' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
