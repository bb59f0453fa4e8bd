"""Stage 1: finds C1..C7 in a CT of the neck and outlines them.

In: CT studies; for training, segmentations or label maps.
Out: a mask per study on its own grid, its levels as JSON, a picture.
Start reading: __main__.py, run_folder.py.

    segmentation = Segmenter.pretrained()(common.read_study("scan.zip"))
"""

from typing import TYPE_CHECKING

from common.lazy import lazy

if TYPE_CHECKING:
    from stage1_segment.inference.segmenter import Segmentation, Segmenter

__all__ = ["Segmentation", "Segmenter"]
__getattr__ = lazy(__name__, dict.fromkeys(__all__, "stage1_segment.inference.segmenter"))
