"""Where stage 1 leaves what it makes."""

from dataclasses import dataclass
from pathlib import Path

from common.training.task import WEIGHTS


@dataclass(frozen=True)
class RunFolder:
    """The paths of a run that concern stage 1; see docs/architecture.md."""

    root: Path

    @property
    def stage(self) -> Path:
        return self.root / "stage1"

    def fold(self, fold: int) -> Path:
        return self.stage / f"fold{fold}"

    def weights(self, fold: int) -> Path:
        return self.fold(fold) / WEIGHTS

    def sample(self, uid: str) -> Path:
        return self.stage / "samples" / f"{uid}.npz"

    def mask(self, uid: str) -> Path:
        return self.root / "masks" / f"{uid}.nii.gz"

    def levels(self, uid: str) -> Path:
        return self.root / "masks" / f"{uid}.json"

    def preview(self, uid: str) -> Path:
        return self.root / "masks" / f"{uid}.png"
