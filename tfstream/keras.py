"""What Keras's `fit` takes beside a stream: `tfstream.keras.StreamMonitor`."""

from tfstream.adapters.keras import StreamMonitor

__all__ = ["StreamMonitor"]
