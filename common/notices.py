"""The one place where notices reach people: a line each on stderr."""

import sys
from collections.abc import Iterable

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


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
