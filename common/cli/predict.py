"""One study through all steps that are registered; they meet in the files of one folder."""

import argparse
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from common.cli.registry import STEPS, registered
from common.cli.request import ALWAYS, OUTPUTS, Request, read_once
from common.commandline import NOT_MEDICAL, add_overwrite
from common.corrections.correction import Correction, corrections_beside
from common.corrections.earlier import keep
from common.errors import ConfigError
from common.image_names import is_image_file
from common.masks.schemes import SCHEMES
from common.outputs import store
from common.outputs.lock import only_one
from common.outputs.notices import tell
from common.page.from_folder import IMPORTED_FOR as FOR_PAGE
from common.page.from_folder import NAME as PAGE
from common.page.from_folder import Early, show_early, write_page
from common.workers.ahead import imports_ahead
from common.workers.memory import keep_memory, look_rarely
from common.writing.outputs import IMPORTED_FOR as FOR_OUTPUTS
from common.writing.outputs import USUAL, Asked, check_outputs, write_outputs


def main(words: Sequence[str]) -> int:
    """Both stages on one study: a mask of C1 to C7, and the probabilities of fracture.

    Returns the exit code of the first step that doesn't end with 0. Raises what a step raises."""
    steps = {name.partition("-")[2]: step for name, step in registered(STEPS).items()}
    own, told = _split(words, steps)
    options = "; ".join(f"--{name}: cervical-fracture {name} predict --help" for name in steps)
    parser = argparse.ArgumentParser(
        prog="cervical-fracture predict",
        usage="%(prog)s STUDY [-o DIR] [option ...]" + "".join(f" [--{name} word ...]" for name in steps),
        description=(main.__doc__ or "").splitlines()[0],
        epilog=f"At the end, words for one step alone ({options}). {NOT_MEDICAL}",
        allow_abbrev=False,  # `--s` may be meant for a step
    )
    parser.add_argument("study", type=Path, metavar="STUDY", help="DICOM folder, zip of one, NIfTI, NRRD or MetaImage")
    parser.add_argument("-o", "--out", type=Path, default=Path("out"), metavar="DIR", help="default: out")
    parser.add_argument("--run", type=Path, metavar="DIR", help="networks of this run instead of the pretrained ones")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the run's configuration; default: phantom")
    parser.add_argument("--calibration", type=Path, metavar="FILE", help="a local map, of `classify calibrate-locally`")
    parser.add_argument("--series-uid", metavar="UID", help="the DICOM series to read; default: the best neck CT")
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N; default: auto, or as the configuration says")
    known = ", ".join(OUTPUTS)
    parser.add_argument("--outputs", type=_names, metavar="NAME[,NAME...]", help=f"only these files, of {known}")
    parser.add_argument("--labelmap", action="store_true", help=f"{USUAL[0]} with a number for each pixel")
    parser.add_argument("--anonymous", action="store_true", help="no patient in the DICOM objects")
    _add_correction(parser)
    add_overwrite(parser)
    given = vars(parser.parse_args(own))
    correction = _correction(given)
    request = Request(**given, correction=correction, words=told)
    check_outputs(request.study, request.outputs)
    keep_memory()
    look_rarely()
    request = _as_before(request)
    with imports_ahead(_imported_later(request, steps.values())) as begin, ThreadPoolExecutor(1) as beside:
        # Whoever reads the study has imported what it needs before.
        request = replace(request, read=read_once(begin))
        early = None
        for step in steps.values():
            if code := step(request):
                return code
            if early is None and request.wants(PAGE) and (request.out / ALWAYS[0]).is_file():
                early = beside.submit(show_early, request.out, request.study, request.series_uid, request.read)
        _show(request, early)
    page = request.out / PAGE
    print(f"{request.out}: done" + (f"; {page} opens in a browser" if page.is_file() else ""))
    return 0


