"""In every loop over a cohort's studies one that fails is named and the rest finished, with code 20; the next call
makes up for it."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import tiny_run

from common.config import load
from common.errors import PARTLY_FAILED
from common.outputs import store
from stage2_classify.evaluation import pointing_game as pointing_game
from stage2_classify.inference import cohort
from stage2_classify.inference.classifier import Classifier
from stage2_classify.report import page as report
from stage2_classify.report import studies as report_studies
from stage2_classify.settings import ClassifySettings
from stage2_classify.training import out_of_fold
from stage2_classify.training.train import train

ROOT = Path(__file__).parents[1]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """(data settings, stage 2's settings) of a finished tiny run, copied."""
    _, data, folder = tiny_run.finished()
    shutil.copytree(folder, tmp_path / "run")
    monkeypatch.chdir(ROOT)
    words = tiny_run.commands(data, tmp_path / "run")["classify predict"]
    return load(Path(words[3]), "classify", ClassifySettings, words[4:])


def failing(function, asked: list):
    """`function` that fails at its first call, as a library would."""

    def wrapped(*arguments, **options):
        asked.append(arguments)
        if len(asked) == 1:
            raise ZeroDivisionError("nobody foresaw this")
        return function(*arguments, **options)

    return wrapped


def remake(path: Path) -> None:
    record = store.read_json(store.record_path(path))
    store.write_json(store.record_path(path), {**record, "provenance": {}})


@pytest.mark.slow
def test_answering(run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    data, settings = run
    table = data.run / "stage2" / "test.csv"
    uids = pd.read_csv(table)["StudyInstanceUID"].tolist()
    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "predict", failing(Classifier.predict, []))
        for uid in uids:
            remake(data.run / "stage2" / "predictions" / f"{uid}.json")
        remake(table)
        assert cohort.predict_cohort(data, settings) == PARTLY_FAILED
    assert pd.read_csv(table)["StudyInstanceUID"].tolist() == uids[1:]
    assert f"not predicted: {uids[0]}: ZeroDivisionError: nobody foresaw this" in capsys.readouterr().out
    assert f" {uids[0]}\nTraceback" in (data.run / "failures.log").read_text()
    assert cohort.predict_cohort(data, settings) == 0
    assert pd.read_csv(table)["StudyInstanceUID"].tolist() == uids


@pytest.mark.slow
def test_answering_out_of_fold(run, monkeypatch: pytest.MonkeyPatch) -> None:
    data, settings = run
    table = data.run / "stage2" / "out_of_fold.csv"
    uids = set(pd.read_csv(table)["StudyInstanceUID"])
    with monkeypatch.context() as patch:
        patch.setattr(out_of_fold.crop_files, "load", failing(out_of_fold.crop_files.load, []))
        remake(table)
        assert train(data, settings) == PARTLY_FAILED
    assert len(uids - set(pd.read_csv(table)["StudyInstanceUID"])) == 1
    assert train(data, settings) == 0
    assert set(pd.read_csv(table)["StudyInstanceUID"]) == uids


@pytest.mark.slow
@pytest.mark.parametrize(("module", "name"), [(report_studies, "_pictures"), (pointing_game, "attend")])
def test_pictures_of_the_report(
    run, module, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    data, settings = run
    page = data.run / "report.html"
    with monkeypatch.context() as patch:
        asked: list = []
        patch.setattr(module, name, failing(getattr(module, name), asked))
        remake(page)
        assert report.make_report(data, settings) == PARTLY_FAILED
        assert len(asked) > 1
    said = capsys.readouterr().err
    assert "nobody foresaw this" in said and "Traceback" not in said
    assert page.is_file()
    assert report.make_report(data, settings) == 0
