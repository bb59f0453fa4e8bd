"""How dense, how even and how coarse bone is drawn: the default, and one nearer to real scans."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Look = Literal["drawn", "real"]


@dataclass(frozen=True)
class BoneLook:
    """`spongy`: HU of the marrow of the old; `fine`, `slow`: standard deviations of its texture at short and long
    range, parts of its HU; `skew`: of their logarithm, 0 for a normal distribution; `compact`: a factor of the cortex'
    HU; `uneven`: HU by which it varies; `shell`: a factor of its thickness."""

    spongy: float = 170
    fine: float = 0.27
    slow: float = 0.12
    skew: float = 0
    compact: float = 1
    uneven: float = 60
    shell: float = 1

    def skewed(self, texture: np.ndarray) -> np.ndarray:
        """A texture of mean 0 and standard deviation 1 (N,) -> one with a long tail of large values."""
        if not self.skew:
            return texture
        s = self.skew
        mean = np.exp(s * s / 2)
        sd = mean * np.sqrt(np.exp(s * s) - 1)
        return (np.exp(np.float32(s) * texture) - np.float32(mean)) / np.float32(sd)


LOOKS: dict[str, BoneLook] = {
    "drawn": BoneLook(),
    "real": BoneLook(spongy=230, fine=0.40, slow=0.25, skew=0.6, compact=0.88, uneven=230, shell=1.1),
}
"""`real`: medians as compare-bone --same-scanner finds them in the Visible Humans (docs/real_bone.md)."""
