"""`cnnviz runs` and `cnnviz show`: tables for people, JSON for programs."""

import json
import shutil

import pytest

from cnnviz.recording.lock import WriterLock


def test_runs_lists_each_run_on_a_line(cli, small, run):
    (line,) = [line for line in cli("runs").out.splitlines() if line.startswith("small ")]
    assert line.split()[1:4] == ["finished", "convnet", "mnist-mini"]
    assert f"{run.metric('test/error')[1][-1]:.2%}" in line


def test_runs_as_json_has_full_precision(cli, small, run):
    (facts,) = json.loads(cli("runs", "--json").out)
    assert facts["test_error"] == run.metric("test/error")[1][-1]
    assert facts["name"] == "small"
    assert (facts["snapshots"], facts["first_step"], facts["last_step"]) == (4, 0, 12)


def test_a_narrow_terminal_gets_two_lines_a_run(cli, small, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = cli("runs").out.splitlines()
    assert "convnet on mnist-mini" in lines[3]
    assert max(len(line) for line in lines) <= 80


def test_runs_that_cannot_be_read_are_listed_with_their_problem(cli, small, tmp_path):
    for name, content in {"torn": "{", "[bold]": "[]"}.items():
        (tmp_path / "runs" / name).mkdir()
        (tmp_path / "runs" / name / "run.json").write_text(content)
    result = cli("runs")
    assert result.code == 0
    assert "torn can't be read: runs/torn/run.json can't be read" in result.out
    assert "[bold]" in result.out  # a name is no markup
    problems = [facts for facts in json.loads(cli("runs", "--json").out) if "problem" in facts]
    assert {facts["name"] for facts in problems} == {"torn", "[bold]"}


def test_a_run_without_its_database_is_listed(cli, small, tmp_path):
    (tmp_path / "runs" / "half").mkdir()
    (tmp_path / "runs" / "half" / "run.json").write_bytes((small / "run.json").read_bytes())
    assert "half can't be read" in cli("runs").out


@pytest.fixture
def headless(small, tmp_path):
    """The run "headless" under ./runs, without its run.json."""
    path = tmp_path / "runs" / "headless"
    shutil.copytree(small, path)
    (path / "run.json").unlink()
    return path


@pytest.mark.parametrize("left", ["run.db", "snapshots"])
def test_a_run_without_its_run_json_is_listed_and_shown_as_damaged(cli, headless, left):
    if left == "run.db":
        shutil.rmtree(headless / "snapshots")
    else:
        (headless / "run.db").unlink()
    problem = "runs/headless/run.json is missing; mend it with: cnnviz check runs/headless --repair"
    assert f"headless can't be read: {problem}\n" in cli("runs").out
    found = {run["name"]: run for run in json.loads(cli("runs", "--json").out)}
    assert found["headless"]["problem"] == problem
    for name in ("headless", "runs/headless"):
        assert cli("show", name).line == f"Error: {problem}"


def test_a_recording_that_just_begins_and_folders_of_others_are_no_damaged_runs(cli, headless, tmp_path):
    (tmp_path / "runs" / "other" / "snapshots").mkdir(parents=True)
    (tmp_path / "runs" / "other" / "snapshots" / "holiday.safetensors").write_bytes(b"")
    lock = WriterLock(headless / "writer.lock")
    assert [run["name"] for run in json.loads(cli("runs", "--json").out)] == ["small"]
    lock.release()


def test_a_repair_is_offered_where_a_run_can_not_be_read(cli, small, tmp_path):
    shutil.copytree(small, tmp_path / "runs" / "half")
    (tmp_path / "runs" / "half" / "run.db").unlink()
    assert "run.db is not there; mend it with: cnnviz check runs/half --repair\n" in cli("runs").out


def test_samples_that_are_gone(cli, small, tmp_path):
    shutil.copytree(small, tmp_path / "own")
    assert "mnist-mini, 100 samples kept " in cli("show", "own").out
    (tmp_path / "own" / "samples.safetensors").unlink()
    assert "mnist-mini, 100 samples were recorded, and are gone " in cli("show", "own").out
    facts = json.loads(cli("show", "own", "--json").out)
    assert (facts["samples"], facts["samples_recorded"]) == (0, 100)


def test_an_empty_folder_says_how_to_train(cli, tmp_path):
    assert "train one with: cnnviz train" in cli("runs", tmp_path).out
    assert cli("runs", tmp_path, "--json").out == "[]\n"


def test_a_missing_folder_is_an_error(cli):
    result = cli("runs")
    assert result.code == 1
    assert "runs does not exist; train first (cnnviz train)" in result.line


def test_a_runs_own_folder_stands_for_its_parent(cli, small):
    assert "small" in cli("runs", "runs/small").out


@pytest.mark.parametrize("how", ["small", "runs/small"])
def test_show_by_name_and_path(cli, small, run, how):
    out = cli("show", how).out
    assert out.startswith("small  finished")
    assert f"convnet (ConvNet), {run.manifest.parameters:,} parameters" in out
    assert "4 (steps 0 to 12)" in out
    assert f"{run.metric('test/error')[1][-1]:.2%}" in out
    (row,) = [line for line in out.splitlines() if line.startswith("conv1")]
    assert "Conv2d" in row
    assert "4 × 28 × 28" in row
    assert "gradient norm" in out


def test_show_as_json(cli, run_path, run):
    facts = json.loads(cli("show", run_path, "--json").out)
    assert facts["metrics"]["validation/loss"] == run.metric("validation/loss")[1][-1]
    assert facts["layers"][0] == {"name": "conv1", "kind": "Conv2d", "shape": [4, 28, 28]}
    assert facts["config"]["batch_size"] == 500
    assert facts["bytes"] == sum(snapshot.bytes for snapshot in run)


def test_numbers_that_json_cannot_hold_are_null(cli, tmp_path):
    import torch

    from cnnviz import Recorder

    with Recorder(tmp_path / "mine", torch.nn.Linear(2, 2)) as recorder:
        recorder.record(0, {"loss": float("nan")})
    assert json.loads(cli("show", "mine", "--json").out)["metrics"] == {"loss": None}
    out = cli("show", "mine").out
    assert "Linear" in out
    assert "–" in out


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nope", "there is no run 'nope', at that path or under runs; the runs under runs are small"),
        ("runs", "small"),
    ],
)
def test_show_what_is_no_run(cli, small, name, words):
    result = cli("show", name)
    assert result.code == 1
    assert words in result.line
