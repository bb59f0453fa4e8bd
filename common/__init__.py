"""What both stages share; it knows neither of them."""

import os

__version__ = "0.2.4"

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
"""Threads that wait spin for microseconds, then sleep. With the library's 300,000 turns a step beside other work on the
same cores takes ten times as long; with none at all, 1.5 times as long on idle ones."""
