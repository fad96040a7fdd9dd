"""`cnnviz import`: what it prints, names and refuses."""

import os
import pty
import re
import sys
from pathlib import Path

import pytest
import torch

from cnnviz import models, open_run


@pytest.fixture
def nets(tmp_path):
    """A folder of states of a small convnet."""
    folder = tmp_path / "my nets"
    folder.mkdir()
    network = models.build("convnet", channels=1, classes=10, image_size=28, depth=[2, 3], hidden=8)
    for step in (100, 200):
        state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
        torch.save({"state_dict": state, "epoch": 1}, folder / f"step_{step}.pt")
    return folder


def test_an_import_says_what_it_did(cli, nets, tmp_path):
    result = cli("import", nets, "--model", "convnet", "--data", "mnist-mini", "--samples", 5)
    assert result.code == 0, result.err
    assert result.err == f"Importing {nets} into runs/convnet-my-nets\n"
    run = open_run(tmp_path / "runs" / "convnet-my-nets")
    assert result.out.splitlines() == [
        "finished  steps 100 to 200, from steps in names",
        f"network   convnet, {run.manifest.parameters:,} parameters",
        "names     under the key state_dict, without the prefix module.",
        "run       runs/convnet-my-nets, 2 snapshots",
        "look      cnnviz dashboard",
    ]
    assert len(run.samples) == 5
    assert cli("plot", "filters", run.path, "-o", "filters.png").code == 0
    assert cli("show", run.path).code == 0


def test_without_a_model_there_are_weights(cli, nets):
    result = cli("import", nets, "--root", "some where", "--name", "a b")
    assert "network   unnamed network, " in result.out
    assert result.out.endswith("cnnviz dashboard 'some where'\n")
    assert cli("plot", "filters", "some where/a b", "-o", "filters.png").code == 0


def test_quiet_is_quiet(cli, nets):
    assert cli("import", nets, "--quiet") == (0, "", "")


def test_a_pattern_and_one_file(cli, nets):
    result = cli("import", nets / "step_200.pt", "--step-pattern", "step_([0-9])", "--model", "convnet")
    assert "finished  step 2, from --step-pattern" in result.out