def _imported_later(request: Request, steps: Iterable[Callable[..., Any]]) -> list[str]:
    """Modules that the outputs asked for need, after the first step's networks."""
    homes = [sys.modules.get(step.__module__) for step in steps]
    tables = [*(getattr(home, "IMPORTED_FOR", {}) for home in homes), FOR_PAGE, FOR_OUTPUTS]
    named = {module: name for table in tables for name, modules in table.items() for module in modules}
    unfit = ".dcm" if is_image_file(request.study) else None
    return [module for module, name in named.items() if request.wants(name) and Path(name).suffix != unfit]


def _show(request: Request, early: "Future[Early] | None") -> None:
    """The page, and at the same time what is for a PACS and for viewers; nothing without a mask. `early`: of the page,
    what was begun as soon as there was a mask."""
    if not (request.out / ALWAYS[0]).is_file():
        return
    of_study = request.out, request.study, request.series_uid
    asked = Asked(request.outputs, request.labelmap, request.anonymous, request.overwrite)
    with only_one(request.out), warnings.catch_warnings(), ThreadPoolExecutor(1) as beside:
        warnings.simplefilter("ignore")  # for both: what one of them sets and restores holds for the other as well
        outputs = beside.submit(write_outputs, *of_study, asked)
        if request.wants(PAGE):
            write_page(*of_study, request.overwrite, request.read, early.result if early else None)
        outputs.result()


def _add_correction(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--levels", action="append", default=[], metavar="C4=C5|C4=X,Y,Z",
        help="correct DIR's mask: what is called C4 is C5, or C4 lies at a point (RAS mm); stage 1 isn't run again",
    )  # fmt: skip
    parser.add_argument("--mask", type=Path, metavar="EDITED", help="the same by an edited mask (NIfTI, .seg.nrrd ...)")
    parser.add_argument("--scheme", choices=tuple(SCHEMES), help="what EDITED's values mean; default: merged")
    parser.add_argument("--reason", metavar="WORDS", help="why, kept in the outputs; name no patient")


def _correction(given: dict[str, Any]) -> Correction | None:
    """Takes what is said of a correction out of the arguments. Raises ConfigError."""
    levels, mask, scheme, reason = (given.pop(name) for name in ("levels", "mask", "scheme", "reason"))
    if not levels and mask is None:
        if scheme or reason:
            raise ConfigError("--reason and --scheme say more of a correction: give --levels or --mask as well")
        return None
    return Correction(tuple(levels), mask, scheme or "merged", reason)


def _as_before(request: Request) -> Request:
    """A correction is about the series that the mask was made from. A prediction anew is none of what was corrected by
    hand, which is kept aside."""
    mask = request.out / ALWAYS[0]
    if request.correction is None:
        if corrections_beside(mask) and (kept := keep(request.out)):
            said = f"the mask in {request.out} was corrected by hand; that version is in {kept} now"
            tell(request.study.name, [said])
        return request
    series = request.series_uid or store.provenance_of(mask).get("series")
    return replace(request, series_uid=series)


def _names(words: str) -> tuple[str, ...]:
    """`a,b` as names of `OUTPUTS`. Raises what argparse makes a usage error of."""
    names = tuple(word.strip() for word in words.split(","))
    if unknown := [name for name in names if name not in OUTPUTS]:
        raise argparse.ArgumentTypeError(f"unknown output `{unknown[0]}`; there are: {', '.join(OUTPUTS)}")
    return names


def _split(words: Sequence[str], steps: Iterable[str]) -> tuple[list[str], dict[str, list[str]]]:
    """The words in front of the first `--STEP`, and by a step's name those behind its own."""
    parts: dict[str, list[str]] = {"": []}
    name = ""
    for word in words:
        if word.removeprefix("--") in steps and word.startswith("--"):
            name = word.removeprefix("--")
            parts.setdefault(name, [])
        else:
            parts[name].append(word)
    return parts.pop(""), parts
