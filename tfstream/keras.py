"""What Keras's `fit` takes beside a stream: `ResumeStream` and `StreamMonitor`."""

from tfstream.adapters.keras import StreamMonitor
from tfstream.adapters.resume import ResumeStream

__all__ = ["ResumeStream", "StreamMonitor"]
