"""The page of a study's folder: made of what belongs together there, and gone with it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_study import write_ct, write_mask

from common.errors import OutputError
from common.masks.values import count_values
from common.outputs import store
from common.outputs.out_folder import answer_at
from common.page.from_folder import show_early, write_page

CHANCES = {"patient_overall": 0.8, "C3": 0.7}


def left_by_the_stages(study: Path, out: Path, notice: str = "a notice of the mask") -> None:
    """mask.nii.gz, mask.json and result.json, each with its record."""
    with answer_at([out / "mask.nii.gz", out / "mask.json"], study, out / "mask.nii.gz") as about:
        write_mask(out / "mask.nii.gz")
        store.write_json(out / "mask.json", {"levels": {"C3": {"confidence": 0.91}}, "notices": [notice]})
        for name in ("mask.nii.gz", "mask.json"):
            store.write_record(out / name, about)
    with answer_at([out / "result.json"], study, out / "mask.nii.gz") as about:
        store.write_json(out / "result.json", {"probabilities": CHANCES, "calibrated": CHANCES, "notices": []})
        store.write_record(out / "result.json", about)


def test_it_shows_what_lies_in_the_folder(tmp_path: Path) -> None:
    study, out = write_ct(tmp_path / "JANE_DOE.nii.gz"), tmp_path / "out"
    left_by_the_stages(study, out)
    write_page(out, study)
    text = (out / "result.html").read_text()
    assert "<h1>Fracture suspected</h1>" in text and "a notice of the mask" in text and "91\xa0%" in text
    assert "JANE" not in text  # a file's name may be a person's
    first = store.provenance_of(out / "result.html")
    assert first["result.json"] == store.digest_file(out / "result.json")
    write_page(out, study)  # replaces its own
    left_by_the_stages(study, out)
    assert not (out / "result.html").exists()  # the page of a mask goes with it


def test_what_is_about_another_mask_or_nobodys_is_not_shown(tmp_path: Path) -> None:
    study, out = write_ct(tmp_path / "ct.nii.gz"), tmp_path / "out"
    left_by_the_stages(study, out)
    provenance = store.provenance_of(out / "result.json")
    store.write_record(out / "result.json", {**provenance, "mask_file": "another.nii.gz"})
    (out / "mask.json.record.json").unlink()
    write_page(out, study)
    text = (out / "result.html").read_text()
    assert "<h1>Not examined for fractures</h1>" in text and "a notice of the mask" not in text


def test_what_was_made_early_gives_the_same_page_and_is_left_where_the_mask_changed(tmp_path: Path) -> None:
    study, out = write_ct(tmp_path / "ct.nii.gz"), tmp_path / "out"
    left_by_the_stages(study, out)
    early = show_early(out, study)
    assert early.digest == store.digest_file(out / "mask.nii.gz") and count_values(early.shown.labels.array)[3]
    write_page(out, study)
    text = (out / "result.html").read_text()
    write_page(out, study, early=lambda: early)
    assert (out / "result.html").read_text() == text
    changed = early.shown.files["scan"][::-1]
    other = replace(early.shown, files={**early.shown.files, "scan": changed})
    write_page(out, study, early=lambda: replace(early, shown=other))
    assert changed in (out / "result.html").read_text()  # it is what is shown
    write_page(out, study, early=lambda: replace(early, shown=other, digest="of another mask"))
    assert (out / "result.html").read_text() == text
    with pytest.raises(OutputError, match="of a thread"):
        write_page(out, study, early=_fails)
    assert not (out / "result.html").exists()


def _fails() -> None:
    raise OutputError("of a thread")


def test_nothing_without_a_mask_and_nobodys_file_is_replaced(tmp_path: Path) -> None:
    study, out = write_ct(tmp_path / "ct.nii.gz"), tmp_path / "out"
    out.mkdir()
    write_page(out, study)
    assert list(out.iterdir()) == []
    left_by_the_stages(study, out)
    (out / "result.html").write_text("mine")
    with pytest.raises(OutputError, match="isn't an output of this project"):
        write_page(out, study)
    assert (out / "result.html").read_text() == "mine"


@pytest.mark.slow
def test_the_whole_page_of_512_by_512_slices_stays_under_12_mb(tmp_path: Path) -> None:
    """Noise of 25 HU in 0.4 x 0.4 x 0.6 mm is harder to pack than most scans."""
    from common.page.page import page
    from common.volume import Volume

    shape = (512, 512, 300)
    noise = np.random.default_rng(0).normal(60, 25, (512, 512, 1)).astype(np.int16)
    scan = np.concatenate([np.roll(noise, 7 * k, axis=0) for k in range(shape[2])], axis=2)
    labels = np.zeros(shape, np.uint8)
    labels[150:370, 150:400, 20:280] = 3
    affine = np.diag([0.4, 0.4, 0.6, 1])
    text = page(Volume(scan, affine), Volume(labels, affine), json.loads('{"probabilities": {"patient_overall": 0.1}}'))
    assert 8e6 < len(text.encode()) < 12e6
