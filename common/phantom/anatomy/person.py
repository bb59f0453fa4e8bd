"""What is drawn once about a subject and its scan, and is needed by more than one part of the picture."""

import zlib
from dataclasses import dataclass

import numpy as np


def stream(seed: int, study: int, purpose: str) -> np.random.Generator:
    """The generator for one purpose ("posture", "noise", ...) of study number `study` of a cohort."""
    return np.random.default_rng([seed, study, zlib.crc32(purpose.encode())])


@dataclass(frozen=True)
class Person:
    """A subject and how it lies in the scanner. Lengths in mm, angles in degrees."""

    seed: int
    study: int
    age: float
    size: float
    """Scale of the skeleton, 1 = an average adult; women's mean is 0.94, men's 1.04."""
    asymmetry: float
    """0..1, how much left differs from right."""
    degeneration: float
    """0..1: osteophytes, narrowed discs, sclerosis."""
    fatness: float
    """0..1: thickness of the fat below the skin and between the muscles."""
    lordosis: float
    """Angle between C2 and C7, about 20; below 0 is kyphosis."""
    flexion: float
    lateral_bend: float
    rotation: float
    """Of the head against the shoulders, shared out along the column, half of it between C1 and C2."""
    contrast: float
    """HU that the vessels have above blood; 0 = none given."""
    metal: bool
    """Dental fillings, or a plate or screws far from any fracture."""
    top_cut: float
    """How much of the head the scan leaves out: 0 shows the skull base above C1 with 25 mm to spare, 1 begins
    in the middle of C2."""
    bottom_cut: float
    """0 shows T3, 1 ends in the middle of C6; most scans lie below 0.5."""
    dose: float
    """1 = usual; noise grows as it falls."""
    kernel: float
    """0 = smooth, 1 = sharp bone kernel with edge overshoot."""
    pixel_mm: float
    slice_mm: float
    shift: tuple[float, float]
    """Of the neck from the middle of the field of view, right and anterior."""
    bone: str = "drawn"
    """A key of `painting.bone_look.LOOKS`."""

    def stream(self, purpose: str) -> np.random.Generator:
        return stream(self.seed, self.study, purpose)


def make_person(seed: int, study: int, matrix: int = 256) -> Person:
    """Draws a subject. Real necks in the competition: pixel 0.35 mm on average at 512 x 512, so 180 mm across."""
    rng = stream(seed, study, "person")
    age = float(np.clip(rng.normal(52, 20), 18, 95))
    return Person(
        seed=seed,
        study=study,
        age=age,
        size=float(np.clip(rng.normal(rng.choice([0.94, 1.04]), 0.04), 0.84, 1.16)),
        asymmetry=float(rng.beta(2, 4)),
        degeneration=float(np.clip((age - 35) / 55 + rng.normal(0, 0.18), 0, 1)),
        fatness=float(rng.beta(2, 3)),
        lordosis=float(np.clip(rng.normal(16, 11), -12, 42)),
        flexion=float(np.clip(rng.normal(0, 6), -14, 14)),
        lateral_bend=float(np.clip(rng.normal(0, 3.5), -9, 9)),
        rotation=float(np.clip(rng.normal(0, 7), -20, 20)),
        contrast=float(rng.uniform(120, 350)) if rng.random() < 0.25 else 0.0,
        metal=bool(rng.random() < 0.2),
        top_cut=float(rng.uniform(0.75, 1.0)) if rng.random() < 0.03 else float(rng.uniform(0, 0.45)),
        bottom_cut=float(rng.uniform(0.75, 1.0)) if rng.random() < 0.05 else float(rng.uniform(0, 0.5)),
        dose=float(rng.lognormal(0, 0.3)),
        kernel=float(rng.beta(3, 2)),
        pixel_mm=float(np.clip(rng.normal(180, 18), 145, 225) / matrix),
        slice_mm=float(rng.choice([0.8, 1.0, 1.0, 1.25])),
        shift=(float(rng.normal(0, 5)), float(rng.normal(0, 5))),
    )
