"""What an id is: of a study, and of a row of a submission. All tables and commands ask here."""

import re

from common.labels import TARGETS

UID = "StudyInstanceUID"


def is_uid(text: object) -> bool:
    """Whether a StudyInstanceUID can name files: letters, digits, `.`, `-`, `_`, at most 64, no dot in front."""
    return isinstance(text, str) and re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}", text) is not None


def row_id(uid: str, target: str) -> str:
    """The id of a study's row for one of labels.TARGETS."""
    return f"{uid}_{target}"


def split_row_id(text: object) -> tuple[str, str] | None:
    """`<uid>_<target>` -> uid, target; None for anything else. A uid may hold underscores: the target ends the text."""
    for target in TARGETS:
        uid = str(text).removesuffix(f"_{target}")
        if uid != text and is_uid(uid):
            return uid, target
    return None
