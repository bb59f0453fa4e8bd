"""The words of `cervical-fracture predict` as a `Request`."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from common.cli.request import OUTPUTS, Request
from common.commandline import NOT_MEDICAL, add_overwrite
from common.corrections.correction import Correction
from common.errors import ConfigError
from common.masks.schemes import SCHEMES
from common.writing.asked import USUAL, check_outputs


def parsed(words: Sequence[str], steps: Iterable[str], description: str) -> Request:
    """What a person asks, of whom `steps` are told the words behind their own name. Ends the process where argparse
    does; raises ConfigError."""
    names = tuple(steps)
    own, told = _split(words, names)
    options = "; ".join(f"--{name}: cervical-fracture {name} predict --help" for name in names)
    parser = argparse.ArgumentParser(
        prog="cervical-fracture predict",
        usage="%(prog)s STUDY [-o DIR] [option ...]" + "".join(f" [--{name} word ...]" for name in names),
        description=description,
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
    return request


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
