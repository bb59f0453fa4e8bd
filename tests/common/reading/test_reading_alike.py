"""A header that is like one already read is taken for what `read_header` would say, and nothing else is."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from common.errors import StudyError
from common.reading import alike
from common.reading.header import read_header
from common.reading.selftest.specimens import SYNTAXES, random_hu, write_enhanced, write_series, write_slice
from common.reading.slice import Slice
from common.reading.sources import Source, study_files

HU = random_hu((5, 12, 14))


def said(read, source: Source) -> object:
    """What a reader says, in a form that can be compared: slices by field, refusals by type and text."""
    try:
        header = read(source)
    except StudyError as error:
        return type(error), str(error)
    return [fields(item) for item in header] if isinstance(header, list) else header


def fields(item: Slice) -> dict:
    values = {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}


def counted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many headers are parsed; all are compared."""
    parsed: list[str] = []
    monkeypatch.setattr(alike, "read_header", lambda source: parsed.append(source.name) or read_header(source))
    headers = alike.Headers()
    with study_files(folder) as sources:
        for source in sources:
            assert said(headers.read, source) == said(read_header, source), source.name
    return len(parsed)


@pytest.mark.parametrize("name", SYNTAXES)
def test_a_series_is_parsed_once_and_says_the_same(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path, HU, syntax=SYNTAXES[name], StudyDescription="Hals", AcquisitionNumber=3)
    assert counted(tmp_path, monkeypatch) == (len(HU) if name in ("bigendian", "deflated") else 1)


@pytest.mark.parametrize(
    "other",
    [
        {"spacing": (0.5, 0.5)},
        {"intercept": -1024},
        {"slope": 2},
        {"directions": ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0))},
        {"AcquisitionNumber": 2},
        {"SeriesInstanceUID": "1.2.3.2"},
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        {"SeriesDescription": "Halswirbels\u00e4ule", "SpecificCharacterSet": "ISO_IR 100"},
        {"PixelPaddingValue": -2000},
        {"BitsStored": 12, "HighBit": 11},
        {"Modality": "MR"},
        {"ImagePositionPatient": None},
        {"LossyImageCompression": "01"},
        {"syntax": SYNTAXES["jpegll"]},
        {"PatientID": "longer, so that all lies elsewhere"},
    ],
)
def test_another_header_is_not_taken_for_a_known_one(
    other: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_series(tmp_path, HU)
    write_slice(tmp_path / "3.dcm", HU[2], (-20, -30, 7), **other)
    assert counted(tmp_path, monkeypatch) == (1 if "PatientID" in other else 2)


def test_frames_and_long_headers_are_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_enhanced(tmp_path / "1.dcm", HU[:1], np.zeros((1, 3)))
    write_enhanced(tmp_path / "2.dcm", HU[:1], np.ones((1, 3)))
    write_slice(tmp_path / "3.dcm", HU[0], (0, 0, 0), ImageComments="x" * alike.START)
    write_slice(tmp_path / "4.dcm", HU[0], (0, 0, 1), ImageComments="x" * alike.START)
    assert counted(tmp_path, monkeypatch) == 4


@pytest.mark.parametrize("position", [rb"nan\0\0 ", rb"1e9\0\0 ", rb"1\2    ", rb"1,5\2\3", rb"1_0\2\3", b"       "])
def test_an_odd_place_is_looked_at_closely(position: bytes, tmp_path: Path) -> None:
    write_series(tmp_path, HU)
    content = (tmp_path / "2.dcm").read_bytes()
    old = rb"-20.0\-30.0\6.0"
    assert content.count(old) == 1
    (tmp_path / "2.dcm").write_bytes(content.replace(old, position.ljust(len(old))))
    headers = alike.Headers()
    with study_files(tmp_path) as sources:
        for source in sources:
            assert said(headers.read, source) == said(read_header, source)


def test_damaged_headers_say_what_they_say_by_themselves(tmp_path: Path) -> None:
    """Single bytes changed, and headers cut off, after a whole one is known."""
    write_series(tmp_path, HU[:1])
    whole = (tmp_path / "1.dcm").read_bytes()
    rng = np.random.default_rng(0)
    headers = alike.Headers()
    headers.read(Source("1.dcm", path=tmp_path / "1.dcm"))
    known = 0
    for number in range(400):
        content = bytearray(whole)
        content[int(rng.integers(128, len(whole) - HU[0].nbytes))] = int(rng.integers(256))
        if number % 4 == 0:
            content = content[: int(rng.integers(128, len(whole)))]
        path = tmp_path / "damaged.dcm"
        path.write_bytes(content)
        source = Source("damaged.dcm", path=path)
        assert said(headers.read, source) == said(read_header, source), number
        walk = alike.walked(bytes(content[: alike.START]))
        known += walk is not None and walk[0] in headers._known
    assert known > 50
