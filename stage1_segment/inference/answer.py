"""What is written beside a mask: its levels, and everything there is to say about it."""

from typing import TYPE_CHECKING, Any

from common.masks.turned import KEY
from common.volume import Volume
from stage1_segment.inference.describe import describe

if TYPE_CHECKING:
    from stage1_segment.inference.segmenter import Segmentation

NO_LEVEL = "the mask names no cervical vertebra"


def levels_of(uid: str | None, ct: Volume, mask: Volume, result: "Segmentation", **more: Any) -> dict[str, Any]:
    """The content of `<mask>.json`: study, levels (`describe` of `mask`, which is the one that is written), the
    notices of the reader, of the segmentation and of the mask itself, in which directions the scan was turned round
    before, and `more`."""
    levels = describe(mask, result.confidence)
    notices = [*ct.notices, *result.notices]
    if not any(level["present"] for level in levels.values()):
        notices.append(NO_LEVEL)
    return {"study": uid, "levels": levels, "notices": notices, KEY: list(result.turned), **more}
