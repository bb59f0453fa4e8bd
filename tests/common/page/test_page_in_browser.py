"""A study's page in headless Chromium, with real clicks and keys, at the size of a desktop's and a laptop's window."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, DRIVER, Browser
from PIL import Image

from common.labels import COLOURS, LEVELS
from common.page.page import page
from common.volume import Volume

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs Debian's packages chromium and chromium-driver"),
]
CHANCES = {**dict.fromkeys(LEVELS, 0.02), "C4": 0.81, "patient_overall": 0.84}
RESULT = {
    "probabilities": CHANCES,
    "calibrated": CHANCES,
    "flags": {"C2": ["a flag of stage 2"]},
    "notices": ["a notice of the study"],
    "notice": "Research software, not a medical device.",
}
SPACING = np.array([1.0, 0.8, 1.2])


def column() -> tuple[Volume, Volume, Volume]:
    """Soft tissue (40 HU), six boxes of bone (C1 to C6; 600 HU) one below the other, and evidence in C4's."""
    shape = (90, 90, 120)
    hu, labels = np.full(shape, 40, np.int16), np.zeros(shape, np.uint8)
    evidence = np.zeros(shape, np.float32)
    for value in range(1, 7):
        place = (slice(30, 60), slice(30, 60), slice(114 - 18 * value, 128 - 18 * value))
        hu[place], labels[place] = 600, value
    evidence[40:50, 40:50, 46:52] = 1
    affine = np.diag([*SPACING, 1])
    affine[:3, 3] = (-45, -36, -70)
    return Volume(hu, affine), Volume(labels, affine), Volume(evidence, affine)


