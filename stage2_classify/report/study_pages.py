"""Pages of the studies that the report shows with pictures (docs/page.md), `pages/<uid>.html` beside it."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from common.config import DataSettings
from common.dataset.competition import Competition
from common.outputs import store
from common.outputs.own_files import run_outputs_at
from common.outputs.schema import PAGE
from common.progress import progress
from common.reading.study import read_study
from common.workers.failing import Failed, attempt, say_failed
from stage2_classify.crops.masks import Masks, masks_of
from stage2_classify.inference.classifier import existing
from stage2_classify.run_folder import stage_folder, weights_paths
from stage2_classify.settings import ClassifySettings

if TYPE_CHECKING:
    from stage2_classify.inference.classifier import Classifier

PAGES = "pages"


def page_files(data: DataSettings) -> list[Path]:
    """The pages that are there."""
    return sorted((data.run / PAGES).glob("*.html"))


def write_study_pages(uids: Iterable[str], data: DataSettings, settings: ClassifySettings) -> None:
    """Writes the pages of these studies that aren't there, or aren't of these networks, this calibration and mask; a
    study that fails has none, which is said. Raises WeightsError."""
    from stage2_classify.inference.classifier import Classifier

    weights = existing(weights_paths(data, settings))
    decision = stage_folder(data, settings) / "decision.json"
    masks, competition = masks_of(data, settings.masks), Competition.open(data.root)
    made_of = {
        "weights": [store.digest_file(path) for path in weights],
        "decision": store.digest_file(decision) if decision.is_file() else "absent",
    }
    provenance = {uid: {**made_of, **masks.provenance(uid)} for uid in uids}
    missing = [uid for uid, said in provenance.items() if not store.is_current(_path(data, uid), said, PAGE)]
    if not missing:
        return
    classifier = Classifier.load(weights, settings.train.device, settings.decision.precision)
    with run_outputs_at([_path(data, uid) for uid in missing]):
        for uid in progress(missing, len(missing), "pages of studies"):
            done = attempt(_write, uid, _path(data, uid), competition, masks, classifier)
            if isinstance(done, Failed):
                say_failed(uid, f"no page: {done.message}", done, data.run)
            else:
                store.write_record(_path(data, uid), provenance[uid], PAGE)


def _path(data: DataSettings, uid: str) -> Path:
    return data.run / PAGES / f"{uid}.html"


def _write(uid: str, path: Path, competition: Competition, masks: Masks, classifier: "Classifier") -> None:
    study, mask = read_study(competition.images(uid)), masks.path(uid)
    classifier(study, mask, masks.scheme).save_page(path, study, mask, uid)