def test_model_arguments_are_passed_on(cli, nets):
    result = cli("import", nets, "--model", "convnet", "--model-arg", "hidden=9", "--quiet")
    assert result.code == 1
    assert "fc1.weight is 8×147, not 9×147" in result.line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere is not there"),
        (["my nets", "--model", "resnet18"], "it lacks"),
        (["my nets", "--model", "nope"], "no model is named 'nope'"),
        (["my nets", "--step-pattern", "("], "no regular expression"),
        (["my nets", "--link"], "leave --link out"),
        (["my nets", "--image-size", "0"], "the image size must be at least 1"),
        (["my nets", "--model-arg", "hidden=1"], "--model NAME"),
        (["my nets", "--data", "nope", "--model", "convnet"], "no data set is named 'nope'"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(cli, nets, tmp_path, arguments, words):
    result = cli("import", *arguments, "--quiet")
    assert result.code == 1
    assert words in result.line
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_file_that_would_execute_is_refused(cli, nets, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'executed'}",)

    torch.save(Evil(), nets / "step_300.pt")
    result = cli("import", nets, "--quiet")
    assert result.code == 1
    assert (
        "step_300.pt holds code or objects beside weights (posix.system), and cnnviz never executes"
        in result.line
    )
    assert not (tmp_path / "executed").exists()


def test_a_damaged_file_ends_the_import_and_the_way_out_is_named(cli, nets):
    (nets / "step_300.pt").touch()
    result = cli("import", nets, "--quiet")
    assert result.code == 1
    assert result.line.endswith(
        "step_300.pt can't be read: it is empty; to import the others without it: --skip-damaged"
    )


def test_damaged_files_are_skipped_and_named(cli, nets, tmp_path):
    (nets / "step_300.pt").touch()
    torch.save({"conv1.weight": torch.ones(2)}, nets / "step_400.pt")
    result = cli("import", nets, "--model", "convnet", "--skip-damaged")
    assert result.code == 0, result.err
    told = [line for line in result.err.splitlines() if line.startswith("Warning: left out: ")]
    assert ["step_300.pt" in told[0], "step_400.pt" in told[1], len(told)] == [True, True, 2]
    assert "skipped   2 damaged files, named above\n" in result.out
    assert open_run(tmp_path / "runs" / "convnet-my-nets").steps.tolist() == [100, 200]


def test_if_none_is_left_it_is_an_error(cli, tmp_path):
    for step in (1, 2):
        (tmp_path / f"{step}.pt").touch()
    result = cli("import", "1.pt", "2.pt", "--skip-damaged", "--quiet")
    assert result.code == 1
    *warnings, error = result.err.splitlines()
    assert [line.startswith("Warning: left out: ") for line in warnings] == [True, True]
    assert error.startswith("Error: no checkpoint is left to import: ")
    assert error.endswith("1.pt can't be read: it is empty, and 1 more is left out")


MINE = """
from torch import nn

def make():
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.Flatten(), nn.Linear(8 * 26 * 26, 10))

def large():
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.Flatten(), nn.Linear(8 * 48 * 48, 10))

def broken():
    raise RuntimeError("boom")
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Networks of a user's own in the module cli_import_nets, and two checkpoints."""
    (tmp_path / "cli_import_nets.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(tmp_path))
    import cli_import_nets

    for name in ("make", "large"):
        state = getattr(cli_import_nets, name)().state_dict()
        torch.save({f"net.{key}": tensor for key, tensor in state.items()}, tmp_path / f"{name}_1.pt")
    yield
    sys.modules.pop("cli_import_nets")


@pytest.mark.usefixtures("mine")
def test_a_network_of_ones_own(cli):
    result = cli("import", "make_1.pt", "--model", "cli_import_nets:make")
    assert result.code == 0, result.err
    assert result.out.splitlines()[1:5] == [
        "network   Sequential, 54,170 parameters",
        "layers    found with an image of 1×28×28; for another size: --image-size",
        "names     without the prefix net.",
        f"run       runs/make-{Path.cwd().name}, 1 snapshot",
    ]
    with_data = cli("import", "make_1.pt", "--model", "cli_import_nets:make", "--data", "mnist-mini")
    assert with_data.code == 0, with_data.err
    assert "layers" not in with_data.out


@pytest.mark.usefixtures("mine")
def test_what_to_give_where_no_image_fits(cli):
    guess = cli("import", "large_1.pt", "--model", "cli_import_nets:large")
    assert guess.code == 0, guess.err
    (line,) = [line for line in guess.out.splitlines() if line.startswith("layers")]
    assert "without shapes, as running it failed (" in line
    assert line.endswith("give the size of its images: --image-size")
    told = cli("import", "large_1.pt", "--model", "cli_import_nets:large", "--image-size", 50)
    assert "layers" not in told.out


@pytest.mark.usefixtures("mine")
def test_a_factory_that_fails_is_one_line(cli):
    result = cli("import", "make_1.pt", "--model", "cli_import_nets:broken", "--quiet")
    assert result.code == 1
    assert "cli_import_nets:broken" in result.line
    assert "RuntimeError: boom" in result.line


@pytest.mark.parametrize("arguments", [[], ["x", "--model-arg", "a"], ["x", "--name", "a/b"]])
def test_wrong_usage(cli, arguments):
    assert cli("import", *arguments).code == 2


def test_in_a_terminal_there_is_a_bar(start, nets):
    ours, theirs = pty.openpty()
    process = start("import", str(nets), stdout=theirs, stderr=theirs, stdin=theirs)
    os.close(theirs)
    shown = b""
    while chunk := read_terminal(ours):
        shown += chunk
    os.close(ours)
    assert process.wait() == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    assert "checkpoints 2/2" in text
    assert "\x1b[?25h" in shown.decode()  # the cursor is back


def read_terminal(handle):
    try:
        return os.read(handle, 65536)
    except OSError:  # how Linux says that the other side is closed
        return b""
