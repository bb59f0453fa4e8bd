"""Outputs are whole or absent, and are trusted only while their record is true."""

import pytest

from common import store


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
    came_from = {"weights": "abc", "spacing": (1, 2)}
    assert not store.is_current(path, came_from)
    store.write_text(path, "mask")
    assert not store.is_current(path, came_from)
    store.write_record(path, came_from)
    assert store.is_current(path, came_from)
    assert not store.is_current(path, {**came_from, "weights": "other"})
    path.write_text("edited")
    assert not store.is_current(path, came_from)


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
