"""Where a stream's time goes: its stages, each by itself, beside the whole."""
