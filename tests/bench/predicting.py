"""One study segmented, one classified: ours, and networks that others use. What a way needs is made when it first
runs, so that its memory is its own."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.compare import Way, lacks
from tests.bench.studies import SMALL, pair, volume

if TYPE_CHECKING:
    from torch import nn

    from stage1_segment import Segmenter
    from stage2_classify import Classifier

STAGES = (4, 8, 8)
"""Of the peer's network, when small."""


def segment(out: Path) -> list[Way]:
    """One study of 512 x 512, from array to mask on its own grid: ours, and nnU-Net as TotalSegmentator runs it."""
    scan, missing = volume(out), lacks("dynamic_network_architectures")
    window = 32 if SMALL else 128

    def peer(spacing_mm: float, step: float) -> Callable[[], object]:
        def run() -> object:
            from tests.bench import nnunet

            return nnunet.segment(_nnunet(), scan.array, scan.spacing, spacing_mm, step, window)

        return run

    return [
        Way("ours, both passes", lambda: _segmenter()(scan)),
        Way("nnU-Net, 1.5 mm, step 0.8", peer(1.5, 0.8), missing),
        Way("nnU-Net, 1.5 mm, step 0.5", peer(1.5, 0.5), missing),
        Way("nnU-Net, 3 mm (its fast mode), step 0.5", peer(3.0, 0.5), missing),
    ]


def classify(out: Path) -> list[Way]:
    """A synthetic study with its true mask, from arrays to probabilities: ours, and the winner's 2.5D recipe, one
    network each."""
    scan, mask = pair(out).volumes()
    size = 64 if SMALL else 224

    def peer() -> object:
        from tests.bench import recipe25d

        return recipe25d.classify(_recipe(), scan.array, mask.array, scan.spacing, size)

    return [
        Way("ours", lambda: _classifier()(scan, mask)),
        Way(f"2.5D recipe, {size} x {size}", peer, lacks("timm")),
    ]


@cache
def _segmenter() -> "Segmenter":
    from stage1_segment import Segmenter

    return Segmenter.pretrained()


@cache
def _classifier() -> "Classifier":
    from stage2_classify import Classifier

    return Classifier.pretrained()


@cache
def _nnunet() -> "nn.Module":
    from tests.bench import nnunet

    return nnunet.build(STAGES if SMALL else nnunet.STAGES)


@cache
def _recipe() -> "nn.Module":
    from tests.bench.recipe25d import Recipe

    return Recipe().eval()
