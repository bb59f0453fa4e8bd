"""The CT scanner: where its slices lie, and what its detector, kernel and physics make of the scene."""

from common.phantom.scanner.field import scan_grid
from common.phantom.scanner.scan import scan

__all__ = ["scan", "scan_grid"]
