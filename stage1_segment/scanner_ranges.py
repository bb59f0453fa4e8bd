"""What the scanners of synthetic scans are like at most; `doctor` asks whether a scan is of that kind. No torch."""

FINE_MM, COARSE_MM = (0.3, 1.2), (1.2, 5.0)
"""Voxels in the plane, of a fine scan and of one that has been made coarse."""
SLICE_MM = (0.5, 5.0)
NOISE_HU = 60.0
VALUES_HU = (-1024.0, 3071.0)
