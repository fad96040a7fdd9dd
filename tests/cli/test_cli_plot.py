"""`cnnviz plot`: films and stills as files, options from the plots' own controls."""

import shutil

import numpy as np
import pytest

from cnnviz.charts.chart import Bars, Film
from cnnviz.cli.plot import _arguments
from cnnviz.plots.plot import PLOTS, Choice, Control, Plot


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (["filters", "-o", "a.gif"], b"GIF8"),
        (["filters", "-o", "a.png"], b"\x89PNG"),
        (["filters", "--step", "8", "--layer", "conv2", "--channel", "3", "-o", "a.png"], b"\x89PNG"),
        (["errors", "-o", "a.svg"], b"<?xml"),
        (["feature_maps", "--layer", "relu2", "--image", "2", "-o", "a.html"], b"<!"),
        (["probabilities", "--set", "image=2", "--step", "0", "-o", "a.pdf"], b"%PDF"),
    ],
)
def test_files(cli, run_path, tmp_path, arguments, start):
    name, *options = arguments
    result = cli("plot", name, run_path, *options)
    assert result == (0, f"Wrote {options[-1]}\n", "")
    assert (tmp_path / options[-1]).read_bytes().startswith(start)


def test_an_image_file(cli, run_path, tmp_path):
    from PIL import Image

    Image.fromarray(np.zeros((50, 40, 3), np.uint8)).save(tmp_path / "mine.png")
    assert cli("plot", "probabilities", run_path, "--image", "mine.png", "-o", "p.png").code == 0


def test_list_names_all_plots_and_their_options(cli):
    result = cli("plot", "--list")
    assert result.code == 0
    for name in PLOTS.names():
        assert f"{name} " in result.out
    assert "--layer --channel" in result.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nope", "-o", "a.png"], "Known: errors, feature_maps, filters"),
        (["filters", "-o", "a.jpg"], ".png"),
        (["filters", "-o", "no/a.png"], "there is no folder no"),
        (["errors", "-o", "a.gif"], "cannot be saved as .gif"),
        (["filters", "--step", "5", "-o", "a.png"], "nearest are 4 and 8"),
        (["filters", "--image", "1", "-o", "a.png"], "no option --image; it has --layer, --channel"),
        (["filters", "--set", "target=1", "-o", "a.png"], "no option --set target=…"),
        (["errors", "--layer", "conv1", "-o", "a.png"], "no option --layer; it has none"),
        (["filters", "--layer", "fc1", "-o", "a.png"], "conv1, conv2"),
        (["filters", "--channel", "9", "-o", "a.png"], "channel 9"),
        (["filters", "--set", "channel=x", "-o", "a.png"], "filters"),
        (["feature_maps", "--image", "99999", "-o", "a.png"], "no sample 99999"),
        (["feature_maps", "--image", "no.png", "-o", "a.png"], "no.png"),
        (["os:getcwd", "-o", "a.png"], "os:getcwd is a builtin_function_or_method, not a plot"),
    ],
)
def test_errors_are_one_line(cli, run_path, tmp_path, arguments, words):
    name, *options = arguments
    result = cli("plot", name, run_path, *options)
    assert result.code == 1
    assert words in result.line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--layer", "conv1", "--set", "layer=conv2", "-o", "a.png"], "layer is given twice"),
        (["--set", "layer", "-o", "a.png"], "'layer' is not KEY=VALUE"),
        ([], "--output"),
    ],
)
def test_wrong_usage(cli, run_path, options, words):
    result = cli("plot", "filters", run_path, *options)
    assert result.code == 2
    assert words in result.err


def test_a_new_control_is_usable_at_once(run):
    def draw(run, *, target):
        return Film("x", (Bars("x", np.full((len(run), 1), target), ("a",), "x"),), run.steps)

    control = Control("target", "Target", lambda run, _: [Choice("3", "three")], int)
    plot = Plot("new", draw, (control,))
    assert _arguments(plot, run, {}) == {"target": 3}
    assert _arguments(plot, run, {"target": "5"}) == {"target": 5}


def test_a_network_of_ones_own(cli, tmp_path, monkeypatch):
    import torch

    from cnnviz import Recorder

    (tmp_path / "nets_of_mine.py").write_text(
        "import torch\ndef net():\n    return torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    samples = (torch.zeros(2, 1, 8, 8), torch.zeros(2, dtype=torch.int64))
    with Recorder(
        tmp_path / "mine", torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3)), samples=samples
    ) as recorder:
        recorder.record(0)
    assert "a class of its user's own" in cli("plot", "feature_maps", "mine", "-o", "a.png").line
    assert cli("plot", "feature_maps", "mine", "--model", "nets_of_mine:net", "-o", "a.png").code == 0


def test_what_is_left_out_is_one_line(cli, run_path, tmp_path):
    torn = shutil.copytree(run_path, tmp_path / "runs" / "torn")
    (torn / "snapshots" / "00000004.safetensors").write_bytes(b"torn")
    result = cli("plot", "filters", "torn", "-o", "a.png")
    assert result.code == 0
    assert result.err == (
        "Warning: the snapshot at step 4 is left out, as damaged: cnnviz check runs/torn says more\n"
    )
    assert (tmp_path / "a.png").exists()
