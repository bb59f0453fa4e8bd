"""The tutorial notebook runs from its first cell to its last, and is kept without outputs."""

import json
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TUTORIAL = ROOT / "docs" / "tutorial.ipynb"
WIDGET = "application/vnd.jupyter.widget-view+json"


def test_it_is_kept_without_outputs() -> None:
    cells = [cell for cell in json.loads(TUTORIAL.read_text())["cells"] if cell["cell_type"] == "code"]
    assert cells and all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


@pytest.mark.slow
def test_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, client = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    pytest.importorskip("ipyniivue")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook = nbformat.read(TUTORIAL, as_version=4)
    client.NotebookClient(notebook, timeout=3600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = {cell.source: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    for call in ("study.show(segmentation)", "study.show(segmentation, result)"):
        assert WIDGET in outputs[call][-1].data, call
    (table,) = (found[-1].data["text/plain"] for source, found in outputs.items() if source.endswith("result.table"))
    assert "patient_overall" in table and "not in view" not in table
    (peaks,) = (found[-1].text for source, found in outputs.items() if "result.peaks" in source)
    assert [line[:2] for line in peaks.splitlines()] == [f"C{n}" for n in range(1, 8)]
    (page,) = tmp_path.glob("*/result.html")
    assert page.read_text().endswith("</html>")
