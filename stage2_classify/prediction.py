"""What stage 2 says of one study."""

from dataclasses import dataclass, field

import numpy as np

OF_SYNTHETIC_ONLY = "These networks learned from synthetic studies alone: about a real scan they say nothing."


@dataclass(frozen=True, eq=False)
class Prediction:
    """One study's prediction in the order of `TARGETS`: `probabilities` (8,) are what the score rewards, `calibrated`
    (8,) how likely each fracture is, `network` (8,) what the networks said before either (None: not known); `flags`:
    level -> remarks; `notices`: what was said of the scan, its mask and the prediction; `before_local_map` (8,): what
    `calibrated` was before a local map (None: without one)."""

    uid: str
    probabilities: np.ndarray
    flags: dict[str, list[str]] = field(default_factory=dict)
    calibrated: np.ndarray | None = None
    network: np.ndarray | None = None
    notices: tuple[str, ...] = ()
    before_local_map: np.ndarray | None = None
