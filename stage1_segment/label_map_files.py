"""The label maps of a bank, from which synthetic scans are made."""

from pathlib import Path

from common.errors import DatasetError


def bank_files(folder: Path) -> list[Path]:
    """The label maps of a bank, by name. Raises DatasetError when there are none."""
    files = sorted(Path(folder).glob("*.nii.gz"))
    if not files:
        raise DatasetError(
            f"{folder}: no anatomy bank (<name>.nii.gz) there; make one: python -m common.phantom.bank --out {folder}"
        )
    return files
