"""Nothing of a patient but the StudyInstanceUID leaves the DICOM files: every file and line of a whole run is searched,
packed ones unpacked. And what comes from files is text in the report, never markup."""

import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import blosc2
import pydicom
import pytest
import tiny_run
import torch

from common.training.initial_weights import save_pretrained
from common.training.weights import read_description
from stage2_classify.report.page import page
from stage2_classify.report.studies import ShownStudy

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("path", sorted(ROOT.glob("stage*/weights/**/*.safetensors")), ids=lambda path: path.stem)
def test_pretrained_weights_name_no_place_on_a_machine(path: Path) -> None:
    assert "/" not in json.dumps(read_description(path))


def test_a_description_keeps_the_names_of_paths_alone(tmp_path: Path) -> None:
    said = {"grounds": {"folder": "/home/somebody/G2", "share": 0.6}, "loggers": ["csv", "/srv/log"], "caveat": "a / b"}
    save_pretrained(tmp_path / "w.safetensors", torch.nn.Linear(1, 1), {"kind": "x", **said})
    kept = read_description(tmp_path / "w.safetensors")
    assert kept["grounds"] == {"folder": "G2", "share": 0.6} and kept["loggers"] == ["csv", "log"]
    assert kept["caveat"] == "a / b"


def contents(path: Path) -> Iterator[bytes]:
    """A file's bytes, and what they hold packed."""
    content = path.read_bytes()
    yield path.name.encode()
    yield content
    if content[:2] == b"\x1f\x8b":
        yield gzip.decompress(content)
    elif content[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                yield name.encode() + b"\n" + archive.read(name)
    elif path.suffix == ".b2nd":
        stored = blosc2.open(str(path))
        yield repr(dict(stored.schunk.vlmeta[:])).encode()
    elif content[:8] == b"\x89PNG\r\n\x1a\n":
        yield from _png_texts(content)


def _png_texts(content: bytes) -> Iterator[bytes]:
    at = 8
    while at < len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        kind, data = content[at + 4 : at + 8], content[at + 8 : at + 8 + size]
        if kind in (b"tEXt", b"iTXt", b"eXIf"):
            yield data
        elif kind == b"zTXt":
            yield zlib.decompress(data.split(b"\0", 1)[1][1:])
        at += size + 12


def words(value: str) -> list[bytes]:
    """A value, and its parts in other spellings."""
    parts = {value, *value.split("^")} if "^" in value else {value}
    return [
        word.encode(code)
        for word in {*parts, *map(str.lower, parts), *map(str.upper, parts)}
        for code in ("utf-8", "utf-16-le", "utf-32-le")
    ]


@pytest.fixture(scope="module")
def run() -> tuple[Path, Path]:
    _, data, folder = tiny_run.finished()
    return data, folder


def test_the_cohort_is_seeded(run) -> None:
    data, _ = run
    path = next(data.glob("train_images/*/*.dcm"))
    for name, value in tiny_run.PRIVATE.items():
        assert str(getattr(pydicom.dcmread(path), name)) == value


def test_nothing_private_in_any_output_or_log(run) -> None:
    data, folder = run
    secrets = {word: name for name, value in tiny_run.PRIVATE.items() for word in words(value)}
    paths = [p for p in folder.rglob("*") if p.is_file()] + list(data.parent.glob("*.txt"))
    assert len(paths) > 60
    assert any(p.name == "said.txt" for p in paths)
    for path in paths:
        for content in contents(path):
            found = {name for word, name in secrets.items() if word in content}
            assert not found, f"{path} holds {found}"


def test_the_search_finds_what_is_hidden(tmp_path: Path) -> None:
    import numpy as np

    (tmp_path / "a.gz").write_bytes(gzip.compress(b"Quixotus^Zebedeus"))
    np.savez_compressed(tmp_path / "b.npz", flags=np.array("ACCESS-991188"))
    stored = blosc2.asarray(np.zeros(3), urlpath=str(tmp_path / "c.b2nd"))
    stored.schunk.vlmeta["scan"] = {"n": "PATID-77-4242"}
    secrets = [word for value in tiny_run.PRIVATE.values() for word in words(value)]
    for path in tmp_path.iterdir():
        assert any(word in content for content in contents(path) for word in secrets), path.name


def test_the_report_shows_markup_as_text() -> None:
    """Every text that comes from files is put into the page as text."""
    nasty = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    source = (ROOT / "stage2_classify/report/report.html.j2").read_text()
    assert "|safe" not in source.replace(" ", "")
    assert "autoescapefalse" not in source.replace(" ", "")
    study = ShownStudy(nasty, None, [("C1", 0.5, None, None)], nasty, nasty)
    nothing = {key: {} for key in ("curves", "operating_points", "reliability", "entries", "out_of_fold", "training")}
    text = page(nasty, {**nothing, "test": None, "segmentation": None, "attention": None}, [study])
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert text.count("&lt;script&gt;") >= 4


def test_a_cohorts_notices_reach_stderr_and_its_masks() -> None:
    keeper, _, run = tiny_run.finished()
    said = (Path(keeper.name) / "said.txt").read_text()
    kept = {path.stem: json.loads(path.read_text())["notices"] for path in run.glob("masks/*[0-9].json")}
    assert any(kept.values())
    for uid, notices in kept.items():
        assert all(f"notice: {uid}: {notice}\n" in said for notice in notices)
