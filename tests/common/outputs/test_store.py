"""Outputs are whole or absent, and are trusted only while their record is true."""

import ast
import os
import shutil
from pathlib import Path

import pytest

from common.outputs import fingerprints, store
from common.outputs.own_files import outputs_at
from common.outputs.schema import Schema


def test_a_failing_writer_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    store.write_text(path, "old")
    with pytest.raises(RuntimeError), store.atomic(path) as scratch:
        scratch.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_is_replaced_whole(tmp_path):
    for names in (["a", "b"], ["c"]):
        with store.atomic(tmp_path / "folder") as scratch:
            scratch.mkdir()
            for name in names:
                (scratch / name).write_text(name)
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["c"]


def test_record(tmp_path):
    path = tmp_path / "mask.nii.gz"
    provenance = {"weights": "abc", "spacing": (1, 2)}
    assert not store.is_current(path, provenance)
    store.write_text(path, "mask")
    assert not store.is_current(path, provenance)
    store.write_record(path, provenance)
    assert store.is_current(path, provenance)
    assert not store.is_current(path, {**provenance, "weights": "other"})
    path.write_text("edited")
    assert not store.is_current(path, provenance)


def test_a_torn_record_is_not_trusted(tmp_path):
    path = tmp_path / "a.txt"
    store.write_text(path, "x")
    store.write_record(path, {})
    record = store.record_path(path)
    record.write_text(record.read_text()[:10])
    assert not store.is_current(path, {})


def test_nan_is_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        store.write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_fingerprint_sees_names_and_sizes(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s/1.dcm").write_text("abc")
    before = store.fingerprint(tmp_path / "s")
    assert store.fingerprint(tmp_path / "s") == before
    (tmp_path / "s/1.dcm").rename(tmp_path / "s/2.dcm")
    assert store.fingerprint(tmp_path / "s") != before
    assert store.fingerprint(tmp_path / "nothing") == "absent"


def test_a_digest_does_not_depend_on_the_order_of_names():
    assert store.digest_value({"a": 1, "b": [2, 3]}) == store.digest_value({"b": [2, 3], "a": 1})
    assert store.digest_value({"a": 1, "b": [2, 3]}) != store.digest_value({"a": 1, "b": [3, 2]})


def made_from(source, output):
    store.write_text(output, "made")
    store.write_record(output, {"source": store.Files(source)})


def test_a_copy_with_other_times_is_the_same_and_an_edit_isnt(tmp_path):
    source, output = tmp_path / "a" / "study", tmp_path / "mask.txt"
    for name in ("series/1.dcm", "series/2.dcm"):
        store.write_text(source / name, f"pixels of {name}")
    made_from(source, output)
    recorded = store.record_path(output).read_text()
    copied = shutil.copytree(source, tmp_path / "elsewhere" / "study", copy_function=shutil.copyfile)
    os.utime(copied / "series/1.dcm", (1, 1))
    provenance = {"source": store.Files(copied)}
    assert store.is_current(output, provenance)
    assert store.record_path(output).read_text() != recorded  # the new times are kept, so that times are enough again
    refreshed = store.record_path(output).read_text()
    assert store.is_current(output, provenance) and store.record_path(output).read_text() == refreshed

    text = (copied / "series/2.dcm").read_text()
    (copied / "series/2.dcm").write_text(text.replace("pixels", "pixelS"))  # as long as before
    os.utime(copied / "series/2.dcm", (2, 2))
    assert not store.is_current(output, provenance)
    (copied / "series/2.dcm").write_text(text)
    assert store.is_current(output, provenance)
    (copied / "series/2.dcm").rename(copied / "series/3.dcm")
    assert not store.is_current(output, provenance)


def test_as_long_as_times_stay_nothing_is_read(tmp_path, monkeypatch):
    store.write_text(tmp_path / "study/1.dcm", "x")
    made_from(tmp_path / "study", tmp_path / "mask.txt")
    monkeypatch.setattr(fingerprints, "fingerprint", lambda _: pytest.fail("was read"))
    assert store.is_current(tmp_path / "mask.txt", {"source": store.Files(tmp_path / "study")})


def test_a_kinds_number_counts_and_the_version_doesnt(tmp_path, monkeypatch):
    path, kind = tmp_path / "mask.txt", Schema("mask", 1)
    store.write_text(path, "mask")
    store.write_record(path, {"n": 1}, kind)
    monkeypatch.setattr(store, "__version__", "99.0")
    assert store.is_current(path, {"n": 1}, kind)
    assert not store.is_current(path, {"n": 1}, Schema("mask", 2))
    assert not store.is_current(path, {"n": 1}, Schema("crops", 1))


def test_a_large_output_that_was_copied_is_the_same(tmp_path):
    path = tmp_path / "scan.b2nd"
    store.write_text(path, "scan")
    store.write_record(path, {}, by_digest=False)
    os.utime(path, (1, 1))
    assert store.is_current(path, {}, by_digest=False) and store.is_intact(path)
    path.write_text("sCan")
    assert not store.is_current(path, {}, by_digest=False) and not store.is_intact(path)


def test_links_to_folders_are_followed_once(tmp_path):
    store.write_text(tmp_path / "real/1.dcm", "one")
    (tmp_path / "study").mkdir()
    (tmp_path / "study/series").symlink_to(tmp_path / "real")
    (tmp_path / "real/again").symlink_to(tmp_path / "study")
    before = store.fingerprint(tmp_path / "study")
    store.write_text(tmp_path / "real/1.dcm", "two")
    assert store.fingerprint(tmp_path / "study") != before


def test_every_record_of_the_packages_names_its_kind():
    """A record without a kind would be valid whatever the code makes later."""
    root = Path(__file__).parents[3]
    for path in (p for name in ("common", "stage1_segment", "stage2_classify") for p in (root / name).rglob("*.py")):
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            if ast.unparse(call.func).endswith("write_record"):
                assert len(call.args) >= 3 and ast.unparse(call.args[2]).isupper(), f"{path}:{call.lineno}"


def test_a_record_of_an_older_version_is_read(tmp_path: Path) -> None:
    """Before 0.4 it called the provenance `came_from`."""
    path = tmp_path / "a.txt"
    store.write_text(path, "a")
    store.write_record(path, {"weights": "abc"})
    record = store.read_json(store.record_path(path))
    record["came_from"] = record.pop("provenance")
    store.write_json(store.record_path(path), record)
    assert store.is_current(path, {"weights": "abc"}) and not store.is_current(path, {"weights": "b"})
    assert store.provenance_of(path) == {"weights": "abc"}
    with outputs_at([path], [], overwrite=False):  # the project's own, so it may be replaced
        store.write_text(path, "b")
