"""An analysis in words: the lines that the command prints, and the tables of the report."""

from stage2_classify.calibration.local_map import GROUPS
from stage2_classify.recalibration.analysis import Analysis, Figures
from stage2_classify.recalibration.measures import Measure
from stage2_classify.recalibration.verdict import widths

ROWS = {
    "predicted": ("mean probability", ".3f"),
    "found": ("part that is fractured", ".3f"),
    "in_the_large": ("calibration in the large: the first less the second", "+.3f"),
    "intercept": ("calibration intercept: log odds to add (slope 1)", "+.2f"),
    "slope": ("calibration slope", ".2f"),
    "ece": ("expected calibration error", ".3f"),
    "log_loss": ("log loss", ".3f"),
    "auc": ("AUC", ".3f"),
}
Row = tuple[str, str, str]


def summary(analysis: Analysis) -> list[str]:
    """What matters, a sentence each: how far "any" is off, whether that is enough, what remains unsure."""
    lines = []
    if overall := analysis.figures.get("any"):
        off = overall.before["in_the_large"]
        lines.append(
            f"any fracture: {overall.before['predicted'].value:.0%} predicted on average, "
            f"{overall.before['found'].value:.0%} found ({overall.positives} of {overall.count} studies); off by "
            f"{shown(off, '+.3f')}: {_sure(off)}."
        )
    lines += [analysis.verdicts[group].text for group in reversed(GROUPS)]
    if overall:
        lines += [f"any, {line}" for line in widths(overall.before)]
    few = [name for name, of in analysis.figures.items() if of.too_few and name not in ("any", "levels")]
    if few:
        lines.append(f"{', '.join(few)}: fewer than 5 fractured or 5 healthy; their figures tell next to nothing.")
    return lines


def table(figures: Figures) -> list[Row]:
    """Name, as shipped, after the map; the last row is the change of the log loss."""
    rows = [
        (words, shown(figures.before[name], form), shown(figures.after[name], form))
        for name, (words, form) in ROWS.items()
    ]
    rows += [
        (name, shown(of, ".3f"), shown(figures.after[name], ".3f"))
        for name, of in figures.before.items()
        if name not in ROWS
    ]
    by_chance = f" (by chance {figures.chance_ece:.3f})"
    rows = [(name + by_chance if name == ROWS["ece"][0] else name, one, other) for name, one, other in rows]
    return [*rows, ("log loss, change", "", shown(figures.change, "+.3f"))]


def as_text(analysis: Analysis) -> str:
    """The summary, and the tables of "any" and of the levels together."""
    lines = summary(analysis)
    for name in ("any", "levels"):
        if of := analysis.figures.get(name):
            lines += ["", f"{heading(name, of):<58}{'as shipped':<28}after the map, cross-validated"]
            lines += [f"  {row:<56}{before:<28}{after}" for row, before, after in table(of)]
    return "\n".join(lines)


def heading(name: str, figures: Figures) -> str:
    return f"{name}: {figures.count} judged, {figures.positives} fractured"


def shown(measure: Measure, form: str) -> str:
    """0.123 (0.045 to 0.201), or a dash."""
    if measure.to_json() is None:
        return "-"
    return f"{measure.value:{form}} ({measure.low:{form}} to {measure.high:{form}})"


def _sure(off: Measure) -> str:
    if off.low > 0:
        return "too high here"
    return "too low here" if off.high < 0 else "that may be chance"
