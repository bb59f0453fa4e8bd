"""The trainings that `train` does, each on one synthetic study with its mask."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.config import load

if TYPE_CHECKING:
    from common.training.task import Task, TrainSettings
    from common.volume import Volume
    from stage2_classify.settings import ClassifySettings
    from stage2_classify.training.samples import Example


@dataclass(frozen=True, eq=False)
class Training:
    """A task, how it is trained, and all settings of its stage."""

    task: "Task"
    train: "TrainSettings"
    settings: Any


def segment(ct: "Volume", mask: "Volume") -> Training:
    """Stage 1's, as configs/phantom.yaml has it."""
    from stage1_segment.settings import SegmentSettings
    from stage1_segment.training.patches import CohortSamples
    from stage1_segment.training.samples import make_sample
    from stage1_segment.training.task import SegmentTask

    settings: SegmentSettings = load(Path("configs/phantom.yaml"), "segment", SegmentSettings, [])[1]
    samples = CohortSamples([make_sample(ct, mask, settings.patch.fine_mm)], settings)
    return Training(SegmentTask(settings, samples, []), settings.train, settings)


def classify(ct: "Volume", mask: "Volume") -> Training:
    """Stage 2's whole network on whole studies, as configs/phantom.yaml has it."""
    from stage2_classify.settings import ClassifySettings
    from stage2_classify.training.task import ClassifyTask

    settings: ClassifySettings = load(Path("configs/phantom.yaml"), "classify", ClassifySettings, [])[1]
    task = ClassifyTask([example(ct, mask, settings)], [], np.full(8, 0.3), settings)
    return Training(task, settings.train, settings)


def encode(ct: "Volume", mask: "Volume") -> Training:
    """Stage 2's encoder on patches, as configs/real.yaml has it; random weights."""
    from stage2_classify.settings import ClassifySettings
    from stage2_classify.training.encoder_task import EncoderTask

    path, words = Path("configs/real.yaml"), ["encoder.init_from=null"]
    settings: ClassifySettings = load(path, "classify", ClassifySettings, words)[1]
    return Training(EncoderTask([example(ct, mask, settings)], settings), settings.encoder, settings)


def example(ct: "Volume", mask: "Volume", settings: "ClassifySettings") -> "Example":
    """The study's crops, and the middle one of its levels said to be fractured, in a box about its middle."""
    from stage2_classify.crops.cut import cut_study
    from stage2_classify.training.samples import Example

    levels = [number for number in range(1, 8) if (mask.array == number).any()]
    broken = levels[len(levels) // 2]
    middle = mask.grid.to_world(np.argwhere(mask.array == broken).mean(axis=0))
    labels = np.zeros(8, np.float32)
    labels[[broken - 1, 7]] = 1
    return Example("study", cut_study(ct, mask, settings.crops, np.stack([middle - 8, middle + 8])[None]), labels)
