"""`cnnviz train`: real trainings, names, errors, and what is shown."""

import os
import pty
import re
from dataclasses import fields

import pytest
from typer.main import get_command

from cnnviz import TrainConfig, open_run
from cnnviz.cli.app import app
from cnnviz.cli.naming import claim_folder, default_name


def test_every_field_of_the_config_is_an_option_with_its_default():
    options = {option.name: option for option in get_command(app).commands["train"].params}
    for field in fields(TrainConfig):
        assert field.name in options
        if field.name != "model_arguments":
            assert options[field.name].default == getattr(TrainConfig(), field.name)


def test_a_training_leaves_a_run_and_says_where(cli, tiny, tmp_path):
    result = cli("train", *tiny, "--seed", "7", "--model-arg", "depth=[2,3]", "--samples", "5")
    assert result.code == 0, result.err
    run = open_run(tmp_path / "runs" / "convnet-mnist-mini")
    assert run.status == "finished"
    assert run.steps.tolist() == [0, 4, 8, 12]
    assert run.manifest.description.config["seed"] == 7
    assert run.manifest.description.arguments["depth"] == [2, 3]
    assert len(run.samples) == 5
    told = result.err.splitlines()
    assert told[0] == "Training convnet on mnist-mini for 1 epoch into runs/convnet-mnist-mini"
    assert told[1] == f"{run.manifest.parameters:,} parameters on cpu, 12 steps"
    assert "epoch 1/1  step 12/12  loss " in told[-1]
    assert f"finished  test error {run.metric('test/error')[1][-1]:.2%}" in result.out
    assert "runs/convnet-mnist-mini, 4 snapshots" in result.out
    assert result.out.endswith("cnnviz dashboard\n")


def test_quiet_is_quiet(cli, tiny, tmp_path):
    assert cli("train", *tiny, "--quiet", "--root", "some where", "--name", "a b") == (0, "", "")
    assert open_run(tmp_path / "some where" / "a b").status == "finished"


def test_another_root_is_named_in_the_next_command(cli, tiny):
    assert cli("train", *tiny, "--root", "some where").out.endswith("cnnviz dashboard 'some where'\n")


@pytest.mark.parametrize(
    ("model", "data", "name"),
    [
        ("convnet", "mnist", "convnet-mnist"),
        ("resnet18", "folder:/data/My flowers/", "resnet18-My-flowers"),
        ("mine.nets:Small", "mine.sets:digits", "Small-digits"),
        ("convnet", "folder:/", "convnet-data"),
    ],
)
def test_the_default_name(model, data, name):
    assert default_name(model, data) == name


def test_taken_names_are_counted_up(tmp_path):
    root = tmp_path / "runs"
    assert [claim_folder(root, "a").name for _ in range(3)] == ["a", "a-2", "a-3"]


def test_a_training_that_fails_leaves_no_folder(cli, tmp_path):
    result = cli("train", "--data", "nope")
    assert result.code == 1
    assert "no data set is named 'nope'" in result.err
    assert list((tmp_path / "runs").iterdir()) == []


def test_an_existing_name_is_refused(cli, tiny, small):
    result = cli("train", *tiny, "--name", "small", "--quiet")
    assert result.code == 1
    assert "runs/small exists already" in result.line


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--epochs", "0"], "epochs must be 1 or more, not 0"),
        (["--optimizer", "lion"], "one of adam, adamw, rmsprop, sgd"),
        (["--device", "quantum"], "there is no device 'quantum'"),
        (["--model", "nope"], "no model is named 'nope'"),
        (["--model-arg", "nope=1"], "takes no argument 'nope'"),
        (["--root", "file"], "file is not a folder"),
        (["--data-root", "empty", "--data", "mnist"], "--data mnist-mini"),
    ],
)
def test_errors_are_one_line(cli, tiny, tmp_path, monkeypatch, options, words):
    (tmp_path / "file").touch()
    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", offline)
    result = cli("train", *tiny, "--quiet", *options)
    assert result.code == 1
    assert words in result.line


def offline(*_, **__):
    raise OSError("no network")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model-arg", "depth"], "'depth' is not KEY=VALUE"),
        (["--model-arg", "a=1", "--model-arg", "a=2"], "a is given twice"),
        (["--name", "a/b"], "not the name of one folder"),
        (["--name", ".."], "not the name of one folder"),
        (["--name", ""], "not the name of one folder"),
    ],
)
def test_wrong_usage(cli, options, words):
    result = cli("train", *options)
    assert result.code == 2
    assert words in result.err


def test_divergence_is_an_error_that_names_the_step(cli, tiny):
    result = cli("train", *tiny, "--lr", "1e30", "--name", "wild")
    assert result.code == 1
    (last,) = [line for line in result.err.splitlines() if line.startswith("Error: ")]
    assert re.search(r"the training diverged at step \d+: .* try a lower learning rate: --lr 1e\+29", last)
    assert "diverged  at step " in result.out
    again = cli("train", "--resume", "--name", "wild")
    assert again.code == 1
    assert "train anew" in again.line


def test_in_a_terminal_a_bar_stays_in_place(start, tiny):
    ours, theirs = pty.openpty()
    process = start("train", *tiny, stdout=theirs, stderr=theirs, stdin=theirs)
    os.close(theirs)
    shown = b""
    while chunk := read_terminal(ours):
        shown += chunk
    os.close(ours)
    assert process.wait() == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    assert "epoch 1/1 " in text
    assert "step 12/12  left 0:00" in text
    assert re.search(r"loss \d.\d{4}  training error \S+%  validation error \S+%  \S+ images/s", text)
    assert "\x1b[?25h" in shown.decode()  # the cursor is back


def read_terminal(handle):
    try:
        return os.read(handle, 65536)
    except OSError:  # how Linux says that the other side is closed
        return b""


def test_a_warning_is_one_line(cli, tiny, monkeypatch):
    def write_checkpoint(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cnnviz.training.loop.write_checkpoint", write_checkpoint)
    result = cli("train", *tiny, "--quiet", "--name", "x")
    assert result.code == 0
    assert result.err.startswith("Warning: runs/x takes no checkpoint: [Errno 28] No space left on device.")
    assert result.err.count("\n") == 1


def test_snapshots_by_a_schedule(cli, tiny, tmp_path):
    schedule = ("--snapshots", "at(1, 5)", "--within", "10 MB")
    assert cli("train", *tiny, "--quiet", "--name", "x", *schedule).code == 0
    run = open_run(tmp_path / "runs" / "x")
    assert run.steps.tolist() == [0, 1, 5, 12]
    config = run.manifest.description.config
    assert (config["snapshots"], config["within"]) == ("at(1, 5)", "10 MB")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (("--snapshots", "daily"), "Error: 'daily' is no schedule"),
        (("--snapshots", "every(0)"), "the distance must be 1 step or more"),
        (("--within", "much"), "within('much'): a size is"),
        (("--within", "1 kB"), "allow more"),
    ],
)
def test_schedules_that_are_none(option, words, cli, tiny):
    result = cli("train", *tiny, "--quiet", *option)
    assert result.code == 1
    assert words in result.line
