"""Where the masks of the vertebrae come from: stage 1's folder, or one made elsewhere with a label scheme's name."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.config import DataSettings
from common.errors import ConfigError, NothingFound
from common.image_names import SUFFIXES
from common.masks import files as mask_files
from common.masks.alternatives import alternatives_beside
from common.masks.schemes import NAMES, SCHEMES
from common.outputs.notices import kept_beside, seen_in_training
from stage2_classify.settings import MaskSettings


@dataclass(frozen=True)
class Masks:
    """A folder of masks `<uid>.nii.gz` (or .nii, .nrrd, .mha, .mhd) whose values follow `scheme`
    (`label_schemes.SCHEMES`), or of folders `<uid>` with one file per vertebra."""

    folder: Path
    scheme: str

    def path(self, uid: str) -> Path:
        """The mask of a study; NothingFound when there is none."""
        for ending in SUFFIXES:
            path = self.folder / f"{uid}{ending}"
            if path.is_file():
                return path
        if (self.folder / uid).is_dir():
            return self.folder / uid
        raise NothingFound(
            f"{self.folder / uid}.nii.gz: no mask of this study; run stage 1 (`make segment`) "
            "or name a folder that holds one (masks.folder)"
        )

    def seen_in_training(self, uid: str) -> bool:
        """Whether it is said that the network that made a study's mask had learned from its true one."""
        try:
            return bool(seen_in_training(self.path(uid)))
        except NothingFound:
            return False

    def provenance(self, uid: str) -> dict[str, Any]:
        """What a mask's use depends on: its bytes, what is said of it, and its scheme."""
        try:
            path = self.path(uid)
            said = {"notices": kept_beside(path), "alternatives": alternatives_beside(path)}
            return {"mask": mask_files.digest(path), **said, "scheme": self.scheme}
        except NothingFound:
            return {"mask": "absent", "scheme": self.scheme}


def masks_of(data: DataSettings, settings: MaskSettings) -> Masks:
    """Stage 1's masks (scheme "merged") unless `settings.folder` names others; ConfigError for an unknown folder
    or scheme."""
    if settings.scheme not in SCHEMES:
        raise ConfigError(f"masks.scheme is {settings.scheme!r}; known are {NAMES}")
    if settings.folder is None:
        return Masks(data.run / "masks", "merged")
    if not settings.folder.is_dir():
        raise ConfigError(
            f"masks.folder is {settings.folder}: no such folder; it must hold a mask "
            "<StudyInstanceUID>.nii.gz of each study, or a folder <StudyInstanceUID> with one file per vertebra"
        )
    return Masks(settings.folder, settings.scheme)
