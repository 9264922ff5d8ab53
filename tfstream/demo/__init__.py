"""What `tfstream demo` needs: drawn pictures, a small network, and a picture of a batch."""

from __future__ import annotations

__all__: list[str] = []
