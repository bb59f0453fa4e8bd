"""Whether local studies are enough to say that a map helps, in plain sentences."""

from dataclasses import dataclass
from typing import Any

from stage2_classify.recalibration.fit import BOTH, EVENTS_EACH, INTERCEPT, Part
from stage2_classify.recalibration.measures import Measure

NEGLIGIBLE = 0.02
"""A log loss that is lower by less than this is not worth a map."""
WIDE = 0.2
"""An interval of sensitivity or specificity that is wider than this says little."""


@dataclass(frozen=True)
class Verdict:
    """Of the levels or of "any": `fractured`, `healthy`: studies with and without (for levels: studies with a fractured
    and with a healthy one that was judged). `form`: which map was fitted. `change`: its cross-validated log loss less
    the shipped one. `enough`: whether that is enough for a map; `text` says why."""

    group: str
    fractured: int
    healthy: int
    form: str
    change: Measure
    enough: bool
    text: str

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**self.__dict__, "change": self.change.to_json()}


def judge(group: str, part: Part, slope_fitted: bool, change: Measure) -> Verdict:
    """Enough are `EVENTS_EACH` studies of either kind and an interval of the change that lies below 0."""
    fractured, healthy = part.fractured, part.healthy
    enough, text = _judged(part, change)
    counted = f"{group}: {fractured} studies with a fracture, {healthy} without"
    if group == "levels":
        counted = f"{group}: {fractured} studies with a fractured level that was judged, {healthy} with a healthy one"
    form = BOTH if slope_fitted else INTERCEPT
    return Verdict(group, fractured, healthy, form, change, enough, f"{counted}. {text.format(form=form)}")


def _judged(part: Part, change: Measure) -> tuple[bool, str]:
    fractured, healthy = part.fractured, part.healthy
    if min(fractured, healthy) == 0:
        missing = "without a fracture" if fractured else "with a fracture"
        return False, f"Without any study {missing} nothing can be told: keep the shipped probabilities."
    if min(fractured, healthy) < EVENTS_EACH:
        return False, (
            f"Too few to tell, keep the shipped probabilities: a map of one number needs {EVENTS_EACH} studies of "
            "either kind."
        )
    interval = f"95 % interval {change.low:+.3f} to {change.high:+.3f}, cross-validated"
    by = f"the log loss changes by {change.value:+.3f} ({interval})"
    if change.high < 0:
        return True, f"Enough for a map of the {{form}}: {by}."
    if change.low > -NEGLIGIBLE:
        return False, f"A map of the {{form}} gains next to nothing: {by}. Keep the shipped probabilities."
    return (
        False,
        f"Too few to tell, keep the shipped probabilities: {by}.{_how_many(int(part.used.any(axis=1).sum()), change)}",
    )


def _how_many(studies: int, change: Measure) -> str:
    """Intervals narrow with the root of the number of studies."""
    if change.value >= 0:
        return ""
    needed = studies * ((change.high - change.value) / -change.value) ** 2
    return (
        f" If that is the true gain, about {max(needed, studies + 10):.0f} studies would show it."
        if needed < 2000
        else ""
    )


def widths(measures: dict[str, Measure]) -> list[str]:
    """Sentences on those figures of "any" whose interval is too wide to say much."""
    return [
        f"{name}: {of.value:.0%} ({of.low:.0%} to {of.high:.0%}) is too wide to compare with other places."
        for name, of in measures.items()
        if name.startswith(("sensitivity", "specificity")) and of.high - of.low > WIDE
    ]
