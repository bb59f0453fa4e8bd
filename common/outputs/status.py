"""How far a run is, from its ledger and its outputs' records alone: while commands are at it and after a kill."""

import re
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common.errors import OutputError
from common.outputs import store
from common.outputs.ledger import FOLDER

WITHOUT_ERROR = "killed"
"""The kind of a failure that has no error's name: a process that died."""


@dataclass(frozen=True)
class StepStatus:
    """`failed`: kind -> studies. `per_hour`: studies made since the last command for this step began, None before the
    second one. `to_go_s`: seconds for the rest at that rate. `last_s`: seconds since the last one was made."""

    step: str
    studies: int
    done: int
    failed: dict[str, int]
    left: int
    per_hour: float | None
    to_go_s: float | None
    last_s: float | None
    reasons: dict[str, str]


def status(run: Path) -> list[StepStatus]:
    """The run's steps in their order. Raises OutputError when there is no ledger."""
    places = [path.parent for path in (run / FOLDER).glob("*/plan.json")]
    if not places:
        raise OutputError(f"{run / FOLDER}: no ledger there; name a run's folder in which a command has begun")
    steps = [_step(run, place) for place in places]
    return [step for _, step in sorted(steps, key=lambda one: (one[0], one[1].step))]


def _step(run: Path, place: Path) -> tuple[int, StepStatus]:
    try:
        plan = store.read_json(place / "plan.json")
        order = int(plan["order"])
        studies = (place / "studies.txt").read_text(encoding="utf-8").split()
        since = (place / "plan.json").stat().st_mtime
        made = {uid: at for uid in studies if (at := _made(run / plan["folder"] / f"{uid}{plan['suffix']}", plan))}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(f"{place}: not a ledger of this project ({error}); remove it, it is written anew") from None
    reasons = {uid: reason for uid in studies if uid not in made and (reason := _reason(place, uid)) is not None}
    left = len(studies) - len(made) - len(reasons)
    now = sorted(at for at in made.values() if at >= since)
    per_hour = 3600 * len(now) / (now[-1] - since) if len(now) > 1 and now[-1] > since else None
    return order, StepStatus(
        step=place.name,
        studies=len(studies),
        done=len(made),
        failed=dict(Counter(_kind(reason) for reason in reasons.values()).most_common()),
        left=left,
        per_hour=per_hour,
        to_go_s=3600 * left / per_hour if per_hour and left else None,
        last_s=max(time.time() - max(made.values()), 0.0) if made else None,
        reasons=reasons,
    )


def _made(output: Path, plan: dict[str, Any]) -> float | None:
    """When an output was recorded, if it is there and of the plan's kind; its bytes aren't looked at."""
    try:
        record = store.read_record(output)
        provenance = record["provenance"]
        of_plan = all(provenance.get(key) in values for key, values in plan["made_with"].items())
        if record["schema"] == plan["schema"] and of_plan and output.exists():
            return store.record_path(output).stat().st_mtime
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return None


def _reason(place: Path, uid: str) -> str | None:
    try:
        return str(store.read_json(place / "failed" / f"{uid}.json")["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _kind(reason: str) -> str:
    """`CorruptFile: ...` -> CorruptFile."""
    found = re.match(r"[A-Za-z_]\w*(?=: |$)", reason)
    return found[0] if found else WITHOUT_ERROR


def as_json(steps: list[StepStatus]) -> list[dict[str, Any]]:
    return [asdict(step) for step in steps]


def as_table(steps: list[StepStatus]) -> str:
    """The same for people; a line below a step counts its failures by kind."""
    lines = [f"{'step':<12}{'studies':>9}{'done':>9}{'failed':>8}{'left':>9}{'per hour':>10}{'to go':>10}  last"]
    for step in steps:
        rate = "" if step.per_hour is None else f"{step.per_hour:.0f}"
        counts = f"{step.studies:>9}{step.done:>9}{sum(step.failed.values()):>8}{step.left:>9}"
        last = "" if step.last_s is None else f"{_span(step.last_s)} ago"
        lines.append(f"{step.step:<12}{counts}{rate:>10}{_span(step.to_go_s):>10}  {last}".rstrip())
        if step.failed:
            lines.append("  failed: " + ", ".join(f"{count} {kind}" for kind, count in step.failed.items()))
    return "\n".join(lines)


def _span(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours}:{minutes % 60:02d}:{int(seconds) % 60:02d}"
