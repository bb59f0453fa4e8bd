"""How the files of one study are written: what scanners and archives do differently while the picture is the same."""

from dataclasses import dataclass

import numpy as np
from pydicom import uid

COMPRESSED = (uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.RLELossless, uid.JPEGLossless)
"""Lossless transfer syntaxes that archives use for CT."""

UNCOMPRESSED = (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian)


@dataclass(frozen=True)
class FileStyle:
    """`downwards`: file numbers grow from head to feet. `first_number`: the lowest file number.
    `block_order`: parts of the scan, from its first slice on, in the order in which they are numbered; (0,) when
    numbers follow position. `signed`, `slope`, `intercept`: stored value of a voxel = (HU - intercept) / slope.
    `padding`: stored value outside of the reconstruction circle, None for plain air. `overlap`: slice thickness over
    slice distance. `windows`: (centre, width) of the suggested display windows."""

    transfer_syntax: str
    downwards: bool
    first_number: int
    block_order: tuple[int, ...]
    signed: bool
    slope: float
    intercept: float
    padding: int | None
    overlap: float
    windows: tuple[tuple[int, int], ...]
    kernel: str

    def file_numbers(self, slices: int) -> np.ndarray:
        """(slices,) number of the file that holds each slice, slices counted from the feet upward; each once."""
        blocks = np.array_split(np.arange(slices), len(self.block_order))
        order = np.concatenate([blocks[block] for block in self.block_order])
        numbers = np.empty(slices, dtype=int)
        numbers[order] = self.first_number + np.arange(slices)
        return numbers[::-1] if self.downwards else numbers


def draw_style(compressed: str | None, rng: np.random.Generator) -> FileStyle:
    """A style with the given compressed transfer syntax, or an uncompressed one."""
    padded = rng.random() < 0.12
    signed = padded or bool(rng.random() < 0.5)
    slope, intercept = (1.0, -1024.0) if padded or not signed else (1.0, 0.0)
    if not padded and rng.random() < 0.12:
        slope, intercept = [(0.5, -1024.0), (1.0, -1000.0)][rng.integers(2)]
        signed = signed or intercept > -1024
    bone, soft = (500, 2000), (40, 400)
    return FileStyle(
        transfer_syntax=str(compressed or UNCOMPRESSED[int(rng.random() < 0.15)]),
        downwards=bool(rng.random() < 0.7),
        first_number=int(rng.choice([0, int(rng.integers(2, 120))])) if rng.random() < 0.2 else 1,
        block_order=tuple(int(b) for b in rng.permutation(rng.integers(3, 6))) if rng.random() < 0.12 else (0,),
        signed=signed,
        slope=slope,
        intercept=intercept,
        padding=-2000 if padded else None,
        overlap=float(rng.choice([1.0, 1.0, 1.0, 1.25])),
        windows=(bone, soft) if rng.random() < 0.2 else (bone,),
        kernel=str(rng.choice(["BONE", "BONEPLUS", "B60f", "Br64", "FC30", "YC"])),
    )
