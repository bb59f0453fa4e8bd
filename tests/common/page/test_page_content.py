"""What stands in a study's page: its picture lies where the scan lies, it names nobody, and it needs no network."""

import base64
import gzip
import html
import json
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from common.labels import COLOURS, LEVELS
from common.page import page as page_module
from common.page.neck import WINDOW_HU, neck, on_neck
from common.page.page import centres, page
from common.page.words import percent, words
from common.resample import resample
from common.volume import Grid, Volume

STEP = 1500 / 255
TURNED = np.array([[0, 0, -0.8, 40], [0.5, 0, 0, -70], [0, -0.4, 0, 300], [0, 0, 0, 1.0]])
"""Array axes run anterior, inferior, left; voxels of 0.5 x 0.4 x 0.8 mm."""


def study(affine: np.ndarray = TURNED, shape: tuple[int, int, int] = (200, 260, 130)) -> tuple[Volume, Volume]:
    """A scan of whole HU in -300..1500, each voxel its own, and a mask of C2 (20 x 20 x 10 voxels) and C3."""
    hu = np.random.default_rng(0).integers(-300, 1500, shape).astype(np.int16)
    labels = np.zeros(shape, np.uint8)
    labels[90:110, 100:120, 60:70] = 2
    labels[90:110, 130:150, 60:70] = 3
    return Volume(hu, affine), Volume(labels, affine)


def embedded(text: str, name: str) -> bytes:
    return gzip.decompress(
        base64.b64decode(re.search(rf'<script type="text/plain" id="{name}">(.*?)</script>', text)[1])
    )


def image(text: str, name: str) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_bytes(embedded(text, name))


def test_every_voxel_lies_where_it_lay_and_has_the_value_that_it_had() -> None:
    scan, mask = study()
    text = page(scan, mask)
    picture, labels = image(text, "scan"), image(text, "mask")
    assert picture.shape == labels.shape and np.array_equal(picture.affine, labels.affine)
    assert np.asarray(picture.dataobj.get_unscaled()).dtype == np.uint8
    assert nib.aff2axcodes(picture.affine) == ("R", "A", "S")
    # The side of 0.4 mm is brought to 0.5; the others are the scan's own.
    np.testing.assert_allclose(picture.header.get_zooms(), (0.8, 0.5, 0.5), rtol=0.02)
    places = np.argwhere(np.asarray(labels.dataobj) > 0)
    world = Volume(np.zeros(labels.shape), labels.affine).grid.to_world(places)
    index = np.round(scan.grid.to_index(world)).astype(int)
    np.testing.assert_array_equal(mask.array[tuple(index.T)], np.asarray(labels.dataobj)[tuple(places.T)])


def test_without_resampling_the_picture_is_the_scan_in_steps() -> None:
    affine = TURNED @ np.diag([1, 1.5, 1, 1])  # no side below 0.5 mm
    scan, mask = study(affine)
    text = page(scan, mask)
    picture = image(text, "scan")
    every = np.argwhere(np.ones(picture.shape, bool))
    index = scan.grid.to_index(Volume(np.zeros(picture.shape), picture.affine).grid.to_world(every))
    whole = np.round(index).astype(int)
    assert np.abs(index - whole).max() < 1e-3  # the affine is kept in single precision
    there = np.clip(scan.array[tuple(whole.T)], *WINDOW_HU)
    assert np.abs(picture.get_fdata()[tuple(every.T)] - there).max() <= STEP / 2 + 1e-3
    # 30 mm of 0.5 x 0.6 x 0.8 mm are 60, 50 and 37.5 voxels; the box goes from 90, 100, 60 to 109, 149, 69.
    assert whole.min(axis=0).tolist() == [30, 50, 22] and whole.max(axis=0).tolist() == [169, 199, 107]


def test_resampled_values_lie_where_they_lay() -> None:
    shape, affine = (
        (220, 200, 120),
        np.array([[-0.3, 0, 0.02, 9], [0, -0.3, 0.1, 5], [0, 0.01, 0.7, -40], [0, 0, 0, 1.0]]),
    )
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    empty = Volume(np.zeros(shape, np.float32), affine)
    ramp = 4 * empty.grid.to_world(index) @ np.array([1, 2, 3]) + 300
    mask = np.zeros(shape, np.uint8)
    mask[100:120, 90:110, 50:70] = 4
    picture, _ = neck(empty.with_array(ramp.astype(np.float32)), empty.with_array(mask), 0.5)
    np.testing.assert_allclose(picture.spacing, (0.5, 0.5, 0.71), atol=0.02)
    at = np.stack(np.meshgrid(*map(np.arange, picture.array.shape), indexing="ij"), axis=-1)
    expected = 4 * picture.grid.to_world(at) @ np.array([1, 2, 3]) + 300
    found = picture.array * STEP + WINDOW_HU[0]
    inside = (expected > -190) & (expected < 1290)
    inside[[0, -1]] = inside[:, [0, -1]] = inside[:, :, [0, -1]] = False  # half a voxel beyond the crop's centres
    assert inside.sum() > 100_000 and np.abs(found - expected)[inside].max() < STEP / 2 + 0.05


