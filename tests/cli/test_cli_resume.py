"""`cnnviz train --resume`: which run, with which options, and to the same end."""

import json
import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from torch.nn import Linear

from cnnviz import Recorder, TrainConfig, fit, open_run


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A finished run of one epoch of the same options as `tiny`."""
    path = tmp_path_factory.mktemp("resumable") / "half"
    fit(TrainConfig(data="mnist-mini", batch_size=500, every=4, epochs=1, lr=0.05, device="cpu"), path)
    return path


@pytest.fixture
def done(trained, tmp_path):
    """That run under ./runs."""
    return Path(shutil.copytree(trained, tmp_path / "runs" / "half"))


@pytest.fixture
def stopped(done):
    """A run of two epochs under ./runs that was stopped after the first."""
    change_config(done, epochs=2)
    set_status(done, "stopped")
    return done


def set_status(path, status):
    with closing(sqlite3.connect(path / "run.db")) as connection, connection:
        connection.execute("UPDATE state SET value = ? WHERE key = 'status'", (status,))


def change_config(path, **values):
    manifest = json.loads((path / "run.json").read_text())
    manifest["description"]["config"].update(values)
    (path / "run.json").write_text(json.dumps(manifest))


def test_ctrl_c_stops_cleanly_and_resume_goes_on(start, cli, tiny, tmp_path):
    options = (*tiny, "--epochs", "5", "--name", "x")
    process = start("train", *options, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.startswith("epoch "):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "stopped   at step " in out
    assert "go on     cnnviz train --resume --name x\n" in out
    run = open_run(tmp_path / "runs" / "x")
    assert run.status == "stopped"
    assert run.steps[-1] < 60
    result = cli("train", "--resume")
    assert result.code == 0
    assert result.err.startswith("Going on with convnet on mnist-mini for 5 epochs into runs/x\n")
    assert run.status == "finished"
    assert run.steps[-1] == 60


def test_ctrl_c_before_the_training_leaves_nothing(start, tmp_path):
    process = start("train", "--data", "mnist-mini", stderr=subprocess.PIPE, text=True)
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert list((tmp_path / "runs").iterdir()) == []


def test_going_on_ends_as_if_never_stopped(stopped, cli, tiny, tmp_path):
    assert cli("train", "--resume", "--quiet") == (0, "", "")
    assert cli("train", *tiny, "--quiet", "--name", "whole", "--lr", "0.05", "--epochs", "2").code == 0
    half, whole = (open_run(tmp_path / "runs" / name) for name in ("half", "whole"))
    assert half.status == "finished"
    assert half.digests == whole.digests


@pytest.mark.parametrize("status", ["stopped", "failed", "running"])  # running without a writer: interrupted
def test_unfinished_runs_are_found(stopped, cli, status):
    set_status(stopped, status)
    assert cli("train", "--resume", "--quiet").code == 0
    assert open_run(stopped).status == "finished"


def test_finished_runs_are_not_found(done, cli):
    result = cli("train", "--resume")
    assert result.code == 1
    assert "no run under runs was left unfinished" in result.line


@pytest.mark.parametrize("name", [[], ["--name", "half"]])
def test_a_run_that_ended_before_its_first_checkpoint_begins_again(name, stopped, cli, tiny, tmp_path):
    (stopped / "resume.safetensors").unlink()
    set_status(stopped, "running")
    files = {path.name: path.stat().st_mtime_ns for path in (stopped / "snapshots").iterdir()}
    assert cli("train", "--resume", *name, "--quiet") == (0, "", "")
    cli("train", *tiny, "--quiet", "--name", "whole", "--lr", "0.05", "--epochs", "2")
    half, whole = (open_run(tmp_path / "runs" / name) for name in ("half", "whole"))
    assert half.digests == whole.digests
    assert {name: (stopped / "snapshots" / name).stat().st_mtime_ns for name in files} == files  # kept


def test_a_finished_run_without_a_checkpoint_does_not_begin_again(done, cli):
    (done / "resume.safetensors").unlink()
    line = cli("train", "--resume", "--name", "half", "--epochs", "9", "--quiet").line
    assert "no checkpoint to go on from" in line


def test_runs_of_other_loops_are_not_found(cli, tmp_path):
    with Recorder(tmp_path / "runs" / "own", Linear(2, 2)) as recorder:
        recorder.record(0)
        recorder.close("stopped")
    assert "was left unfinished by cnnviz train" in cli("train", "--resume").line


def test_a_complete_run_says_how_to_go_on(done, cli):
    result = cli("train", "--resume", "--name", "half")
    assert result.code == 0
    assert result.out.endswith("cnnviz train --resume --name half --epochs 2\n")
    assert cli("train", "--resume", "--name", "half", "--quiet") == (0, "", "")
    assert cli("train", "--resume", "--name", "half", "--epochs", "2", "--quiet").code == 0
    run = open_run(done)
    assert run.steps[-1] == 24
    assert run.manifest.description.config["epochs"] == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--lr", "0.5"], "--lr 0.5 differs from the run's 0.05"),
        (["--batch-size", "3"], "--batch-size 3 differs from the run's 500"),
        (["--model-arg", "depth=[1]"], "--model-arg {'depth': [1]} differs from the run's {}"),
        (["--epochs", "1"], "--epochs 1 is less than the run's 2"),
    ],
)
def test_other_options_may_not_change(stopped, cli, options, words):
    result = cli("train", "--resume", *options)
    assert result.code == 1
    assert words in result.line


def test_the_same_options_and_those_of_the_place_may_be_given(stopped, cli):
    same = ("--lr", "0.05", "--data-root", "elsewhere", "--device", "cpu", "--epochs", "2")
    assert cli("train", "--resume", "--quiet", *same).code == 0
    assert open_run(stopped).manifest.description.config["data_root"] == "elsewhere"


@pytest.mark.parametrize(("option", "value"), [("model", "os:system"), ("data", "os:system")])
def test_code_that_only_the_run_names_is_not_imported(stopped, cli, option, value):
    change_config(stopped, **{option: value})
    result = cli("train", "--resume")
    assert result.code == 1
    assert f"name it again to go on, --{option} {value}" in result.line


def test_a_run_of_another_loop_is_refused(stopped, cli):
    manifest = json.loads((stopped / "run.json").read_text())
    manifest["description"]["config"] = {}
    (stopped / "run.json").write_text(json.dumps(manifest))
    assert "was not made by cnnviz train" in cli("train", "--resume", "--name", "half").line


def test_options_of_a_later_cnnviz_are_refused(stopped, cli):
    change_config(stopped, teacher="resnet18")
    assert "doesn't know: teacher" in cli("train", "--resume").line


def test_a_name_that_is_no_run(cli):
    assert cli("train", "--resume", "--name", "nope").line.startswith("Error: runs/nope is not a run")
    assert "runs is not a folder" in cli("train", "--resume").line
