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
    task = ClassifyTask([broken_example(ct, mask, settings)], [], np.full(8, 0.3), settings)
    return Training(task, settings.train, settings)


def encode(ct: "Volume", mask: "Volume") -> Training:
    """Stage 2's encoder on patches, fractures drawn into half of them, as configs/real.yaml has it; random weights."""
    from stage2_classify.settings import ClassifySettings
    from stage2_classify.training.encoder_task import EncoderTask

    path, words = Path("configs/real.yaml"), ["encoder.init_from=null"]
    settings: ClassifySettings = load(path, "classify", ClassifySettings, words)[1]
    return Training(EncoderTask([healthy_example(ct, mask, settings)], settings), settings.encoder, settings)


def healthy_example(ct: "Volume", mask: "Volume", settings: "ClassifySettings") -> "Example":
    """The study's crops, nothing fractured."""
    from stage2_classify.crops.cut import cut_study
    from stage2_classify.training.samples import Example

    return Example("healthy", cut_study(ct, mask, settings.crops), np.zeros(8, np.float32))


def broken_example(ct: "Volume", mask: "Volume", settings: "ClassifySettings") -> "Example":
    """The same with C5 said to be fractured, in a box about its middle."""
    from stage2_classify.crops.cut import cut_study
    from stage2_classify.training.samples import Example

    middle = mask.grid.to_world(np.argwhere(mask.array == 5).mean(axis=0))
    labels = np.array([0, 0, 0, 0, 1, 0, 0, 1], np.float32)
    return Example("broken", cut_study(ct, mask, settings.crops, np.stack([middle - 8, middle + 8])[None]), labels)
