"""The crops of one study from a scan and a mask that were given, as files or in memory."""

from dataclasses import replace
from pathlib import Path
from typing import Protocol

from common.masks.alternatives import Alternatives, alternatives_beside
from common.masks.schemes import whole_numbers
from common.masks.segmentation import IN_MEMORY, mask_on, segmentation_on
from common.masks.turned import turned, turned_beside
from common.resample import canonical
from common.volume import Volume
from stage2_classify.crops.cut import Crops, cut_study, shrink_study
from stage2_classify.settings import ClassifySettings


class Segmented(Protocol):
    """What a segmentation of a scan says, such as stage 1's: `mask` (X, Y, Z) of common.labels; `notices`, a sentence
    each; `turned`, the directions in which the scan's header was found to be wrong."""

    @property
    def mask(self) -> Volume: ...
    @property
    def notices(self) -> tuple[str, ...]: ...
    @property
    def turned(self) -> tuple[str, ...]: ...


Mask = Volume | Segmented | Path | str
"""A mask's file or folder, its values in memory, or a whole prediction of stage 1."""


def crops_of(scan: Volume, mask: Mask, scheme: str, settings: ClassifySettings) -> Crops:
    """CT (X, Y, Z) in HU and its mask, whose values follow `scheme` -> crops as `settings` have them.

    Raises what `segmentation_on` does; TypeError for a mask of none of these kinds."""
    ct = canonical(scan)
    if settings.network.kind == "naive":
        return shrink_study(ct, settings.crops)
    labels, turn = labels_on(ct, mask, scheme)
    return replace(
        cut_study(turned(ct, turn), turned(labels, turn), settings.crops), alternatives=alternatives_of(mask)
    )


def alternatives_of(mask: Mask) -> Alternatives:
    """What each level of a mask may be instead, as far as stage 1 says."""
    if isinstance(mask, str | Path):
        return alternatives_beside(Path(mask))
    return getattr(getattr(mask, "certainty", None), "alternatives", {})


def turn_of(mask: Mask) -> tuple[str, ...]:
    """The directions in which stage 1 found the scan's header to be wrong, for its own masks; crops lie in the world as
    it truly is."""
    if isinstance(mask, str | Path):
        return turned_beside(Path(mask))
    return () if isinstance(mask, Volume) else mask.turned


def labels_on(ct: Volume, mask: Mask, scheme: str) -> tuple[Volume, tuple[str, ...]]:
    """The mask on the scan's grid, and the directions in which both are to be turned round. Raises as `crops_of`."""
    if isinstance(mask, str | Path):
        path = Path(mask)
        return segmentation_on(ct, path, scheme), turned_beside(path)
    if isinstance(mask, Volume):
        whole = mask.with_array(whole_numbers(mask.array, IN_MEMORY))
        return mask_on(ct, whole, scheme), ()
    if isinstance(getattr(mask, "mask", None), Volume):
        said = Volume(mask.mask.array, mask.mask.affine, (*mask.mask.notices, *mask.notices))
        return mask_on(ct, said, "merged", own=True, turned=mask.turned), mask.turned
    raise TypeError(f"expected a path, a Volume or a segmentation as mask, found {type(mask).__name__}")
