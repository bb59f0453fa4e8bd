"""What both stages share; it knows neither of them.

    study = common.read_study("scan.zip")   # study.volume: array (X, Y, Z) HU, affine voxel -> RAS mm
"""

import os
from typing import TYPE_CHECKING

from common.lazy import lazy

if TYPE_CHECKING:
    from common.reading.study import Study, read_study
    from common.volume import Volume

__all__ = ["Study", "Volume", "__version__", "read_study"]
_STUDY = "common.reading.study"
__getattr__ = lazy(__name__, {"Study": _STUDY, "read_study": _STUDY, "Volume": "common.volume"})

__version__ = "0.4.1"

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
"""Threads that wait spin for microseconds, then sleep. With the library's 300,000 turns a step beside other work on the
same cores takes ten times as long; with none at all, 1.5 times as long on idle ones."""
