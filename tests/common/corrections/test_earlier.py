"""Earlier versions are copied aside whole, and nothing of a user's is touched."""

from pathlib import Path

import pytest

from common.corrections.earlier import keep
from common.errors import OutputError
from common.outputs import store
from common.outputs.schema import PLAIN


def write(path: Path, text: str, recorded: bool = True) -> None:
    path.write_text(text)
    if recorded:
        store.write_record(path, {"study": "x"}, PLAIN)


def test_ours_are_copied_with_their_records_into_the_first_free_folder(tmp_path: Path) -> None:
    assert keep(tmp_path) is None
    write(tmp_path / "mask.nii.gz", "mask")
    write(tmp_path / "result.json", "result")
    (tmp_path / "result.json").write_text("edited")  # ours, changed since: what it is now is kept
    write(tmp_path / "notes.txt", "mine", recorded=False)
    write(tmp_path / "preview.png", "mine too", recorded=False)
    (tmp_path / "before-1").mkdir()
    (tmp_path / "before-2").write_text("a file of mine")
    assert keep(tmp_path) == "before-3"
    kept = {path.name: path.read_text() for path in (tmp_path / "before-3").iterdir()}
    assert {name for name in kept if not name.endswith(".record.json")} == {"mask.nii.gz", "result.json"}
    assert kept["mask.nii.gz"] == "mask" and kept["result.json"] == "edited"
    assert store.provenance_of(tmp_path / "before-3" / "mask.nii.gz") == {"study": "x"}
    assert not list((tmp_path / "before-1").iterdir()) and (tmp_path / "before-2").read_text() == "a file of mine"
    assert (tmp_path / "mask.nii.gz").read_text() == "mask"
    assert keep(tmp_path) == "before-4"


def test_a_copy_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "mask.nii.gz", "mask")

    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr("shutil.copy2", full)
    with pytest.raises(OutputError, match="disk is full"):
        keep(tmp_path)
    assert not list(tmp_path.glob("before-*")) and (tmp_path / "mask.nii.gz").read_text() == "mask"
