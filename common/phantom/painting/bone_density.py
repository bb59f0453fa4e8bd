"""HU inside of a bone by its depth below the surface: a compact shell about textured marrow."""

from dataclasses import dataclass

import numpy as np

from common.phantom.anatomy.person import Person
from common.phantom.painting.bone_look import LOOKS, BoneLook

Number = np.ndarray | float
DENSEST_HU = 2200.0
"""Of bone, however it is drawn; a scanner takes more than 3071 for metal."""


@dataclass(frozen=True)
class BoneDensity:
    """HU of one bone's marrow (`spongy`) and cortex (`compact`), and how it looks."""

    look: BoneLook
    spongy: float
    compact: float

    @classmethod
    def of(cls, person: Person, bone: str) -> "BoneDensity":
        """Of a subject's bone: denser in the young."""
        rng = person.stream(f"density {bone}")
        young = 1 - np.clip((person.age - 25) / 60, 0, 1)
        look = LOOKS[person.bone]
        spongy = look.spongy + 190 * young + rng.normal(0, 15)
        compact = 1000 + 120 * young + rng.normal(0, 25)
        return cls(look, spongy, compact)

    def marrow(self, body: Number, texture: np.ndarray, slow: np.ndarray) -> np.ndarray:
        """HU (N,) of marrow at points. `body` 0..1, how much a point belongs to a vertebral body rather than to its
        arch; `texture`, `slow`: random, mean 0 and SD 1, at short and long range."""
        look, coarse = self.look, self.look.skewed(slow)
        inside = self.spongy * (1 + 0.55 * (1 - body))
        return inside + look.fine * self.spongy * look.skewed(texture) + look.slow * self.spongy * coarse

    def in_cortex(
        self,
        marrow: np.ndarray,
        distance: np.ndarray,
        cortex_mm: Number,
        body: Number,
        texture: np.ndarray,
        slow: np.ndarray,
        edge_mm: float,
    ) -> np.ndarray:
        """HU (N,) that points would have if they were all bone: `marrow` (N,) HU within a cortex that begins at the
        surface (`distance` to it, mm, negative inside) and is `cortex_mm` thick on average, more and less with the
        textures; its inner border is `edge_mm` wide, 0.6 at least."""
        look = self.look
        shell = look.shell * cortex_mm * np.clip(1 + 0.28 * slow + 0.1 * texture, 0.35, 1.8)
        compact = look.compact * self.compact * (1 - 0.14 * body) + look.uneven * look.skewed(slow)
        share = np.clip(0.5 + (distance + shell) / max(edge_mm, 0.6), 0, 1)
        return np.minimum(marrow + share * (compact + 40 * texture - marrow), DENSEST_HU)
