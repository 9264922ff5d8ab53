"""What several tests share."""

import os
import signal

import hypothesis
from emulator import bucket, emulator, proxy

__all__ = ["bucket", "emulator", "proxy"]

# A shell starts what it runs in the background with interrupts ignored, and children inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("tfstream", deadline=None)
hypothesis.settings.load_profile("tfstream")
