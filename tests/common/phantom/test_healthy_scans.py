"""Healthy synthetic scans for stage 2 to draw fractures into: where they lie, what they show."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from common.errors import ConfigError
from common.phantom.bank import healthy_scans
from common.phantom.bank.healthy_scans import main, plan_healthy


def test_plans_are_the_cohort_s_persons_without_a_fracture() -> None:
    one, again, fine = (plan_healthy(3, 5, mm) for mm in (0.4, 0.4, 0.35))
    assert one == again and {plan.digest() for plan in one}.isdisjoint(plan.digest() for plan in fine)
    for plan in one:
        person = plan.person(400)
        assert not plan.fractures and len(plan.must_show) == 7
        assert person.pixel_mm == person.slice_mm == 0.4 and not person.metal and person.contrast == 0


@pytest.mark.slow
def test_scans_and_masks_of_the_same_names_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--out", str(tmp_path), "--scans", "1", "--seed", "3", "--voxel-mm", "1.6", "--workers", "1"]
    assert main(words) == 0
    scan, mask = (nib.load(tmp_path / part / "healthy_3_0000.nii.gz") for part in ("scans", "masks"))
    assert scan.header.get_zooms() == pytest.approx([1.6] * 3) and np.allclose(scan.affine, mask.affine)
    values, hu = np.asarray(mask.dataobj), np.asarray(scan.dataobj)
    assert np.unique(values).tolist() == list(range(9))
    assert hu[values > 0].mean() > 250 and hu.min() < -900

    monkeypatch.setattr(healthy_scans, "render", None)
    assert main(words) == 0
    with pytest.raises(ConfigError, match=r"--voxel-mm 0\.1: expected 0\.2 to 2\.0 mm"):
        main([*words, "--voxel-mm", "0.1"])
