"""Every example runs, as it stands."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_script_records_a_loop_of_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["your_own_loop.py", str(tmp_path)])
    runpy.run_path(str(EXAMPLES / "your_own_loop.py"), run_name="__main__")
    assert "48 snapshots" in capsys.readouterr().out  # every second of 94 batches
    for name in ("errors.png", "filters.gif", "feature_maps.html", "answer.png"):
        assert (tmp_path / name).stat().st_size > 5000


@pytest.mark.filterwarnings("default")  # of Jupyter's own machinery
def test_notebook_runs_from_top_to_bottom(monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("CNNVIZ_EXAMPLE_EPOCHS", "1")
    notebook = nbformat.read(EXAMPLES / "a_first_convnet.ipynb", as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    outputs = [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]
    shown = "".join(str(out.get("data", {}).get("text/html", "")) for out in outputs)
    assert shown.count("<iframe") == 5  # the errors and four films
    assert "test accuracy 0." in "".join(str(out.get("text", "")) for out in outputs)
    assert "207,258 parameters" in "".join(str(out.get("text", "")) for out in outputs)


def test_notebook_is_stored_without_outputs():
    import nbformat

    notebook = nbformat.read(EXAMPLES / "a_first_convnet.ipynb", as_version=4)
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code")


@pytest.mark.filterwarnings(
    "ignore:.*treespec, LeafSpec:FutureWarning", "ignore:.*does not have many workers"
)
def test_lightning_training_is_recorded(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["lightning_callback.py", str(tmp_path)])
    runpy.run_path(str(EXAMPLES / "lightning_callback.py"), run_name="__main__")
    assert "10 snapshots" in capsys.readouterr().out
    for name in ("errors.png", "filters.gif"):
        assert (tmp_path / name).stat().st_size > 5000


def test_hugging_face_training_is_recorded(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["huggingface_trainer.py", str(tmp_path)])
    runpy.run_path(str(EXAMPLES / "huggingface_trainer.py"), run_name="__main__")
    out = capsys.readouterr().out
    assert "10 snapshots" in out
    assert "at step 94" in out
    assert (tmp_path / "filters.gif").stat().st_size > 5000
