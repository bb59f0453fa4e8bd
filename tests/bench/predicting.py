"""One study segmented, one classified: ours, and networks that others use. What a way needs is made when it first
runs, so that its memory is its own."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.compare import Way, lacks
from tests.bench.studies import SMALL, pair, volume

if TYPE_CHECKING:
    from torch import nn

    from common.volume import Volume
    from stage1_segment import Segmenter
    from stage2_classify import Classifier

STAGES = (4, 8, 8)
"""Of the peer's network, when small."""


def segment(out: Path) -> list[Way]:
    """One study of 512 x 512, from array to mask on its own grid: ours, and nnU-Net as TotalSegmentator runs it."""
    scan, missing = volume(out), lacks("dynamic_network_architectures")
    return [
        Way("ours, both passes", lambda: _segmenter()(scan)),
        Way("nnU-Net, 1.5 mm, step 0.8", _peer(scan, 1.5, 0.8), missing),
        Way("nnU-Net, 1.5 mm, step 0.5", _peer(scan, 1.5, 0.5), missing),
        Way("nnU-Net, 3 mm (its fast mode), step 0.5", _peer(scan, 3.0, 0.5), missing),
    ]


def segment_bfloat16(out: Path) -> list[Way]:
    """The same with ours in bfloat16; the peer as it runs, in 32 bits, and in bfloat16, too."""
    scan, missing = volume(out), lacks("dynamic_network_architectures")
    return [
        Way("ours, both passes", lambda: _segmenter("bf16-mixed")(scan)),
        Way("nnU-Net, 1.5 mm, step 0.8, 32 bits", _peer(scan, 1.5, 0.8), missing),
        Way("the same in bfloat16", _peer(scan, 1.5, 0.8, "bf16-mixed"), missing),
        Way("nnU-Net, 3 mm (its fast mode), 32 bits", _peer(scan, 3.0, 0.5), missing),
    ]


def _peer(scan: "Volume", spacing_mm: float, step: float, precision: str = "32-true") -> Callable[[], object]:
    def run() -> object:
        import torch

        from common.device import autocast
        from tests.bench import nnunet

        with autocast(torch.device("cpu"), precision):
            window = 32 if SMALL else 128
            return nnunet.segment(_nnunet(), scan.array, scan.spacing, spacing_mm, step, window)

    return run


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
def _segmenter(precision: str = "32-true") -> "Segmenter":
    from stage1_segment import Segmenter

    segmenter = Segmenter.pretrained()
    return replace(segmenter, predict=segmenter.predict.model_copy(update={"precision": precision}))


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