@pytest.fixture(scope="module", params=[(1440, 900), (1280, 720)], ids=["desktop", "laptop"])
def shown(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    place = tmp_path_factory.mktemp("page")
    scan, mask, evidence = column()
    about = {"levels": {"C3": {"flags": ["cut by the scan's edge"], "confidence": 0.97}}, "notices": []}
    (place / "a result.html").write_text(page(scan, mask, RESULT, about, evidence), encoding="utf-8")
    with Browser(*request.param, place / "profile") as browser:
        browser.open(place / "a result.html")
        browser.wait(lambda: browser.text("#waiting") == "" and place_of(browser))
        yield browser


def place_of(browser: Browser) -> tuple[float, ...] | None:
    """Where the crosshair stands, RAS mm, as the page says it; None before it does."""
    found = browser.run("return {...document.querySelector('#place').dataset}")
    return tuple(float(found[axis]) for axis in "xyz") if found else None


def centre_of(level: int) -> np.ndarray:
    """RAS mm of the middle of a box."""
    return np.array([44.5, 44.5, 120.5 - 18 * level]) * SPACING + (-45, -36, -70)


def coloured(browser: Browser, value: int) -> int:
    """Pixels of the scene that have the hue of a level's colour."""
    picture = np.asarray(Image.open(io.BytesIO(browser.picture("#scene"))).convert("HSV")).astype(int)
    wanted = np.asarray(Image.fromarray(np.uint8([[np.array(COLOURS[value]) * 255]])).convert("HSV")).astype(int)[0, 0]
    apart = np.abs(picture[..., 0] - wanted[0])
    return int(((np.minimum(apart, 256 - apart) < 8) & (picture[..., 1] > 60) & (picture[..., 2] > 60)).sum())


def test_it_opens_at_what_is_suspected_and_asks_for_nothing(shown: Browser) -> None:
    assert shown.text("h1") == "Fracture suspected"
    assert shown.run("return parseFloat(getComputedStyle(document.querySelector('h1')).fontSize)") >= 32
    assert "84 %" in shown.text("#explained") and "C4 (81 %)" in shown.text("#explained")
    np.testing.assert_allclose(place_of(shown), centre_of(4), atol=1.3)
    assert re.search(r"about 600 HU · C4 · evidence [01]", shown.text("#place"))
    assert "not a medical device" in shown.text("#banner")
    assert "a notice of the study" in shown.text("#notices") and "97 %" in shown.text("[data-level=C3]")
    assert shown.log() == []  # nothing was refused by the policy, nothing failed


def test_the_network_is_out_of_reach(shown: Browser) -> None:
    address = f"http://127.0.0.1:{shown.port}/status"  # the driver's, which would reply
    tried = f"return fetch('{address}', {{mode: 'no-cors'}}).then(() => 'reached', () => 'refused')"
    assert shown.run(tried) == "refused"
    tried = "return new Promise(done => { const i = new Image(); i.onload = () => done('reached');"
    assert shown.run(tried + f"i.onerror = () => done('refused'); i.src = '{address}'; }})") == "refused"
    log = shown.log()
    assert len(log) >= 2 and all("Content Security Policy" in line for line in log)


def test_nothing_lies_outside_of_the_window(shown: Browser) -> None:
    wide, high, seen_wide, seen_high = shown.run(
        "const e = document.documentElement; return [e.scrollWidth, e.scrollHeight, e.clientWidth, e.clientHeight]"
    )
    assert wide <= seen_wide and high <= seen_high
    for selector in ("#banner", "h1", "[data-level=C1]", "[data-level=C7]", "#scene", "#place", "#print"):
        low, bottom, right = shown.run(
            f"const b = document.querySelector('{selector}').getBoundingClientRect(); return [b.y, b.bottom, b.right]"
        )
        assert low >= 0 and bottom <= seen_high and right <= seen_wide, selector


def test_clicks_and_keys_jump_to_levels(shown: Browser) -> None:
    for level in (2, 6, 1):
        shown.click(f"[data-level=C{level}]")
        np.testing.assert_allclose(place_of(shown), centre_of(level), atol=1.3)
        assert f"· C{level}" in shown.text("#place")
        assert shown.attribute(f"[data-level=C{level}]", "aria-current") is not None
    for level in (3, 5):
        shown.type(str(level))
        np.testing.assert_allclose(place_of(shown), centre_of(level), atol=1.3)
    shown.type("7")  # isn't in view
    np.testing.assert_allclose(place_of(shown), centre_of(5), atol=1.3)
    assert shown.attribute("[data-level=C7]", "disabled") == "true" and "not in view" in shown.text("[data-level=C7]")


def test_views_by_click_and_key(shown: Browser) -> None:
    def pressed() -> list[str]:
        return shown.run("return [...document.querySelectorAll('#views [aria-pressed=true]')].map(b => b.dataset.view)")

    pictures = {}
    for view in ("axial", "sagittal", "coronal", "render", "all"):
        shown.click(f"[data-view={view}]")
        assert pressed() == [view]
        pictures[view] = shown.picture("#scene")
    assert len(set(pictures.values())) == 5
    for key, view in zip("ascrv", ("axial", "sagittal", "coronal", "render", "all")):
        shown.type(key)
        assert pressed() == [view]
        assert shown.picture("#scene") == pictures[view]


def test_mask_and_evidence_on_and_off(shown: Browser) -> None:
    shown.type("2")
    shown.click("[data-view=sagittal]")
    with_mask = coloured(shown, 2)
    assert with_mask > 1000
    shown.click("button[data-layer=mask]")
    assert coloured(shown, 2) < with_mask / 20
    assert shown.attribute("button[data-layer=mask]", "aria-pressed") == "false"
    shown.type("m")
    assert coloured(shown, 2) == pytest.approx(with_mask, rel=0.02)
    before = shown.picture("#scene")
    shown.type("e")
    assert shown.picture("#scene") != before
    shown.click("button[data-layer=evidence]")
    assert shown.picture("#scene") == before
    shown.click_at("input[data-layer=mask]", 0.02, 0.5)  # nearly clear
    assert coloured(shown, 2) < with_mask / 20
    shown.click_at("input[data-layer=mask]", 0.4, 0.5)
    assert coloured(shown, 2) > with_mask / 2
    shown.click("[data-view=all]")


def test_arrows_move_by_slices(shown: Browser) -> None:
    def moved(key: str) -> np.ndarray:
        before = np.array(place_of(shown))
        shown.type(key)
        return (np.array(place_of(shown)) - before) / SPACING

    up, down, left, right = "\ue013", "\ue015", "\ue012", "\ue014"
    shown.type("4")
    shown.type("a")
    np.testing.assert_allclose(moved(up), (0, 0, 1), atol=0.05)
    np.testing.assert_allclose(moved(down), (0, 0, -1), atol=0.05)
    shown.type("c")
    np.testing.assert_allclose(moved(up), (0, 1, 0), atol=0.05)
    shown.type("s")
    np.testing.assert_allclose(moved(right), (-1, 0, 0), atol=0.05)
    shown.type("v")
    np.testing.assert_allclose(moved(left), (1, 0, 0), atol=0.05)
    np.testing.assert_allclose(moved(up), (0, 0, 1), atol=0.05)


def test_a_click_into_the_scene_goes_there_with_the_patients_right_on_the_left(shown: Browser) -> None:
    shown.type("4")
    shown.type("a")
    x, y, z = place_of(shown)
    shown.click_at("#scene", 0.4, 0.4)
    right, front, above = place_of(shown)
    assert right > x + 5 and front > y + 3 and abs(above - z) < 0.1
    shown.type("s")
    shown.click_at("#scene", 0.4, 0.4)  # the nose is on the left
    assert place_of(shown)[0] == pytest.approx(right, abs=0.1) and place_of(shown)[1] > 5
    shown.type("v")


def test_on_paper_words_and_picture_are_left(shown: Browser) -> None:
    shown.run("window.dispatchEvent(new Event('beforeprint'))")
    shown.cdp("Emulation.setEmulatedMedia", media="print")
    seen = {name: shown.run(f"return document.querySelector('{name}').checkVisibility()") for name in
            ("h1", "#banner", "#levels", "#notices", "#printed", "#scene", "#controls", "#help")}  # fmt: skip
    shown.cdp("Emulation.setEmulatedMedia", media="")
    assert [name for name, there in seen.items() if not there] == ["#scene", "#controls", "#help"]
    drawn = shown.run(
        "const c = document.querySelector('#printed');"
        "return new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size"
    )
    assert drawn > 20


def test_without_webgl_the_words_are_left(tmp_path: Path) -> None:
    scan, mask, _ = column()
    text = page(scan, mask, RESULT)
    (tmp_path / "result.html").write_text(text, encoding="utf-8")
    with Browser(900, 700, tmp_path / "profile", "--disable-3d-apis") as browser:
        browser.open(tmp_path / "result.html")
        browser.wait(lambda: "can't show the scan" in browser.text("#waiting"))
        assert browser.text("h1") == "Fracture suspected"
        browser.click("[data-level=C2]")
        browser.type("a")
