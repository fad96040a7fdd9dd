"""The probe, on the network with hand-set weights of GROUND_TRUTH.md and on networks that try to mislead it."""

import contextlib

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.overrides import _get_current_function_mode_stack
from torch.utils.checkpoint import checkpoint

from cnnviz.errors import CnnvizError, LayerError
from cnnviz.probe import Probe

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
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_always_called", "_backward_hooks")
    return sum(len(getattr(m, kind)) for m in model.modules() for kind in kinds)


def modes():
    return len(_get_current_function_mode_stack())


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


class Plain(HandSet):
    """The same, its ReLUs functional, but not in place."""

    def forward(self, x):
        return functional.relu(self.fc1(functional.relu(self.conv1(x)).flatten(1)))


class Discarding(HandSet):
    """The same; the network goes on with what was written over, not with what the function returns."""

    def forward(self, x):
        x = self.conv1(x)
        x.relu_()
        y = self.fc1(x.flatten(1))
        functional.relu_(y)
        return y


@pytest.mark.parametrize(
    ("make", "relu1", "relu2"),
    [
        (Plain, "relu", "relu_1"),
        (Functional, "relu", "relu_"),
        (Discarding, "relu_", "relu__1"),
        (HandSet, "relu1", "relu2"),
    ],
)
def test_functions_give_what_modules_give(make, relu1, relu2):
    rename = make is not HandSet
    model = make()
    if rename:  # nothing but the functions may answer to the names
        del model.relu1, model.relu2
    image = IMAGE.clone().requires_grad_()
    bare = model(image)
    (expected,) = torch.autograd.grad(bare[0, 0], image)
    with Probe(model, ["conv1", relu1, "fc1", relu2]) as probe:
        output = model(image)
        output[0, 0].backward()
    assert output.tolist() == bare.tolist() == [[54.0] * 4]
    assert probe["conv1"][0].tolist() == CONV1
    assert probe[relu1][0].tolist() == RELU1
    assert probe["fc1"].tolist() == probe[relu2].tolist() == [[54.0] * 4]
    assert probe.gradients["conv1"][0].tolist() == GRADIENT_CONV1
    assert probe.gradients[relu1][0].tolist() == GRADIENT_RELU1
    assert probe.gradients["fc1"].tolist() == probe.gradients[relu2].tolist() == [[1.0, 0.0, 0.0, 0.0]]
    assert image.grad[0, 0].tolist() == expected[0, 0].tolist() == GRADIENT_IMAGE


def test_activations_of_functions_in_place_stay_in_the_graph():
    with Probe(Functional(), ["relu"]) as probe:
        output = probe.model(IMAGE)
        (gradient,) = torch.autograd.grad(output[0, 0], probe["relu"])
    assert gradient[0].tolist() == GRADIENT_RELU1


def test_functional_operations_in_place_leave_the_capture_alone():
    model = Functional()
    with Probe(model, ["conv1", "fc1"]) as probe:
        model(IMAGE)[0, 0].backward()
    assert probe["conv1"][0].tolist() == CONV1
    assert probe.gradients["conv1"][0].tolist() == GRADIENT_CONV1


class Aliases(HandSet):
    """Goes on with a tensor under two names, one of which is written over later."""

    def forward(self, x):
        x = self.conv1(x)
        y = x.relu_()
        x.mul_(2)
        x += 1
        return y


def test_what_is_written_over_later_is_kept_as_it_was():
    model = Aliases()
    expected = torch.tensor([RELU1]) * 2 + 1
    with Probe(model, ["conv1", "relu_", "mul", "add"]) as probe:
        assert torch.equal(model(IMAGE), expected)
    assert probe["conv1"][0].tolist() == CONV1
    assert probe["relu_"][0].tolist() == RELU1
    assert torch.equal(probe["mul"], torch.tensor([RELU1]) * 2)
    assert torch.equal(probe["add"], expected)


def test_the_gradient_of_dropout_in_eval_mode_is_its_own_not_its_inputs():
    class Residual(HandSet):
        def forward(self, x):
            x = self.conv1(x)
            return functional.dropout(x, training=False) + 10 * x

    with Probe(Residual(), ["conv1", "dropout"]) as probe:
        probe.model(IMAGE).sum().backward()
    assert probe.gradients["dropout"].unique().tolist() == [1.0]
    assert probe.gradients["conv1"].unique().tolist() == [11.0]


@pytest.mark.parametrize("make", [HandSet, Functional])
def test_watching_changes_nothing(make):
    model = make()
    bare = model(IMAGE)
    with Probe(model, ["conv1", "fc1"]):
        watched = model(IMAGE)
    assert torch.equal(bare, watched)


