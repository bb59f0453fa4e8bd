"""The outputs of one study: what is left of another study, or of an older run, goes before the new ones are made, so
that a command that fails leaves nothing that looks like its result."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import OutputError
from common.outputs import store
from common.outputs.fingerprints import files_below
from common.outputs.lock import only_one
from common.outputs.own_files import is_unchanged, outputs_at, remove

MASKS = {"mask.nii.gz", "mask.nii", "mask.nrrd", "mask.mha"}
OBJECTS = {"segmentation.dcm", "report.dcm", "rtstruct.dcm", "mask.seg.nrrd", "suspected.seg.nrrd"}
TOGETHER = {*MASKS, "mask.json", "preview.png", "result.json", "evidence.nii.gz", "result.html", *OBJECTS}
"""Names that `make predict` gives: in one folder they belong to one study. Under other names several studies may share
a folder."""
STUDY, MASK = "study", "mask_file"
"""What the records of such outputs name: the study's fingerprint, and where its mask lies, from their folder."""


@contextmanager
def answer_at(
    outputs: Iterable[Path | None], study: Path, mask: Path, inputs: Iterable[Path | None] = (), overwrite: bool = False
) -> Iterator[dict[str, str]]:
    """Holds the folders of `outputs` for `study`, and yields what their records should name
    besides.

    Before the block, old `outputs` are removed, what was made from them, and what names in `TOGETHER` left there of
    other studies; files without a record of ours stay. When the block fails, what it wrote is removed as well.
    `mask`: the study's mask, itself an output or an input. Raises OutputError (an output would replace an input or
    somebody's file, see `outputs_at`) and RunBusy (another process works there).
    """
    named = [Path(path) for path in outputs if path is not None]
    given = [Path(study), *(Path(path) for path in inputs if path is not None)]
    about = fingerprint(study)
    with outputs_at(named, given, overwrite), only_one(named[0].parent):
        old = [path for path in _left_over(named, about) if not _among(path, given)]
        for path in old:
            if not overwrite and not is_unchanged(path):
                raise OutputError(f"{path}: of an older run, and changed since; move it away, or give --overwrite")
        for path in old:
            remove(path)
        try:
            yield {STUDY: about, MASK: os.path.relpath(mask, named[0].parent)}
        except BaseException:
            for path in named:
                remove(path)
            raise


def fingerprint(study: Path) -> str:
    """Names, sizes and times of a study's files; outputs of ours that lie among them don't count."""
    study = Path(study)
    if not study.is_dir():
        return store.fingerprint(study)
    ours = (".record.json", ".lock")
    files = [p for _, p in files_below(study) if not p.name.endswith(ours)]
    kept = [p for p in files if store.SCRATCH not in str(p) and not store.record_path(p).exists()]
    return store.digest_value([[str(p.relative_to(study)), store.fingerprint(p)] for p in kept])


def _left_over(outputs: list[Path], study: str) -> Iterator[Path]:
    """Outputs with a record about a study that the new outputs can't stand beside."""
    for folder in {path.parent for path in outputs}:
        names = {path.name for path in outputs if path.parent == folder}
        for record in sorted(folder.glob("*.record.json")):
            path = record.with_name(record.name.removesuffix(".record.json"))
            provenance = store.provenance_of(path)
            of_another = provenance.get(STUDY) not in (None, study) and path.name in TOGETHER and names & TOGETHER
            if path.name in names or provenance.get(MASK) in names or of_another:
                yield path


def _among(path: Path, given: list[Path]) -> bool:
    return any(other.exists() and path.exists() and path.samefile(other) for other in given)
