"""Which files for a PACS and for viewers are asked for, and which of them a study allows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import ConfigError
from common.image_names import is_image_file

RESULT = "result.json"
SEG, REPORT, STRUCTURES = "segmentation.dcm", "report.dcm", "rtstruct.dcm"
SLICER, SUSPECTED = "mask.seg.nrrd", "suspected.seg.nrrd"
COLOUR_TABLE, LABEL_FILE = "colors.ctbl", "labels.txt"
USUAL = (SEG, REPORT, SLICER, SUSPECTED)
ON_REQUEST = (STRUCTURES, COLOUR_TABLE, LABEL_FILE)
IMPORTED_FOR = {
    SLICER: ("common.writing.seg_nrrd",),
    SEG: ("common.writing.source", "common.writing.dicom_seg"),
    REPORT: ("common.writing.dicom_sr",),
}
"""See `common.cli.registry.STEPS`."""


@dataclass(frozen=True)
class Asked:
    """`names` of `USUAL` and `ON_REQUEST` (others are no business of this folder); None: the usual ones that the study
    allows. `labelmap`, `anonymous`: as in `dicom_seg.segmentation`. `overwrite`: files that aren't ours, too."""

    names: tuple[str, ...] | None = None
    labelmap: bool = False
    anonymous: bool = False
    overwrite: bool = False

    def wanted(self, study: Path, has_result: bool) -> tuple[list[str], list[str]]:
        """What to write, and a sentence for what can't be."""
        wanted = [name for name in (*USUAL, *ON_REQUEST) if name in (USUAL if self.names is None else self.names)]
        notices = []
        if self.names is None and is_image_file(study):
            notices.append(f"not DICOM, so there is no {SEG} and no {REPORT}: they would have nothing to refer to")
            wanted = [name for name in wanted if not name.endswith(".dcm")]
        if REPORT in wanted and not has_result:
            notices.append(f"there is no {RESULT}, so there is no {REPORT}")
            wanted.remove(REPORT)
        return wanted, notices


USUALLY = Asked()


def check_outputs(study: Path, names: Sequence[str] | None) -> None:
    """Raises ConfigError for `names` that `study` can't get; None, as many as can be, is always right."""
    objects = [name for name in names or () if name.endswith(".dcm")]
    if objects and is_image_file(study):
        raise ConfigError(
            f"--outputs {','.join(objects)}: {study} isn't DICOM, so a DICOM object has nothing to refer to; give the "
            "DICOM study, or leave these outputs out"
        )
