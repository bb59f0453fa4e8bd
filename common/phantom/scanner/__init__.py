"""The CT scanner: where its slices lie, and what its detector, kernel and physics make of the scene.

In: a painted scene.
Out: HU on the scan's grid, blurred, with noise and artefacts.
Start reading: scan.py.
"""

from common.phantom.scanner.field import scan_grid
from common.phantom.scanner.scan import scan

__all__ = ["scan", "scan_grid"]
