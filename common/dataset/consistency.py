"""What doesn't fit together in a competition folder and is no reason to stop: told, and shown in the report."""

from common.dataset.competition import Competition
from common.dataset.ids import UID
from common.dataset.tables import read_table
from common.errors import DatasetError
from common.labels import TARGETS


def inconsistencies(competition: Competition) -> list[str]:
    """Sentences for people; names of studies are the data set's. Looks at tables and at names of folders alone."""
    train, test = competition.train_studies(), competition.test_studies()
    folders = {part: _folders(competition, part) for part in ("train", "test")}
    found = []
    if not test:
        found.append("test.csv asks for no study")
    found += _about("train.csv names {} that train_images lacks", [u for u in train if u not in folders["train"]])
    found += _about("test.csv names {} that test_images lacks", [u for u in test if u not in folders["test"]])
    found += _about("test_images holds {} that test.csv doesn't name", sorted(folders["test"] - set(test)))
    found += _about("train.csv and test.csv both name {}", [uid for uid in test if uid in set(train)])
    return found + (_rows(competition) if test else [])


def _rows(competition: Competition) -> list[str]:
    rows = competition.test_rows()
    kinds = rows.groupby(UID)["prediction_type"].nunique()
    found = []
    if (kinds < len(TARGETS)).any():
        asked = [target for target in TARGETS if (rows["prediction_type"] == target).any()]
        found.append(
            f"test.csv holds {len(rows)} rows for {len(kinds)} studies (of {', '.join(asked)}), "
            f"expected {len(TARGETS)} for each"
        )
    try:
        sample = set(read_table(competition.root / "sample_submission.csv", ("row_id",))["row_id"])
    except DatasetError:
        return found
    if sample != set(rows["row_id"]):
        found.append("sample_submission.csv doesn't have test.csv's rows; the submission has test.csv's")
    return found


def _folders(competition: Competition, part: str) -> set[str]:
    folder = competition.root / f"{part}_images"
    return {path.name for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else set()


def _about(text: str, uids: list[str]) -> list[str]:
    if not uids:
        return []
    return [text.format(f"the study {uids[0]}" if len(uids) == 1 else f"{len(uids)} studies (the first {uids[0]})")]