def test_a_page_of_a_large_scan_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    scan, mask = study()
    whole = page(scan, mask)
    monkeypatch.setattr(page_module, "LARGEST_PICTURE", 300_000)
    text = page(scan, mask)
    assert len(re.search(r'id="scan">(.*?)<', text)[1]) <= 300_000 < len(re.search(r'id="scan">(.*?)<', whole)[1])
    assert image(text, "scan").header.get_zooms()[0] > 0.8
    fixed = len(whole) - len(re.search(r'id="scan">(.*?)<', whole)[1])
    monkeypatch.undo()
    assert page_module.LARGEST_PICTURE + fixed < 12e6 - 500_000  # room for an evidence map


def test_it_names_nobody_and_reaches_for_nothing() -> None:
    scan, mask = study()
    scan = Volume(scan.array, scan.affine, ("read by DOE^JANE",))
    text = page(
        scan, mask, None, {"study": "1.2.3", "levels": {}, "notices": [], "patient": "DOE^JANE"}, study="1.2.3.4"
    )
    own = re.sub(r'<script type="text/plain".*?</script>', "", text)
    assert "DOE^" not in own and "Study 1.2.3.4<" in own
    assert all(b"DOE^" not in embedded(text, name) for name in ("scan", "mask"))
    header = image(text, "scan").header
    assert all(not bytes(header[name]).strip(b"\0") for name in ("descrip", "aux_file", "intent_name", "db_name"))
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1])
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "http:" not in policy and "https:" not in policy and "unsafe-eval" not in policy
    assert not re.search(r"""(?:src|href|action)\s*=|https?://|url\(|@import|fetch\(""", own)


def test_what_comes_from_files_is_escaped() -> None:
    scan, mask = study()
    bad = '</script><img src="x" onerror="alert(1)">'
    about = {"levels": {"C2": {"flags": [bad], "confidence": 0.9}}, "notices": [bad]}
    text = page(scan, mask, None, about, study=bad)
    assert bad not in text and text.count("&lt;/script&gt;&lt;img") == 3


def test_a_level_without_a_probability_says_why() -> None:
    scan, mask = study()
    alone, judged = page(scan, mask), page(scan, mask, {"calibrated": CALIBRATED, "not_judged": ["C2"]})
    said = re.compile(r'class="nothing">([^<]*)<')
    assert said.findall(alone) == ["not in view", "found", "found", *["not in view"] * 4]
    assert said.findall(judged) == ["not in view", "not judged", *["not in view"] * 4]


def test_niivue_is_the_file_that_it_says() -> None:
    """The single-file build of npm's @niivue/niivue 0.69.0, as it came."""
    import hashlib

    source = Path(page_module.__file__).with_name("niivue") / "niivue.umd.js"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert digest == "47b896b77ec4a5be3ef1949c33ad393b6f45629921f326c279000bcf51bdb4af"
    text = page(*study())
    assert embedded(text, "niivue") == source.read_bytes()
    assert "Copyright (c) 2021, Niivue" in text


def test_colours_and_names_of_levels_are_those_of_the_project() -> None:
    text = page(*study())
    data = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])
    assert data["names"][2] == "C2" and data["colours"]["2"] == [round(255 * part) for part in COLOURS[2]]
    assert set(data["levels"]) == {"C2", "C3"}
    # Voxels 90..109, 100..119, 60..69: the middle of a box lies deepest, and its world place is the affine's.
    expected = TURNED @ [99.5, 109.5, 64.5, 1]
    np.testing.assert_allclose(data["levels"]["C2"], expected[:3], atol=0.9)


def test_one_looks_at_the_body_and_not_at_the_canal_behind_it() -> None:
    labels = np.zeros((40, 60, 20), np.uint8)
    labels[10:30, 35:50, 4:16] = 5  # a body 15 mm deep
    labels[[10, 29], 15:35, 6:14] = 5  # pedicles and laminae, thin
    labels[10:30, 15:17, 6:14] = 5
    place = centres(Volume(labels, np.eye(4)))["C5"]
    assert labels[tuple(np.round(place).astype(int))] == 5
    assert 36 <= place[1] <= 48 and abs(place[0] - 19.5) <= 1 and 8 <= place[2] <= 11