@pytest.mark.parametrize("layers", [["conv1", "relu1"], ["conv1", "relu"], ["conv1_1"]])
def test_hooks_stand_only_inside_the_context(layers):
    model = HandSet()
    probe = Probe(model, layers)
    assert (hooks(model), modes()) == (0, 0)
    with probe:
        assert hooks(model) > 0
        assert modes() == (layers != ["conv1", "relu1"])  # where modules suffice, functions are not followed
    assert (hooks(model), modes()) == (0, 0)


@pytest.mark.parametrize("layers", [["conv1"], ["conv1", "relu"]])
def test_hooks_are_gone_after_an_exception(layers):
    model = Functional()
    with pytest.raises(RuntimeError), Probe(model, layers):
        model(torch.zeros(1, 3, 4, 4))
    assert (hooks(model), modes()) == (0, 0)
    with pytest.raises(KeyError, match="mine"), Probe(model, layers):
        raise KeyError("mine")
    assert (hooks(model), modes()) == (0, 0)
    with Probe(model, layers) as probe:
        probe.run(IMAGE)  # which ends before the network does
    assert (hooks(model), modes()) == (0, 0)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.twofold = nn.Linear(1, 1, bias=False)
        self.twofold.weight = nn.Parameter(torch.tensor([[2.0]]))

    def forward(self, x):
        return 10 * self.twofold(self.twofold(x))


def test_each_call_of_a_layer_has_its_own_name():
    model, image = Twice(), torch.tensor([[3.0]])
    with Probe(model, ["twofold", "twofold_1", "mul"]) as probe:
        for _ in range(2):
            model(image).backward()
            assert {name: a.tolist() for name, a in probe.activations.items()} == {
                "twofold": [[6.0]],
                "twofold_1": [[12.0]],
                "mul": [[120.0]],
            }
            assert {name: g.tolist() for name, g in probe.gradients.items()} == {
                "twofold": [[20.0]],
                "twofold_1": [[10.0]],
                "mul": [[1.0]],
            }
        assert probe.run(image)["twofold_1"].tolist() == [[12.0]]
    with Probe(model, ["twofold"]) as probe:  # where functions are not followed, too, the first call counts
        model(image).backward()
        assert probe["twofold"].tolist() == [[6.0]]
        assert probe.gradients["twofold"].tolist() == [[20.0]]
    with Probe(model, ["twofold_2"]) as probe, pytest.raises(LayerError, match="'twofold_2' did not run"):
        probe.run(image)


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


@pytest.mark.parametrize("layers", [["relu1", "conv1"], ["relu1", "flatten"]])
def test_run_goes_no_further_than_needed(layers):
    model = Counting()
    with Probe(model, layers) as probe:
        for _ in range(3):
            found = probe.run(IMAGE)
            assert found["relu1"][0].tolist() == RELU1
            assert list(found) == layers
            assert model.count == 0
        probe.run(IMAGE, whole=True)
        assert model.count == 1
        model(IMAGE)  # an ordinary pass inside the context is never cut
        assert model.count == 2


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


def test_errors_are_those_of_cnnviz():
    assert issubclass(LayerError, CnnvizError)


def test_gradients_are_those_of_the_pass_whose_activations_are_kept():
    model = Plain()
    with Probe(model, ["relu"]) as probe:
        first = model(IMAGE)
        first[0, 0].backward(retain_graph=True)
        model(IMAGE + 1)
        assert probe.gradients == {}
        first[0, 0].backward()
        assert probe.gradients == {}
        model(IMAGE)[0, 1].backward()
    assert probe.gradients["relu"][0].tolist() == GRADIENT_RELU1


def test_layers_that_run_in_one_pass_and_not_in_the_next():
    class Branch(HandSet):
        def forward(self, x):
            x = self.conv1(x)
            return functional.relu(x) if x.sum() > 0 else functional.tanh(x)

    with Probe(Branch(), ["relu", "conv1"]) as probe:
        probe.run(IMAGE)
        with pytest.raises(LayerError, match="layer 'relu' did not run"):
            probe.run(-IMAGE)
        probe.model(IMAGE)
        probe.model(-IMAGE)
        with pytest.raises(LayerError, match="layer 'relu' did not run"):
            probe["relu"]


def test_a_function_that_puts_out_no_single_tensor():
    class Chunks(HandSet):
        def forward(self, x):
            return torch.chunk(self.conv1(x), 2, 1)[0]

    with Probe(Chunks(), ["chunk"]) as probe, pytest.raises(LayerError, match="layer 'chunk' puts out tuple"):
        probe.run(IMAGE)
    assert modes() == 0


