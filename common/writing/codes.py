"""What labels are called in DICOM: SNOMED codes, names and colours."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from common.labels import CLASS_NAMES, COLOURS, LEVEL_IDS, THORACIC

if TYPE_CHECKING:
    from highdicom.color import CIELabColor

ANATOMY: Code = codes.SCT.AnatomicalStructure
ABNORMAL: Code = codes.SCT.MorphologicallyAbnormalStructure
FRACTURE = Code("72704001", "SCT", "Fracture")
CERVICAL_SPINE: Code = codes.SCT.CervicalSpine
SUSPECTED = THORACIC + 1
"""Value of the segment "suspected fracture"; no mask holds it."""
SUSPECTED_COLOUR = (1.0, 0.0, 0.0)


@dataclass(frozen=True)
class Coded:
    """`value` in a mask, `name` for people, `category` and `kind` for machines, `rgb` in 0..1."""

    value: int
    name: str
    category: Code
    kind: Code
    rgb: tuple[float, float, float]

    @property
    def cielab(self) -> "CIELabColor":
        """The colour as DICOM stores it."""
        from highdicom.color import CIELabColor

        return CIELabColor.from_rgb(*(255 * part for part in self.rgb))


VERTEBRAE: dict[str, Code] = {level: getattr(codes.SCT, f"{level}Vertebra") for level in LEVEL_IDS}
CODED = {
    **{v: Coded(v, level, ANATOMY, VERTEBRAE[level], COLOURS[v]) for level, v in LEVEL_IDS.items()},
    THORACIC: Coded(THORACIC, CLASS_NAMES[THORACIC], ANATOMY, codes.SCT.ThoracicSpine, COLOURS[THORACIC]),
    SUSPECTED: Coded(SUSPECTED, "suspected fracture", ABNORMAL, FRACTURE, SUSPECTED_COLOUR),
}
"""By the mask's value."""