def test_evidence_lies_on_the_picture() -> None:
    scan, mask = study()
    coarse = Volume(np.zeros((30, 30, 30), np.float32), np.diag([4, 4, 4, 1.0]) + 0)
    affine = coarse.affine.copy()
    affine[:3, 3] = mask.grid.to_world([100, 110, 65]) - 4 * 15
    spot = np.zeros((30, 30, 30), np.float32)
    spot[15, 15, 15] = 0.8
    spot[0, 0, 0] = np.nan
    text = page(scan, mask, evidence=Volume(spot, affine))
    found = image(text, "evidence")
    peak = np.unravel_index(found.get_fdata().argmax(), found.shape)
    np.testing.assert_allclose(found.affine @ [*peak, 1], [*mask.grid.to_world([100, 110, 65]), 1], atol=0.8)
    assert 0.7 < found.get_fdata().max() <= 0.81
    assert 'data-layer="evidence"' in text and 'data-layer="evidence"' not in page(scan, mask)


@pytest.mark.parametrize("picture_mm, evidence_mm", [(0.5, 0.7), (1.9, 0.4), (2.1, 0.4), (0.5, 4.0)])
@pytest.mark.parametrize("places", [((0.5, 0.5, 0.5), (0.6, 0.55, 0.4)), ((0, 0, 0), (0.99, 0.99, 0.99)), ()])
def test_evidence_is_looked_for_where_there_is_some_and_nothing_is_left_out(picture_mm, evidence_mm, places) -> None:
    """Against resampling all of it: 40 mm about the origin; the picture is 60 mm wide, a bit aside."""
    side = round(40 / evidence_mm)
    array = np.zeros((side,) * 3, np.float32)
    for place in places:
        last = (np.array(place) * side).astype(int)
        array[tuple(slice(max(n - 1, 0), n + 1) for n in last)] = 0.9
    evidence = Volume(array, Grid.around([0, 0, 0], [40] * 3, evidence_mm).affine)
    grid = Grid.around([3, -2, 1], [60] * 3, picture_mm)
    picture = Volume(np.zeros(grid.shape, np.uint8), grid.affine)
    plain = np.round(255 * resample(evidence, grid, fill=0).array)
    found = on_neck(evidence, picture).array
    assert found.dtype == np.uint8 and (found == plain).all()
    assert found.any() == bool(places)


def test_a_page_without_labels_shows_the_whole_scan() -> None:
    scan, mask = study(shape=(120, 155, 75))
    text = page(scan, mask.with_array(np.zeros_like(mask.array)), {"probabilities": {"patient_overall": 0.9}})
    assert "No cervical vertebra in view" in text and "Fracture suspected" not in text
    assert image(text, "scan").shape == (75, 120, 124)  # left, anterior and, brought from 0.4 to 0.5 mm, inferior
    assert len(re.findall(r"<button[^>]* disabled\s", text)) == 7


SEEN = {level: (0, 0, number) for number, level in enumerate(LEVELS)}
CALIBRATED = {**dict.fromkeys(LEVELS, 0.02), "C5": 0.67, "C7": 0.004, "patient_overall": 0.74}


def test_the_headline_says_whether_a_fracture_is_suspected() -> None:
    result = {"probabilities": dict.fromkeys(CALIBRATED, 0.9), "calibrated": CALIBRATED, "flags": {"C3": ["small"]}}
    said = words(SEEN, result, {"levels": {"C3": {"flags": ["cut"], "confidence": 0.98}}})
    assert (said.headline, said.state) == ("Fracture suspected", "suspected")
    assert said.explained.replace("\xa0", " ") == "Calibrated probability of any fracture: 74 %. At C5 (67 %)."
    assert said.levels[2].flags == ("cut", "small") and said.levels[2].certainty == percent(0.98)
    assert [level.suspected for level in said.levels] == [False] * 4 + [True, False, False]
    assert said.levels[6].chance == "<\xa01\xa0%" and said.kind == "calibrated probability"
    calm = words(SEEN, {**result, "calibrated": {**CALIBRATED, "C5": 0.2, "patient_overall": 0.24}}, None)
    assert (calm.headline, calm.state) == ("No fracture suspected", "clear") and "24\xa0%" in calm.explained
    near = words(SEEN, {**result, "calibrated": {**CALIBRATED, "C5": 0.2, "patient_overall": 0.25}}, None)
    assert (near.headline, near.state) == ("Indeterminate", "indeterminate")
    assert near.explained.replace("\xa0", " ").endswith("Most likely at C5 (20 %). Suspected from 50 % on.")
    many = words(SEEN, {**result, "calibrated": {**CALIBRATED, "C5": 0.4, "patient_overall": 0.5}}, None)
    assert many.headline == "Fracture suspected" and "Most likely at C5 (40\xa0%)" in many.explained


