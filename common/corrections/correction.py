"""What a person said of a mask, and the entry about it that stays with every output: `corrections`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import ConfigError
from common.outputs.notices import json_beside
from common.outputs.store import read_json

KEY = "corrections"
"""Of mask.json and result.json: an entry for each correction, the first one first."""
LONGEST_REASON = 500
NO_REASON = "no reason was given"


@dataclass(frozen=True)
class Correction:
    """`levels`: what vertebrae are, as `levels.parse` reads it; or `mask`: an edited one, whose values follow `scheme`.
    `reason`: why, for those who read it later."""

    levels: tuple[str, ...] = ()
    mask: Path | None = None
    scheme: str = "merged"
    reason: str | None = None

    def __post_init__(self) -> None:
        if bool(self.levels) == (self.mask is not None):
            raise ConfigError("--levels and --mask are two ways to correct a mask; give one of them")
        if self.reason is not None and (len(self.reason) > LONGEST_REASON or not self.reason.isprintable()):
            raise ConfigError(f"--reason: expected one line of at most {LONGEST_REASON} characters")


def entry(
    correction: Correction, digest: str | None, changed: Mapping[str, str], earlier: str | None, said: Mapping[str, Any]
) -> dict[str, Any]:
    """What is kept of a correction. `digest`: of the edited mask's bytes; `changed`: name before -> after, or level ->
    what was edited; `earlier`: the folder that holds the version before; `said`: what its result.json said."""
    how = {"levels": list(correction.levels)} if correction.levels else {"mask": Path(str(correction.mask)).name}
    return {
        **how,
        **({"digest": digest} if digest else {}),
        "reason": correction.reason,
        "changed": dict(changed),
        "earlier": earlier,
        "said_before": dict(said),
    }


def is_same(one: Mapping[str, Any], correction: Correction, digest: str | None) -> bool:
    """Whether an entry is about the very same instruction, such as when a command is given twice."""
    if correction.levels:
        return one.get("levels") == list(correction.levels)
    return digest is not None and one.get("digest") == digest


def said_before(result: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is kept of the result of an earlier version."""
    names = ("probabilities", "calibrated", "not_judged", "weights", "operating_point")
    return {name: result[name] for name in names if name in result} if result else {}


def other_ways(corrections: Sequence[Mapping[str, Any]], result: Mapping[str, Any]) -> tuple[str, ...]:
    """In what a `result` was made otherwise than the one before the last of its corrections, a sentence each; () where
    both can be compared."""
    before = dict(corrections[-1].get("said_before") or {}) if corrections else {}
    words = {
        "weights": "other networks judged than before the correction: name the same run or weights to compare both",
        "operating_point": "the operating point is another than before the correction",
    }
    return tuple(text for name, text in words.items() if name in before and before[name] != result.get(name))


def sentence(one: Mapping[str, Any]) -> str:
    """An entry in words. Raises nothing: a part that isn't there is left out."""
    changed = dict(one.get("changed") or {})
    if one.get("levels"):
        moves = ", ".join(f"{old} is {new or 'left out'}" for old, new in changed.items())
        text = f"levels named by hand ({'; '.join(map(str, one['levels']))}): what was called {moves}"
    else:
        edits = ", ".join(f"{name} {what}" for name, what in changed.items())
        text = f"mask edited by hand ({one.get('mask')}): {edits}"
    where = f"; the version before is in {one['earlier']}" if one.get("earlier") else ""
    return f"{text}. Reason: {one.get('reason') or NO_REASON}{where}"


def corrections_beside(mask: Path) -> list[dict[str, Any]]:
    """The corrections that the JSON file beside a mask names; [] where there are none, or no such file."""
    try:
        found = read_json(json_beside(mask))[KEY]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def sentences(corrections: Sequence[Mapping[str, Any]] | None) -> tuple[str, ...]:
    """All of them in words, the first one first."""
    return tuple(sentence(one) for one in corrections or () if isinstance(one, Mapping))
