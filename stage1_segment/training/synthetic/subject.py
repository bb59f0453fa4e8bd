"""A subject of an anatomy bank: a posed label map, and how far it can be looked at without seeing where it ends."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from common.errors import CorruptFile
from common.labels import LEVEL_IDS, THORACIC
from common.phantom.tissues import CORTEX, LEVEL_CODES, OUTSIDE
from common.volume import Grid
from stage1_segment.training.synthetic.worn_discs import with_disc_parts

MIRRORED = 2
"""Times that what lies between C7 and the lowest vertebra is added below it as its mirror image, in turns: more would
make the zigzag of a bent spine something to know thoracic vertebrae by."""
SHORTEST_MM = 35.0
"""Of thoracic spine that is mirrored; with less there is no chest to add."""
CUT_OFF = 0.002
"""Part of a map's side that shows the body when it is cut off there."""
END_MM = 8.0
"""Below the middle of the lowest vertebra a subject counts as ended."""


def level_table() -> np.ndarray:
    """(256,) uint8: tissue code -> mask value of `labels.CLASS_NAMES` (every thoracic vertebra 8, else 0)."""
    table = np.zeros(256, np.uint8)
    for code in LEVEL_CODES.values():
        table[[code, CORTEX + code]] = min(code, THORACIC)
    return table


@dataclass(frozen=True, eq=False)
class Subject:
    """`labels` (X, Y, Z) uint8 of `common.phantom.tissues`, axes R, A, S; `affine` (4, 4) voxel -> RAS mm, diagonal."""

    name: str
    labels: np.ndarray
    affine: np.ndarray
    _on: dict[torch.device, Tensor] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def grid(self) -> Grid:
        return Grid(self.labels.shape, self.affine)

    @cached_property
    def centres(self) -> dict[int, np.ndarray]:
        """Vertebra (1 = C1, 8 = T1, ...) -> the middle (3,) of its bone, world RAS mm."""
        table = np.zeros(256, np.uint8)
        for code in LEVEL_CODES.values():
            table[[code, CORTEX + code]] = code
        bone = table[self.labels]
        found = {}
        for code, box in enumerate(ndimage.find_objects(bone), start=1):
            if box is not None:
                middle = np.argwhere(bone[box] == code).mean(axis=0) + [s.start for s in box]
                found[code] = self.grid.to_world(middle)
        return found

    @cached_property
    def body_rows(self) -> tuple[int, int]:
        """First and last slice that hold any of the body."""
        rows = np.flatnonzero((self.labels != OUTSIDE).any(axis=(0, 1)))
        return int(rows[0]), int(rows[-1])

    def on(self, device: torch.device) -> Tensor:
        """`labels`, flat, on a device, where they stay."""
        if device not in self._on:
            self._on[device] = torch.from_numpy(self.labels).view(-1).to(device)
        return self._on[device]

    @cached_property
    def sides(self) -> np.ndarray:
        """(2, 2) world RAS mm: from where to where in x and y the map may be looked at. Infinite where air is around
        the body, else its outermost voxels, the body being cut off there."""
        ends = np.array([[-np.inf, np.inf]] * 2)
        low, high = self.grid.to_world([0, 0, 0]), self.grid.to_world(np.array(self.labels.shape) - 1)
        for axis in (0, 1):
            for end, (slice_number, edge) in enumerate(((0, low[axis]), (-1, high[axis]))):
                if (np.take(self.labels, slice_number, axis) != OUTSIDE).mean() > CUT_OFF:
                    ends[axis, end] = edge
        return ends

    @property
    def open_top(self) -> bool:
        """Whether the head is cut off by the map's upper end."""
        return self.body_rows[1] == self.labels.shape[2] - 1

    @cached_property
    def rows(self) -> tuple[np.ndarray, int]:
        """Slices of `labels` from the lowest to the highest that may be looked at, int32, and the place of the first of
        them on the map's own axis (negative: a chest that is mirrored between C7 and the lowest vertebra)."""
        step = self.grid.spacing[2]
        lowest = self.grid.to_index(self.centres[max(self.centres)])[2]
        low = max(self.body_rows[0] + 2, round(lowest - END_MM / step))
        own = np.arange(low, self.labels.shape[2], dtype=np.int32)
        cervical = np.isin(level_table()[self.labels], list(LEVEL_IDS.values())).any(axis=(0, 1))
        length = int(np.flatnonzero(cervical)[0]) - 2 - low
        if length * step < SHORTEST_MM:
            return own, low
        count = MIRRORED * length
        down = np.arange(count, 0, -1) % (2 * length)
        chest = low + np.minimum(down, 2 * length - down)
        return np.concatenate([chest.astype(np.int32), own]), low - count


def load_subject(path: Path) -> Subject:
    """Reads one label map. Raises CorruptFile."""
    import nibabel as nib

    try:
        image: Any = nib.load(path)
        labels = np.asarray(image.dataobj)
    except Exception as error:  # nibabel raises many kinds
        raise CorruptFile(f"{path}: not a readable NIfTI ({error}); make the bank again") from None
    turned = image.affine[:3, :3] - np.diag(np.diag(image.affine[:3, :3]))
    if labels.ndim != 3 or labels.dtype != np.uint8 or np.abs(turned).max() > 1e-3 or np.diag(image.affine).min() <= 0:
        raise CorruptFile(f"{path}: expected a uint8 label map with axes R, A, S; make the bank again")
    subject = Subject(
        path.name.removesuffix(".nii.gz"), with_disc_parts(np.ascontiguousarray(labels), image.affine), image.affine
    )
    missing = [name for name, code in LEVEL_IDS.items() if code not in subject.centres]
    if missing:
        raise CorruptFile(f"{path}: holds no {', '.join(missing)}; make the bank again")
    _ = subject.rows, subject.sides  # worked out here once, in the process that reads
    return subject
