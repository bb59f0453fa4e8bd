"""Tables as people save them, ids, contradicting labels: one answer from every command; tables without rows."""

import contextlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.competition_metric import best_constants, bootstrap, score
from common.dataset.competition import Competition, read_labels
from common.dataset.folds import assign_folds
from common.dataset.ids import is_uid, split_row_id
from common.dataset.tables import read_table
from common.dataset.verify import verify
from common.errors import DatasetError, ProjectError
from common.labels import TARGETS
from stage2_classify.__main__ import main
from stage2_classify.evaluation.evaluate_submission import read_submission
from stage2_classify.predictions import read_predictions, read_probabilities

HEADER = "StudyInstanceUID,patient_overall,C1,C2,C3,C4,C5,C6,C7\n"
LABELS = HEADER + "1.2.3,1,0,1,0,0,0,0,0\nmy_study_7,0,0,0,0,0,0,0,0\n"
PREDICTIONS = HEADER + "1.2.3,0.9,0.1,0.8,0.1,0.1,0.1,0.1,0.1\nmy_study_7,0.2,0.1,0.1,0.1,0.1,0.1,0.1,0.1\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (LABELS.replace(",", ";").encode(), r'separated by ";", expected commas; save it as CSV'),
        (LABELS.replace(",", "\t").encode(), "separated by tabs"),
        (LABELS.replace(",", "|").encode(), r'separated by "\|"'),
        (("sep=;\n" + LABELS.replace(",", ";")).encode(), r'separated by ";"'),
        (("sep=,\n" + LABELS).encode(), "begins with `sep=,`"),
        (LABELS.encode("utf-16"), "UTF-16, expected UTF-8"),
        (LABELS.encode("utf-16-le"), "UTF-16, expected UTF-8"),
        ((LABELS + "é").encode("latin-1"), "isn't UTF-8"),
        (b"", "can't be read as a table"),
        ((HEADER.strip() + ",C1\n1.2.3,0,0,0,0,0,0,0,0,1\n").encode(), "column C1 stands there twice"),
    ],
)
def test_other_tables_are_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "T.csv"
    path.write_bytes(content)
    for read in (read_labels, read_predictions):
        with pytest.raises(DatasetError, match=rf"T\.csv: .*{said}"):
            read(path)
    with pytest.raises(ProjectError, match=r"T\.csv: .*" + (said if "C1 stands" not in said else "row_id")):
        read_submission(path)


def test_a_byte_order_mark_is_skipped_and_a_short_row_is_no_number(tmp_path: Path) -> None:
    path = tmp_path / "T.csv"
    path.write_bytes(LABELS.encode("utf-8-sig"))
    assert list(read_labels(path).index) == ["1.2.3", "my_study_7"]
    path.write_text(PREDICTIONS + "1.2.4,0.5\n")
    with pytest.raises(DatasetError, match=r"1\.2\.4 has C1 = `nan`"):
        read_predictions(path)
    assert read_table(path, ("StudyInstanceUID", "C7"))["C7"].tolist() == ["0.1", "0.1", ""]


def test_decimal_commas_are_named(tmp_path: Path) -> None:
    path = tmp_path / "T.csv"
    path.write_text(PREDICTIONS.replace("0.8", '"0,8"'))
    with pytest.raises(DatasetError, match=r"1\.2\.3 has C2 = `0,8`, with a decimal comma"):
        read_probabilities(path)
    path.write_text('row_id,fractured\n1.2.3_C1,"0,5"\n')
    with pytest.raises(ProjectError, match=r"1\.2\.3_C1 has fractured = `0,5`, with a decimal comma"):
        read_submission(path)


def test_ids_with_underscores_are_ids_everywhere(tmp_path: Path) -> None:
    assert split_row_id("my_study_7_C2") == ("my_study_7", "C2")
    assert split_row_id("a_C1_patient_overall") == ("a_C1", "patient_overall")
    assert [split_row_id(text) for text in ("C1", "_C1", "a_C8", "a", "../x_C1", "a C1", "")] == [None] * 7
    assert is_uid("_C1") and not is_uid(float("nan")) and not is_uid(".a") and not is_uid("a" * 65)
    (tmp_path / "L.csv").write_text(LABELS)
    rows = [f"{uid}_{target},0.5" for uid in ("my_study_7", "1.2.3") for target in TARGETS]
    (tmp_path / "S.csv").write_text("\n".join(["row_id,fractured", *rows, ""]))
    assert main(["score", str(tmp_path / "S.csv"), str(tmp_path / "L.csv")]) == 0


