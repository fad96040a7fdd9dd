"""Filters as planes: which layers have them, and that they are the weights."""

import numpy as np
import pytest
import torch
from torch import nn

import cnnviz
from cnnviz.analysis.filters import conv_layers, filter_planes, input_channels
from cnnviz.errors import LayerError


class Many(nn.Module):
    def __init__(self):
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 5, (2, 3))
        self.grouped = nn.Conv2d(4, 8, 3, groups=2)
        self.line = nn.Conv1d(2, 6, 7)
        self.fc = nn.Linear(3, 2)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    torch.manual_seed(0)
    path, model = tmp_path_factory.mktemp("many") / "r", Many()
    with cnnviz.Recorder(path, model, snapshots=cnnviz.every(1)) as recorder:
        recorder.record(0)
        with torch.no_grad():
            model.up.weight.mul_(2)
        recorder.record(1)
    return cnnviz.open_run(path)


def test_convolutions_in_forward_order(run, many):
    assert conv_layers(run) == {"conv1": "Conv2d", "conv2": "Conv2d"}
    assert list(conv_layers(many)) == ["up", "grouped", "line"]
    assert conv_layers(run[:0]) == {}


def test_input_channels(run, many):
    assert [input_channels(run, name) for name in ("conv1", "conv2", "fc1", "nope")] == [1, 4, 0, 0]
    assert [input_channels(many, name) for name in ("up", "grouped", "line")] == [3, 2, 2]


def test_planes_are_the_weights(run):
    for channel in range(4):
        planes, layer = filter_planes(run, "conv2", channel)
        assert layer == "conv2"
        assert planes.shape == (4, 8, 5, 5)
        for row, snapshot in zip(planes, run, strict=True):
            assert np.array_equal(row, snapshot.state["conv2.weight"][:, channel].numpy())
    assert filter_planes(run, None, 0)[1] == "conv1"


def test_planes_of_other_convolutions(many):
    for step, snapshot in enumerate(many):
        up = filter_planes(many, "up", 2)[0][step]
        assert np.array_equal(up, snapshot.state["up.weight"][2].numpy())
        line = filter_planes(many, "line", 1)[0][step]
        assert np.array_equal(line, snapshot.state["line.weight"][:, 1].numpy()[:, None, :])
        grouped = filter_planes(many, "grouped", 1)[0][step]
        assert np.array_equal(grouped, snapshot.state["grouped.weight"][:, 1].numpy())


@pytest.mark.parametrize(
    ("layer", "channel", "problem"),
    [
        ("fc1", 0, "layer 'fc1' is a Linear; filters are drawn of convolutions: conv1, conv2"),
        ("nope", 0, "layer 'nope' is not in the network; filters are drawn of convolutions: conv1, conv2"),
        ("conv1", 1, "layer 'conv1' has no input channel 1; it has 1, counted from 0"),
        ("conv2", -1, "layer 'conv2' has no input channel -1; it has 4, counted from 0"),
    ],
)
def test_errors(run, layer, channel, problem):
    with pytest.raises(LayerError) as caught:
        filter_planes(run, layer, channel)
    assert str(caught.value) == problem


def test_of_complex_weights_the_modulus_is_drawn(tmp_path):
    model = nn.Conv2d(1, 1, 2, dtype=torch.complex64)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[[[3 + 4j, 0], [-2, 1j]]]]))
    with cnnviz.Recorder(tmp_path / "r", nn.Sequential(model), snapshots=cnnviz.every(1)) as recorder:
        recorder.record(0)
    planes, _ = filter_planes(cnnviz.open_run(tmp_path / "r"), None, 0)
    assert planes.dtype == np.float32
    assert planes.tolist() == [[[[5, 0], [2, 1]]]]


def test_weights_that_are_none_of_a_convolution(tmp_path):
    model = nn.Sequential(nn.Conv2d(1, 1, 2))
    with cnnviz.Recorder(tmp_path / "r", model, snapshots=cnnviz.every(1)) as recorder:
        model[0].weight.data = torch.zeros(3, 1)
        recorder.record(0)
    with pytest.raises(LayerError, match=r"layer '0' have the shape \(3, 1\), so it is no Conv2d"):
        filter_planes(cnnviz.open_run(tmp_path / "r"), "0", 0)
