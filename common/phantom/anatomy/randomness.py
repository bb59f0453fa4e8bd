"""Independent random streams: each part of a study draws from its own, so that a change to one leaves the others."""

import zlib

import numpy as np


def stream(seed: int, study: int, purpose: str) -> np.random.Generator:
    """The generator for one purpose ("posture", "noise", ...) of study number `study` of a cohort."""
    return np.random.default_rng([seed, study, zlib.crc32(purpose.encode())])