@pytest.mark.parametrize("row", ["1.2.4,0,0,1,0,0,0,0,0", "1.2.4,1,0,0,0,0,0,0,0"])
def test_contradicting_labels_are_refused_by_every_command(tmp_path: Path, row: str) -> None:
    (tmp_path / "train_images").mkdir()
    (tmp_path / "train.csv").write_text(LABELS + row + "\n")
    (tmp_path / "P.csv").write_text(PREDICTIONS)
    (tmp_path / "S.csv").write_text("row_id,fractured\n1.2.3_C1,0.5\n")
    kinds = {(fault.kind, fault.where) for fault in verify(tmp_path).faults}
    assert ("contradiction", "1.2.4") in kinds
    said = r"1\.2\.4 has patient_overall = ., expected the largest of C1\.\.C7"
    places = [f"data.root={tmp_path}", f"data.run={tmp_path / 'run'}"]
    for words in (
        ["train", *places],
        ["score", str(tmp_path / "S.csv"), str(tmp_path / "train.csv")],
        ["calibrate", "--predictions", str(tmp_path / "P.csv"), "--labels", str(tmp_path / "train.csv"), "-o", "x.csv"],
    ):
        with pytest.raises(DatasetError, match=said):
            main(words)


def test_nothing_to_score_is_an_error_and_never_nan() -> None:
    nothing = np.zeros((0, 8))
    for call in (lambda: score(nothing, nothing), lambda: best_constants(nothing), lambda: bootstrap(nothing[:, 0])):
        with pytest.raises(DatasetError, match="nothing to score"):
            call()
    with pytest.raises(DatasetError, match="names no study"):
        assign_folds(pd.DataFrame(columns=list(TARGETS)), 5, 0)


@pytest.mark.parametrize("text", [HEADER, ""])
def test_labels_and_answers_without_rows(tmp_path: Path, text: str) -> None:
    empty, full = tmp_path / "E.csv", tmp_path / "F.csv"
    empty.write_text(text)
    full.write_text(LABELS)
    (tmp_path / "S.csv").write_text("row_id,fractured\n")
    for words in (
        ["score", str(tmp_path / "S.csv"), str(full)],
        ["score", str(tmp_path / "S.csv"), str(empty)],
        ["score", str(tmp_path / "S.csv"), str(full), "--against", str(empty)],
        ["calibrate", "--predictions", str(empty), "--labels", str(full), "-o", str(tmp_path / "x.csv")],
        ["calibrate", "--predictions", str(full), "--labels", str(empty), "-o", str(tmp_path / "x.csv")],
        ["train", f"data.root={tmp_path}", f"data.run={tmp_path / 'run'}"],
    ):
        (tmp_path / "train.csv").write_text(text)
        with pytest.raises(ProjectError):
            main(words)


@pytest.mark.parametrize("table", ["train.csv", "test.csv", "train_bounding_boxes.csv", "sample_submission.csv"])
@pytest.mark.parametrize("keep_header", [True, False])
def test_a_folder_with_a_table_without_rows(tmp_path: Path, table: str, keep_header: bool) -> None:
    tables = {
        "train.csv": LABELS,
        "test.csv": "row_id,StudyInstanceUID,prediction_type\n1.2.9_C1,1.2.9,C1\n",
        "train_bounding_boxes.csv": "StudyInstanceUID,x,y,width,height,slice_number\n1.2.3,1,1,2,2,3\n",
        "sample_submission.csv": "row_id,fractured\n1.2.9_C1,0.5\n",
    }
    tables[table] = tables[table].split("\n")[0] + "\n" if keep_header else ""
    for name, text in tables.items():
        (tmp_path / name).write_text(text)
    verify(tmp_path)
    competition = Competition.open(tmp_path)
    for ask in (competition.train_labels, competition.test_studies, competition.boxes, competition.segmented):
        with contextlib.suppress(DatasetError) if not keep_header else contextlib.nullcontext():
            ask()


def test_a_study_is_looked_for_where_the_tables_have_it(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(LABELS)
    (tmp_path / "test.csv").write_text("row_id,StudyInstanceUID,prediction_type\n1.2.3_C1,1.2.3,C1\n9.9_C1,9.9,C1\n")
    for place in ("train_images/1.2.3", "test_images/1.2.3", "train_images/9.9"):
        (tmp_path / place).mkdir(parents=True)
    competition = Competition.open(tmp_path)
    assert competition.images("1.2.3") == tmp_path / "train_images/1.2.3"  # its labels are known
    assert competition.images("9.9") == tmp_path / "train_images/9.9"
    (tmp_path / "test_images/9.9").mkdir()
    assert Competition.open(tmp_path).images("9.9") == tmp_path / "test_images/9.9"
