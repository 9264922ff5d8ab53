"""What Keras's `fit` takes beside a stream: callbacks, and help with `tf.distribute`."""

from tfstream.adapters.keras import StreamMonitor
from tfstream.adapters.resume import ResumeStream
from tfstream.adapters.strategies import distribute, prepare

__all__ = ["ResumeStream", "StreamMonitor", "distribute", "prepare"]
