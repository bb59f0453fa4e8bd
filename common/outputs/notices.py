"""The one place where notices reach people: a line each on stderr; and those that lie beside a mask."""

import sys
from collections.abc import Iterable
from pathlib import Path

from common.image_names import stem
from common.outputs.store import read_json

CLEAR_LINE = "\r\x1b[K"
"""Takes a progress bar off a terminal's line; the bar draws itself again at its next step."""


def tell(study: str, notices: Iterable[str]) -> None:
    """Prints `notice: STUDY: TEXT` for each of the `notices`, always one line, to stderr.

    Each line is a single write, so that lines of several processes don't mix, and what can't be printed in a line
    (a newline in a file's text) is a space.
    """
    start = CLEAR_LINE if sys.stderr.isatty() else ""
    for notice in notices:
        sys.stderr.write(f"{start}notice: {_one_line(study)}: {_one_line(notice)}\n")
        sys.stderr.flush()


def json_beside(mask: Path) -> Path:
    """Where what is to be said of a mask lies: `mask.nii.gz` -> `mask.json`."""
    return mask.with_name(stem(mask) + ".json")


def kept_beside(mask: Path) -> tuple[str, ...]:
    """The notices in the JSON file beside a mask, whoever wrote it; none where there is no such file."""
    try:
        notices = read_json(json_beside(mask))["notices"]
    except (OSError, ValueError, KeyError, TypeError):
        return ()
    return tuple(text for text in notices if isinstance(text, str)) if isinstance(notices, list) else ()


def seen_in_training(mask: Path, unknown: bool | None = None) -> bool | None:
    """Whether the network that made a mask had learned from the study's true one, as the file beside the mask says;
    `unknown` where none does."""
    try:
        seen = read_json(json_beside(mask))["seen_in_training"]
    except (OSError, ValueError, KeyError, TypeError):
        return unknown
    return seen if isinstance(seen, bool) else unknown


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
