"""What several tests share."""

import os

import hypothesis
from emulator import bucket, emulator, proxy

__all__ = ["bucket", "emulator", "proxy"]

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("tfstream", deadline=None)
hypothesis.settings.load_profile("tfstream")
