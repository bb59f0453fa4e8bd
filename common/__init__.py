"""What both stages share; it knows neither of them."""

import os

__version__ = "0.1.0"

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
"""Threads that wait sleep rather than spin: beside other work on the same cores, a step is ten times as fast."""