def test_a_suspected_level_is_looked_at_where_its_evidence_is_largest() -> None:
    peaks = {level: {"value": 0.9, "ras_mm": [5.0, 6.0, 7.0]} for level in ("C4", "C5")}
    said = words(SEEN, {"calibrated": CALIBRATED, "evidence_peaks": peaks}, None).levels
    assert said[4].suspected and said[4].place == (5, 6, 7)
    assert said[3].place == SEEN["C4"] and said[6].place == SEEN["C7"]
    assert words(SEEN, {"calibrated": CALIBRATED}, None).levels[4].place == SEEN["C5"]


def test_the_operating_point_is_that_of_the_result() -> None:
    result = {"calibrated": {**CALIBRATED, "patient_overall": 0.74}, "operating_point": 0.75}
    assert words(SEEN, result, None).state == "indeterminate"
    low = {"calibrated": dict.fromkeys(CALIBRATED, 0.37), "operating_point": 0.75}
    assert words(SEEN, low, None).state == "clear"
    result["operating_point"] = 0.02
    said = words(SEEN, result, None)
    assert [level.suspected for level in said.levels] == [True] * 6 + [False]
    assert said.suspected_from.replace("\xa0", " ") == "2 %" and words(SEEN, None, None).suspected_from[:2] == "50"
    assert "suspected from 2\xa0% on" in page(*study(), result)


def test_a_level_that_may_be_another_is_doubted() -> None:
    levels = {
        "C2": {"confidence": 0.97, "certainty": 0.9, "alternatives": {"C2": 0.9, "C3": 0.1}},
        "C3": {"confidence": 0.97, "certainty": 0.55, "alternatives": {"C3": 0.55, "C4": 0.45}},
    }
    said = words(SEEN, None, {"levels": levels}).levels
    assert (said[1].certainty, said[1].doubted, said[1].alternatives) == (percent(0.9), False, "")
    assert (said[2].certainty, said[2].doubted) == (percent(0.55), True)
    assert said[2].alternatives == f"C3 {percent(0.55)}, C4 {percent(0.45)}"
    text = page(*study(), about_mask={"levels": levels})
    assert text.count('class="certainty doubted"') == 1
    assert f"may be C3 {percent(0.55)}" in text and f"may be C2 {percent(0.9)}" not in text


def test_what_is_not_known_is_not_said() -> None:
    none = words(SEEN, None, None)
    assert (none.headline, none.state) == ("Not examined for fractures", "unknown")
    assert all(level.chance == "" and level.probability is None for level in none.levels)
    raw = words(SEEN, {"probabilities": CALIBRATED, "calibrated": None}, None)
    assert (
        raw.explained.startswith("Probability (not calibrated) of any fracture: 74")
        and raw.kind == "probability, not calibrated"
    )
    partly = words({"C5": (0, 0, 0)}, {"calibrated": {**CALIBRATED, "C2": 0.9}}, None)
    assert "C2" not in partly.explained.partition("Not in view:")[0] and partly.levels[1].chance == ""
    assert "Not in view: C1, C2, C3, C4, C6, C7" in partly.explained
    assert words({}, {"calibrated": CALIBRATED}, None).headline == "No cervical vertebra in view"
    unjudged = words(SEEN, {"calibrated": CALIBRATED, "not_judged": ["C2", "C5"]}, None)
    assert unjudged.levels[4].chance == "" and unjudged.levels[3].chance and "Not judged: C2, C5" in unjudged.explained
    nothing = words(SEEN, {"calibrated": CALIBRATED, "not_judged": list(SEEN)}, None)
    assert (nothing.headline, nothing.state) == ("Not examined for fractures", "unknown")
    assert "could be judged" in nothing.explained and not any(level.chance for level in nothing.levels)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 %"), (0.004, "< 1 %"), (0.126, "13 %"), (0.996, "> 99 %"), (1, "100 %")]
)
def test_percent(value: float, text: str) -> None:
    assert percent(value).replace("\xa0", " ") == text
