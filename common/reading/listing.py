"""A study's series for people to look at and choose from."""

from pathlib import Path

from common.errors import ConfigError, UnsupportedStudy
from common.image_names import is_image_file
from common.reading.choice import BONE, NECK, choose, rank
from common.reading.series import Series
from common.reading.study import list_contents

HEADING = "  slices  matrix     pixel mm       step mm  length mm  plane     kernel  neck  type      SeriesInstanceUID"


def series_table(path: Path) -> str:
    """The CT series of a folder or zip, best first (`*`: the one read without --series-uid), and what else lies
    there. Raises NothingFound, CorruptFile, ConfigError for a file of one volume."""
    if is_image_file(path):
        raise ConfigError(f"{path}: this kind of file holds one volume, there are no series to list")
    contents = list_contents(path)
    best = _best(contents.series)
    lines = []
    if contents.series:
        lines.append(HEADING)
    for item in sorted(contents.series, key=rank):
        lines.append(("* " if item is best else "  ") + _row(item))
    if contents.series and best is None:
        lines.append("none is read by itself: choose one with --series-uid")
    others = ", ".join(f"{count} x {kind}" for kind, count in contents.others.most_common())
    return "\n".join([*lines, f"set aside: {others or 'nothing'}"])


def _best(series: list[Series]) -> Series | None:
    try:
        return choose(series)[0] if series else None
    except UnsupportedStudy:
        return None


def _row(series: Series) -> str:
    first = series.slices[0]
    matrix = f"{first.shape[0]} x {first.shape[1]}"
    pixel = f"{first.spacing[0]:.3f} x {first.spacing[1]:.3f}"
    step = f"{series.step:.3f}" if len(series.slices) > 1 else "-"
    kernel = "bone" if BONE.search(first.kernel) else "other" if first.kernel else "-"
    kind = "derived" if first.image_type[:1] == ("DERIVED",) else "original"
    neck = "yes" if NECK.search(first.words) else "-"
    return (
        f"{len(series.slices):6}  {matrix:9}  {pixel:13}  {step:>7}  {series.length:9.1f}  {series.plane:8}  "
        f"{kernel:6}  {neck:4}  {kind:8}  {series.uid}"
    )
