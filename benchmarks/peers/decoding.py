"""JPEG to uint8 of one size, for the peers that leave decoding to the user.

OpenCV's decoder and resize where it is installed, the fastest that Python has; else Pillow.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np

__all__ = ["decode"]

try:
    import cv2
except ImportError:
    from PIL import Image

    def decode(encoded: bytes, size: tuple[int, int]) -> Any:
        """The image of a JPEG file, uint8 [height, width, 3]."""
        image = Image.open(io.BytesIO(encoded)).convert("RGB")
        return np.array(image.resize(size[::-1], Image.Resampling.BILINEAR))
else:
    cv2.setNumThreads(0)  # the peers' own workers fill the cores

    def decode(encoded: bytes, size: tuple[int, int]) -> Any:
        """The image of a JPEG file, uint8 [height, width, 3]."""
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
        image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
