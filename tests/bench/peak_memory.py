"""Peak memory of processes. Their own is VmHWM: getrusage's of a new process begins with that of the one that started
it."""

import resource
from pathlib import Path


def own_peak_mb() -> float:
    """Of this process."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def largest_peak_mb() -> float:
    """Of this process or the largest of those that it started and waited for."""
    return max(own_peak_mb(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
