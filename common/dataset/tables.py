"""The one reader of tables: comma-separated UTF-8 with a header; everything else is refused by its name."""

import codecs
import io
import re
import reprlib
from pathlib import Path

import pandas as pd

from common.errors import DatasetError, ProjectError

UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
OTHER_SEPARATORS = {";": '";"', "\t": "tabs", "|": '"|"'}
DO = "save it as CSV with commas, decimal points and UTF-8 (in a spreadsheet: CSV UTF-8, English)"


def read_table(
    path: Path, columns: tuple[str, ...], optional: tuple[str, ...] = (), error: type[ProjectError] = DatasetError
) -> pd.DataFrame:
    """A CSV with at least `columns`, in these and those of `optional` that it has, all text, "" for nothing.
    A UTF-8 byte-order mark is skipped. Raises `error`."""
    table = _parsed(Path(path), error)
    absent = [column for column in columns if column not in table.columns]
    if absent:
        raise error(
            f"{path}: lacks the columns {', '.join(absent)}; found {', '.join(map(reprlib.repr, table.columns[:20]))}; "
            "take the competition's file, or rename them"
        )
    twice = [column for column in columns if f"{column}.1" in table.columns]
    if twice:
        raise error(f"{path}: column {', '.join(twice)} stands there twice; keep one")
    return table[[*columns, *(column for column in optional if column in table.columns)]]


def shown(value: object) -> str:
    """A value as an error shows it; a decimal comma is named."""
    comma = isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d*,\d+\s*", value) is not None
    return f"`{reprlib.repr(value)[1:-1] if isinstance(value, str) else value}`" + (
        f", with a decimal comma ({DO})" if comma else ""
    )


def _parsed(path: Path, error: type[ProjectError]) -> pd.DataFrame:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise error(f"{path}: missing; the competition's folder has it, copy it there") from None
    except OSError as problem:
        raise error(f"{path}: can't be read as a table ({problem}); copy it again") from None
    text = _text(path, content, error)
    _refuse_other_separators(path, text, error)
    try:
        table = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    except ValueError as problem:
        raise error(f"{path}: can't be read as a table ({str(problem).strip()[:300]}); copy it again") from None
    if not isinstance(table.index, pd.RangeIndex):
        raise error(
            f"{path}: its rows have more values than its header names; take the competition's file, and write numbers "
            "with decimal points, not commas"
        )
    return table.fillna("")


def _text(path: Path, content: bytes, error: type[ProjectError]) -> str:
    if content.startswith(UTF16) or b"\0" in content[:200]:
        raise error(f"{path}: can't be read as a table: it is UTF-16, expected UTF-8; {DO}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise error(f"{path}: can't be read as a table: byte {problem.start} isn't UTF-8; {DO}") from None


def _refuse_other_separators(path: Path, text: str, error: type[ProjectError]) -> None:
    header = text.split("\n", 1)[0].strip("\r")
    said = re.fullmatch(r'"?sep=(.)"?', header)
    for separator, name in OTHER_SEPARATORS.items():
        if (said and said[1] == separator) or header.count(separator) > header.count(","):
            raise error(f"{path}: its values are separated by {name}, expected commas; {DO}")
    if said:
        raise error(f"{path}: begins with `{header}`, expected the header; remove this line")
