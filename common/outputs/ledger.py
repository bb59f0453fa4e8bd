"""What a run has to do and what went wrong, as files in RUN/ledger; what is done is told by the outputs' own records.

ledger/<step>/plan.json             folder, suffix and kind of the outputs, and what all of them are made with
ledger/<step>/studies.txt           the studies that some command has wanted of this step
ledger/<step>/failed/<uid>.json     why a study failed last; removed when it is made
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.outputs import store
from common.outputs.schema import Schema

FOLDER = "ledger"


@dataclass(frozen=True)
class Step:
    """A step of the run in `root`: the outputs `folder`/<uid>`suffix`, from the run's folder. `order`: among the
    steps."""

    root: Path
    order: int
    name: str
    folder: str
    suffix: str
    schema: Schema

    @property
    def place(self) -> Path:
        return self.root / FOLDER / self.name

    def begin(self, studies: Iterable[str], made_with: Mapping[str, list[Any]] | None = None) -> None:
        """Notes which studies are wanted, beside those that other commands wanted; `made_with`: key of the outputs'
        provenance -> the values it may have, where that is the same for all. Raises OutputError."""
        listed = self.place / "studies.txt"
        wanted = {*studies, *(listed.read_text(encoding="utf-8").split() if listed.is_file() else ())}
        store.write_text(listed, "".join(f"{uid}\n" for uid in sorted(wanted)))
        plan = {"order": self.order, "folder": self.folder, "suffix": self.suffix, "schema": str(self.schema)}
        store.write_json(self.place / "plan.json", {**plan, "made_with": dict(made_with or {})})

    def note(self, uid: str, reason: str | None) -> None:
        """Keeps why a study failed; None: it didn't. Raises OutputError."""
        path = self.place / "failed" / f"{uid}.json"
        if reason is not None:
            store.write_json(path, {"study": uid, "reason": reason})
        elif path.exists():
            path.unlink(missing_ok=True)

    def noted(self, answers: Iterable[tuple[str, str | None]]) -> Iterator[tuple[str, str | None]]:
        """Passes (uid, reason or None) on, and notes each."""
        for uid, reason in answers:
            self.note(uid, reason)
            yield uid, reason
