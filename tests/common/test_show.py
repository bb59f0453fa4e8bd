"""What a notebook shows of a study: the page's words, and mask and evidence where they are in the world."""

from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from common.labels import COLOURS, LEVELS, OVERALL
from common.operating_point import OPERATING_POINT
from common.reading.study import Study
from common.volume import Volume

AFFINE = np.array([[0, 0, -0.8, 40], [0.5, 0, 0, -70], [0, -0.6, 0, 300], [0, 0, 0, 1.0]])
"""Array axes run anterior, inferior, left."""
SPOT = (100, 140, 60)
CHANCES = {**dict.fromkeys((*LEVELS, OVERALL), 0.1), "C3": 0.8}


def scene() -> tuple[Study, Volume, SimpleNamespace]:
    """A scan with C2 and C3, and a result with evidence of 0.9 about SPOT, in C3."""
    hu = np.full((200, 260, 130), -100, np.int16)
    labels, evidence = np.zeros(hu.shape, np.uint8), np.zeros(hu.shape, np.float32)
    labels[90:110, 100:120, 50:70], labels[90:110, 130:150, 50:70] = 2, 3
    hu[labels > 0] = 500
    evidence[98:103, 138:143, 58:63], evidence[95, 110, 55] = 0.9, 0.4
    scan = Volume(hu, AFFINE)
    said = {"probabilities": CHANCES, "notice": "<b>bold</b>"}
    result = SimpleNamespace(evidence=scan.with_array(evidence), to_json=lambda: said)
    return Study(scan, (), None, scan.grid), scan.with_array(labels), result


def test_without_the_extra_it_is_a_figure_through_the_suspected_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.show.find_spec", lambda name: None)
    study, mask, result = scene()
    figure = study.show(SimpleNamespace(mask=mask), result)
    assert figure.get_suptitle().startswith("Fracture suspected. Probability (not calibrated) of any fracture: 10 %")
    assert [panel.get_title() for panel in figure.axes] == ["sagittal", "coronal", "axial"]
    sagittal, coronal, axial = ([image.get_array() for image in panel.images] for panel in figure.axes)
    for picture, labels, heat in (sagittal, coronal, axial):
        assert set(np.unique(labels[~labels.mask])) <= {2, 3} and 3 in labels
        assert (~heat.mask).any() and heat[~heat.mask].min() >= OPERATING_POINT
        assert picture[labels == 3].min() > picture[labels.mask].max()
    # C2 lies above C3, and the scan goes on further to the front (row 0 of `axial`) than behind.
    rows = {value: np.argwhere(sagittal[1] == value)[:, 0].mean() for value in (2, 3)}
    assert rows[2] < rows[3]
    alone = study.show()
    assert alone.get_suptitle() == "Scan and mask. " and all(len(panel.images) == 2 for panel in alone.axes)


def test_what_is_in_front_or_on_the_right_is_on_the_left(monkeypatch: pytest.MonkeyPatch) -> None:
    study, mask, _ = scene()
    hu = study.volume.array.copy()
    hu[110:115] = 1200  # in front of the vertebrae
    hu[:, :, 45:50] = 800  # on their right, as the last axis runs to the left
    scan = study.volume.with_array(hu)
    figure = Study(scan, (), None, scan.grid).show(mask, figure=True)
    sagittal, _, axial = (panel.images for panel in figure.axes)
    bright = np.argwhere(sagittal[0].get_array() > 220)[:, 1].mean()
    assert bright < np.argwhere(~sagittal[1].get_array().mask)[:, 1].mean()
    plane, labels = axial[0].get_array(), axial[1].get_array()
    assert np.argwhere((plane > 160) & (plane < 180))[:, 1].mean() < np.argwhere(~labels.mask)[:, 1].mean()
    assert np.argwhere(plane > 220)[:, 0].mean() < np.argwhere(~labels.mask)[:, 0].mean()


def test_a_mask_of_another_kind_is_refused() -> None:
    with pytest.raises(TypeError, match="found str"):
        scene()[0].show("mask.nii.gz")


def test_the_widget_holds_scan_mask_and_evidence() -> None:
    pytest.importorskip("ipyniivue")
    study, mask, result = scene()
    text, widget = study.show(mask, result).children
    assert "Fracture suspected" in text.value and "C3 80\xa0%" in text.value
    assert "&lt;b&gt;bold" in text.value and "<b>bold" not in text.value
    images = [nib.Nifti1Image.from_bytes(bytes(volume.data)) for volume in widget.volumes]
    scan, labels, evidence = (image.get_fdata() for image in images)
    world = images[1].affine @ [*np.argwhere(labels == 3).mean(axis=0), 1]
    np.testing.assert_allclose(world[:3], (AFFINE @ [99.5, 139.5, 59.5, 1])[:3], atol=0.5)
    assert abs(scan[labels == 3].mean() - 500) < 6 and evidence.max() == pytest.approx(0.9, abs=0.01)
    assert widget.volumes[2].cal_min == OPERATING_POINT
    table = np.array(widget.volumes[1].colormap_label.lut).reshape(-1, 4)
    assert table[0, 3] == 0 and table[3].tolist() == [*(round(255 * part) for part in COLOURS[3]), 255]
    looked_at = np.array(widget.scene.crosshair_pos) * labels.shape - 0.5
    assert labels[tuple(np.round(looked_at).astype(int))] == 3
