"""The probe, on the network with hand-set weights of GROUND_TRUTH.md and on networks that try to mislead it."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from cnnviz.errors import CnnvizError, LayerError
from cnnviz.probe import Probe, layers_in_order

IMAGE = torch.arange(16.0).reshape(1, 1, 4, 4)


class HandSet(nn.Module):
    """conv 1->2 of ones with biases -50 and -75, relu, linear 8->4 of five +1 and three -1, relu."""

    def __init__(self, inplace=False):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 2, 3)
        self.relu1 = nn.ReLU(inplace)
        self.fc1 = nn.Linear(8, 4, bias=False)
        self.relu2 = nn.ReLU(inplace)
        with torch.no_grad():
            self.conv1.weight.fill_(1)
            self.conv1.bias.copy_(torch.tensor([-50.0, -75.0]))
            self.fc1.weight.copy_(torch.tensor([1.0] * 5 + [-1.0] * 3).expand(4, 8))

    def forward(self, x):
        return self.relu2(self.fc1(self.relu1(self.conv1(x)).flatten(1)))


class Functional(HandSet):
    """The same, its ReLUs functional and in place, on what the convolution put out."""

    def forward(self, x):
        x = functional.relu(self.conv1(x), inplace=True)
        return functional.relu_(self.fc1(x.flatten(1)))


CONV1 = [[[-5.0, 4.0], [31.0, 40.0]], [[-30.0, -21.0], [6.0, 15.0]]]
RELU1 = [[[0.0, 4.0], [31.0, 40.0]], [[0.0, 0.0], [6.0, 15.0]]]
GRADIENT_RELU1 = [[[1.0, 1.0], [1.0, 1.0]], [[1.0, -1.0], [-1.0, -1.0]]]
GRADIENT_CONV1 = [[[0.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [-1.0, -1.0]]]
GRADIENT_IMAGE = [[0.0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1], [0, 0, 0, 0]]


def hooks(model):
    return sum(len(m._forward_hooks) + len(m._backward_hooks) for m in model.modules())


@pytest.mark.parametrize("inplace", [False, True])
def test_known_activations_and_gradients(inplace):
    model = HandSet(inplace)
    image = IMAGE.clone().requires_grad_()
    with Probe(model, ["conv1", "relu1", "fc1"]) as probe:
        output = model(image)
        output[0, 0].backward()
    assert output.tolist() == [[54.0] * 4]
    assert probe["conv1"][0].tolist() == CONV1
    assert probe["relu1"][0].tolist() == RELU1
    assert probe["fc1"].tolist() == [[54.0] * 4]
    assert probe.gradients["relu1"][0].tolist() == GRADIENT_RELU1
    assert probe.gradients["conv1"][0].tolist() == GRADIENT_CONV1
    assert probe.gradients["fc1"].tolist() == [[1.0, 0.0, 0.0, 0.0]]
    assert image.grad[0, 0].tolist() == GRADIENT_IMAGE


def test_functional_operations_in_place_leave_the_capture_alone():
    model = Functional()
    with Probe(model, ["conv1", "fc1"]) as probe:
        model(IMAGE)[0, 0].backward()
    assert probe["conv1"][0].tolist() == CONV1
    assert probe.gradients["conv1"][0].tolist() == GRADIENT_CONV1


@pytest.mark.parametrize("make", [HandSet, Functional])
def test_watching_changes_nothing(make):
    model = make()
    bare = model(IMAGE)
    with Probe(model, ["conv1", "fc1"]):
        watched = model(IMAGE)
    assert torch.equal(bare, watched)


def test_hooks_stand_only_inside_the_context():
    model = HandSet()
    probe = Probe(model, ["conv1", "relu1"])
    assert hooks(model) == 0
    with probe:
        assert hooks(model) == 2
    assert hooks(model) == 0


def test_hooks_are_gone_after_an_exception():
    model = HandSet()
    with pytest.raises(RuntimeError), Probe(model, ["conv1"]):
        model(torch.zeros(1, 3, 4, 4))
    assert hooks(model) == 0
    with pytest.raises(KeyError, match="mine"), Probe(model, ["conv1"]):
        raise KeyError("mine")
    assert hooks(model) == 0


def test_a_layer_that_runs_several_times_keeps_its_last():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.twofold = nn.Linear(1, 1, bias=False)
            self.twofold.weight = nn.Parameter(torch.tensor([[2.0]]))

        def forward(self, x):
            return 10 * self.twofold(self.twofold(x))

    model = Twice()
    with Probe(model, ["twofold"]) as probe:
        model(torch.tensor([[3.0]])).backward()
        assert probe["twofold"].tolist() == [[12.0]]
        assert probe.gradients["twofold"].tolist() == [[10.0]]  # of that same last output, not 20
        for _ in range(3):
            assert probe.run(torch.tensor([[3.0]]))["twofold"].tolist() == [[12.0]]


def test_unknown_layers_list_the_known():
    with pytest.raises(LayerError) as caught:
        Probe(HandSet(), ["conv1", "conv9"])
    assert str(caught.value) == "the network has no layer 'conv9'; it has conv1, relu1, fc1, relu2"
    with pytest.raises(LayerError, match="no layer ''"):
        Probe(HandSet(), [""])


def test_what_was_not_captured_is_an_error():
    probe = Probe(Functional(), ["relu1"])
    with probe, pytest.raises(LayerError, match="layer 'relu1' did not run"):
        probe.run(IMAGE)
    with pytest.raises(LayerError, match="layer 'fc1' is not watched"):
        probe["fc1"]


def test_a_layer_that_puts_out_no_single_tensor():
    model = nn.Sequential(nn.LSTM(4, 2))
    with Probe(model, ["0"]) as probe, pytest.raises(LayerError, match="layer '0' puts out tuple"):
        probe.run(torch.zeros(1, 1, 4))
    assert hooks(model) == 0


class Counting(HandSet):
    """Counts how often its last layer runs."""

    def __init__(self):
        super().__init__()
        self.count = 0
        self.relu2.register_forward_hook(lambda *_: setattr(self, "count", self.count + 1))


def test_run_goes_no_further_than_needed():
    model = Counting()
    with Probe(model, ["relu1", "conv1"]) as probe:
        for expected in (1, 1, 1):  # only the first pass is whole
            found = probe.run(IMAGE)
            assert found["relu1"][0].tolist() == RELU1
            assert list(found) == ["relu1", "conv1"]
            assert model.count == expected
        probe.run(IMAGE, whole=True)
        assert model.count == 2
        model(IMAGE)  # an ordinary pass inside the context is never cut
        assert model.count == 3


def test_run_with_another_state():
    model = HandSet()
    with Probe(model, ["conv1", "fc1"]) as probe:
        found = probe.run(IMAGE, {"conv1.bias": torch.tensor([0.0, 1.0])})
    assert found["conv1"][0].tolist() == [[[45.0, 54.0], [81.0, 90.0]], [[46.0, 55.0], [82.0, 91.0]]]
    assert found["fc1"].tolist() == [[45.0 + 54 + 81 + 90 + 46 - 55 - 82 - 91] * 4]
    assert model.conv1.bias.tolist() == [-50.0, -75.0]


def test_run_after_a_failed_pass():
    model = HandSet()
    with Probe(model, ["conv1"]) as probe:
        with pytest.raises(RuntimeError):
            probe.run(torch.zeros(1, 3, 4, 4))
        assert probe.run(IMAGE)["conv1"][0].tolist() == CONV1
        assert probe.run(IMAGE)["conv1"][0].tolist() == CONV1
    assert model.conv1.weight.requires_grad


def test_layers_in_order_follow_the_data_not_the_module_tree():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(8, 3)
            self.never = nn.Linear(5, 5)
            self.block = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())

        def forward(self, x):
            return self.last(self.block(x).flatten(1))

    assert layers_in_order(Backwards(), IMAGE) == [
        ("block.0", "Conv2d", (2, 2, 2)),
        ("block.1", "ReLU", (2, 2, 2)),
        ("block", "Sequential", (2, 2, 2)),
        ("last", "Linear", (3,)),
    ]


def test_layers_in_order_leaves_modes_buffers_and_random_state():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(), nn.Flatten())
    model[1].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random = torch.get_rng_state()
    layers_in_order(model, IMAGE)
    assert [m.training for m in model] == [True, False, True, True]
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert hooks(model) == 0
    with pytest.raises(RuntimeError):
        layers_in_order(model, torch.zeros(1, 7, 4, 4))
    assert hooks(model) == 0
    assert model.training


def test_errors_are_those_of_cnnviz():
    assert issubclass(LayerError, CnnvizError)