@pytest.mark.parametrize("name", ["conv9", "conv9_1", "conv1.nope", "nope.relu", "", "_1", "relu1_0", "."])
def test_names_that_no_layer_can_have(name):
    with pytest.raises(LayerError, match="the network has no layer"):
        Probe(HandSet(), [name])


def test_a_module_in_place_whose_result_is_discarded():
    class Statement(HandSet):
        def forward(self, x):
            x = self.conv1(x)
            self.relu1(x)
            return self.fc1(x.flatten(1))

    with Probe(Statement(inplace=True), ["relu1"]) as probe:
        probe.model(IMAGE)[0, 0].backward()
    assert probe["relu1"][0].tolist() == RELU1
    assert probe.gradients["relu1"][0].tolist() == GRADIENT_RELU1


def test_calls_outside_the_network_are_not_its_calls():
    model = Plain()
    with Probe(model, ["relu"]) as probe:
        functional.relu(torch.ones(1))
        model(IMAGE)
        functional.relu(torch.ones(1))
    assert probe["relu"][0].tolist() == RELU1


def test_a_module_that_fails_within_the_network():
    class Tries(Plain):
        def forward(self, x):
            with contextlib.suppress(RuntimeError):
                self.conv1(x[:, :, :1])
            return functional.relu(self.conv1(x))

    with Probe(Tries(), ["relu"]) as probe:
        assert probe.run(IMAGE)["relu"][0].tolist() == RELU1


def test_an_interrupted_pass():
    class Interrupted(Plain):
        stop = True

        def forward(self, x):
            x = functional.relu(self.conv1(x))
            if self.stop:
                raise KeyboardInterrupt
            return x

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Interrupted()

        def forward(self, x):
            return self.inner(x)

    model = Outer()
    with Probe(model, ["inner.relu"]) as probe:
        with pytest.raises(KeyboardInterrupt):
            model(IMAGE)
        model.inner.stop = False
        assert probe.run(IMAGE)["inner.relu"][0].tolist() == RELU1
    assert (hooks(model), modes()) == (0, 0)


@pytest.mark.parametrize("layers", [["conv1"], ["relu"]])
def test_nothing_else_changes(layers):
    model = nn.Sequential(Plain(), nn.Dropout()).train()
    model[1].eval()
    random, watched = torch.get_rng_state(), [f"0.{layer}" for layer in layers]
    with Probe(model, watched) as probe:
        probe.run(IMAGE)
    assert torch.equal(torch.get_rng_state(), random)
    assert [m.training for m in model] == [True, False]
    assert all(parameter.grad is None for parameter in model.parameters())


# A reentrant checkpoint makes its graph within backward, where functions can't be followed.
@pytest.mark.parametrize(("reentrant", "layers"), [(False, ["conv1", "relu"]), (True, ["conv1"])])
def test_a_network_that_runs_again_in_backward(reentrant, layers):
    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Plain()

        def forward(self, x):
            return checkpoint(self.inner, x, use_reentrant=reentrant)

    known = {"conv1": (CONV1, GRADIENT_CONV1), "relu": (RELU1, GRADIENT_RELU1)}
    image = IMAGE.clone().requires_grad_()
    with Probe(Checkpointed(), [f"inner.{layer}" for layer in layers]) as probe:
        probe.model(image)[0, 0].backward()
    for layer in layers:
        found = probe[f"inner.{layer}"], probe.gradients[f"inner.{layer}"]
        assert (found[0][0].tolist(), found[1][0].tolist()) == known[layer]


@pytest.mark.parametrize("layer", ["conv1", "relu", "mul", "conv1_1", "add"])
def test_vmap_over_states_gives_the_same_as_one_after_another(layer):
    class Mixed(Plain):
        def forward(self, x):
            x = functional.relu(self.conv1(x), inplace=True)
            x *= 2
            x += self.conv1(functional.pad(x[:, :1], (1, 1, 1, 1)))
            return x

    model, biases = Mixed(), torch.tensor([[-50.0, -75.0], [0.0, 1.0], [-20.0, 3.0]])
    with torch.no_grad(), Probe(model, [layer]) as probe:
        together = torch.func.vmap(lambda bias: probe.run(IMAGE, {"conv1.bias": bias})[layer])(biases)
        single = [probe.run(IMAGE, {"conv1.bias": bias})[layer] for bias in biases]
    assert torch.equal(together, torch.stack(single))
    assert not torch.equal(single[0], single[1])
