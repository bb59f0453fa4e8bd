"""One study through all steps that are registered; they meet in the files of one folder."""

import sys
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from common.cli.registry import STEPS, registered
from common.cli.request import ALWAYS, Request, read_once
from common.cli.words import parsed
from common.corrections.correction import corrections_beside
from common.corrections.earlier import keep
from common.image_names import is_image_file
from common.outputs import store
from common.outputs.lock import only_one
from common.outputs.notices import tell
from common.page.from_folder import IMPORTED_FOR as FOR_PAGE
from common.page.from_folder import NAME as PAGE
from common.page.from_folder import Early, show_early, write_page
from common.workers.ahead import imports_ahead
from common.workers.memory import end_at_once, look_rarely
from common.writing.asked import IMPORTED_FOR as FOR_OUTPUTS
from common.writing.asked import Asked
from common.writing.objects import Prepared
from common.writing.outputs import prepare_outputs, write_outputs

TURN_S = 0.0005
"""Python's 5 ms are longer than a layer of a network takes, after each of which it would wait for whoever imports."""


def main(words: Sequence[str]) -> int:
    """Both stages on one study: a mask of C1 to C7, and the probabilities of fracture.

    Returns the exit code of the first step that doesn't end with 0. Raises what a step raises."""
    steps = {name.partition("-")[2]: step for name, step in registered(STEPS).items()}
    request = parsed(words, steps, (main.__doc__ or "").splitlines()[0])
    look_rarely()
    end_at_once()
    request = _as_before(request)
    homes = [sys.modules.get(step.__module__) for step in steps.values()]
    with (
        _threads(),
        imports_ahead(_imported_first(request, homes)) as begin_first,
        imports_ahead(_imported_later(request, homes)) as begin_later,
        ThreadPoolExecutor(1) as beside,
    ):
        networks = begin_first()
        later: list[Future[None]] = []
        request = replace(request, read=read_once(lambda: wait(networks), lambda: later.extend(begin_later())))
        begun = None
        for step in steps.values():
            if code := step(request):
                return code
            if begun is None and (request.out / ALWAYS[0]).is_file():
                wait(later)  # of two threads that import highdicom at once each would find a part of it
                begun = _begin_to_show(request, beside)
        if begun is not None:
            _show(request, begun)
    page = request.out / PAGE
    print(f"{request.out}: done" + (f"; {page} opens in a browser" if page.is_file() else ""))
    return 0


@contextmanager
def _threads() -> Iterator[None]:
    """For several threads at once: they take turns at the interpreter every `TURN_S`; and no warnings, since what one
    of them sets of these and restores holds for the others as well. Those of libraries would quote the study's values;
    what a person must know is a notice."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(TURN_S)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.setswitchinterval(before)


def _imported_first(request: Request, homes: Sequence[Any]) -> list[str]:
    """Modules of the networks, which are imported beside all that comes before the study is read. Reading is alone: it
    takes from warnings that a file is cut off."""
    first = [module for home in homes for module in getattr(home, "IMPORTED_FIRST", ())]
    return first if request.correction is None else []


def _imported_later(request: Request, homes: Sequence[Any]) -> list[str]:
    """Modules that the outputs asked for need, after the first step's networks."""
    tables = [*(getattr(home, "IMPORTED_FOR", {}) for home in homes), FOR_PAGE, FOR_OUTPUTS]
    named = {module: name for table in tables for name, modules in table.items() for module in modules}
    unfit = ".dcm" if is_image_file(request.study) else None
    return [module for module, name in named.items() if request.wants(name) and Path(name).suffix != unfit]


def _begin_to_show(request: Request, beside: Executor) -> "tuple[Future[Early] | None, Future[Prepared | None]]":
    """What page and files for a PACS and for viewers need of the mask alone, beside the steps after it."""
    of_study = request.out, request.study, request.series_uid
    page = beside.submit(show_early, *of_study, request.read) if request.wants(PAGE) else None
    return page, beside.submit(prepare_outputs, *of_study, _asked(request))


def _show(request: Request, begun: "tuple[Future[Early] | None, Future[Prepared | None]]") -> None:
    """The page, and at the same time what is for a PACS and for viewers."""
    of_study = request.out, request.study, request.series_uid
    early, prepared = begun
    with only_one(request.out), ThreadPoolExecutor(1) as beside:
        outputs = beside.submit(write_outputs, *of_study, _asked(request), prepared.result)
        if early is not None:
            write_page(*of_study, request.overwrite, request.read, early.result)
        outputs.result()


def _asked(request: Request) -> Asked:
    return Asked(request.outputs, request.labelmap, request.anonymous, request.overwrite)


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
