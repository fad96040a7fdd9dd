"""The layers of networks of all kinds, against torchvision's feature extraction and against known lists."""

import copy
import re
import warnings

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional
from torch.overrides import _get_current_function_mode_stack
from torchvision.models.feature_extraction import get_graph_node_names

from cnnviz.errors import LayerError
from cnnviz.probe import FoundLayers, Probe, find_layers, layers_in_order
from cnnviz.probe.names import without_number

IMAGES = torch.rand(2, 1, 6, 6)


def names(model, images=IMAGES):
    found = find_layers(model, images)
    assert (found.source, found.reason) == ("forward pass", "")
    return [layer.name for layer in found.layers]


def hooks(model):
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_always_called", "_backward_hooks")
    return sum(len(getattr(m, kind)) for m in model.modules() for kind in kinds)


def untraced(model):
    """Return what torchvision's function names, but its input."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that training and evaluation differ
        return get_graph_node_names(model)[1][1:]


class Dense(nn.Module):  # small, like a DenseNet: what came before is concatenated
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(2 * i + 1, 2, 3, padding=1) for i in range(3))
        self.norms = nn.ModuleDict({"0": nn.BatchNorm2d(2), "1": nn.BatchNorm2d(2), "2": nn.BatchNorm2d(2)})

    def forward(self, x):
        features = [x]
        for i, layer in enumerate(self.layers):
            features.append(functional.relu(self.norms[str(i)](layer(torch.cat(features, 1)))))
        return torch.cat(features, 1).mean((2, 3))


class Functions(nn.Module):  # functions, methods and operators, in place and not
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.weight = nn.Parameter(torch.ones(4, 4, 1, 1))

    def forward(self, x):
        x = functional.relu(self.conv(x))
        x = functional.max_pool2d(torch.relu(x.relu()) + x, 2)
        x = 2 * x - 1
        x = (1 - x) / 2 + x**2 * -x
        x += 1
        x /= 3
        x = 1 / (x.sigmoid_() + 1)
        x = functional.conv2d(x, self.weight)
        x = functional.dropout(functional.avg_pool2d(x, 3), 0.3, self.training)
        x = functional.softmax(x.flatten(1), 1) @ self.weight[:, :, 0, 0]
        return torch.abs(x).clamp(0, 1).log_softmax(-1)


class Own(nn.Conv2d):  # not of torch.nn, so what it calls is seen
    def forward(self, x):
        return functional.hardswish(super().forward(x))


class Shared(nn.Module):  # one module at two places, one called twice, and one block called twice
    def __init__(self):
        super().__init__()
        self.first = Own(1, 1, 3, padding=1)
        self.again = self.first
        self.act = nn.ReLU()
        self.block = nn.Sequential(nn.Conv2d(1, 1, 1), Dropping())

    def forward(self, x):
        x = self.act(self.first(x)) + self.act(self.again(x))
        return self.block(self.block(x))


class Dropping(nn.Module):
    def forward(self, x):
        return functional.dropout(functional.gelu(x), training=self.training)


OWN = [Dense, Functions, Shared, lambda: nn.Sequential(nn.Sequential(Own(1, 2, 3)), nn.ReLU(), nn.Flatten())]
ARCHITECTURES = [
    "resnet18",
    "vgg11",
    "mobilenet_v3_small",
    "squeezenet1_0",
    "densenet121",
    "shufflenet_v2_x0_5",
]
# What torchvision lists besides: parameters, numbers, and what shows the same numbers again.
NO_LAYERS = {"flatten", "chunk", "contiguous", "floordiv", "getitem", "size", "transpose", "view"}


def is_layer(name):
    last = re.sub(r"_[0-9]+$", "", name.rpartition(".")[2])
    return last not in NO_LAYERS and not last.endswith(("weight", "bias"))


@pytest.mark.parametrize("kind", [*OWN, *ARCHITECTURES])
def test_names_and_order_are_those_of_torchvision(kind):
    named = isinstance(kind, str)
    model = getattr(torchvision.models, kind)(weights=None) if named else kind()
    images = torch.rand(1, 3, 64, 64) if named else IMAGES
    theirs = [name for name in untraced(model) if is_layer(name)]
    paths = dict(model.named_modules())
    ours = names(model, images)
    assert len(theirs) > 2
    assert [name for name in ours if name in theirs] == theirs
    # besides, there are only modules that contain others, and their further calls
    assert all(name in paths or without_number(name) in paths for name in ours if name not in theirs)
    assert hooks(model) == 0


@pytest.mark.parametrize("kind", OWN)
def test_every_layer_that_is_found_can_be_watched(kind):
    model = kind().eval()
    found = find_layers(model, IMAGES)
    with torch.no_grad(), Probe(model, [layer.name for layer in found.layers]) as probe:
        activations = probe.run(IMAGES)
    assert {name: tuple(a.shape[1:]) for name, a in activations.items()} == {
        name: shape for name, _, shape in found.layers
    }


def test_known_names_kinds_and_shapes():
    assert find_layers(Shared(), IMAGES).layers == (
        ("first.conv2d", "conv2d", (1, 6, 6)),
        ("first.hardswish", "hardswish", (1, 6, 6)),
        ("first", "Own", (1, 6, 6)),
        ("act", "ReLU", (1, 6, 6)),
        ("first.conv2d_1", "conv2d", (1, 6, 6)),
        ("first.hardswish_1", "hardswish", (1, 6, 6)),
        ("first_1", "Own", (1, 6, 6)),
        ("act_1", "ReLU", (1, 6, 6)),
        ("add", "add", (1, 6, 6)),
        ("block.0", "Conv2d", (1, 6, 6)),
        ("block.1.gelu", "gelu", (1, 6, 6)),
        ("block.1.dropout", "dropout", (1, 6, 6)),
        ("block.1", "Dropping", (1, 6, 6)),
        ("block", "Sequential", (1, 6, 6)),
        ("block.0_1", "Conv2d", (1, 6, 6)),
        ("block.1.gelu_1", "gelu", (1, 6, 6)),
        ("block.1.dropout_1", "dropout", (1, 6, 6)),
        ("block.1_1", "Dropping", (1, 6, 6)),
        ("block_1", "Sequential", (1, 6, 6)),
    )


def test_layers_in_order_follow_the_data_not_the_module_tree():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(32, 3)
            self.never = nn.Linear(5, 5)
            self.block = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())

        def forward(self, x):
            return self.last(self.block(x).flatten(1))

    expected = [
        ("block.0", "Conv2d", (2, 4, 4)),
        ("block.1", "ReLU", (2, 4, 4)),
        ("block", "Sequential", (2, 4, 4)),
        ("last", "Linear", (3,)),
    ]
    assert layers_in_order(Backwards(), IMAGES) == expected
    assert list(find_layers(Backwards(), IMAGES).layers) == expected


def test_a_module_keeps_a_name_that_a_call_would_have():
    class Clash(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu = nn.ReLU()
            self.relu_1 = nn.Tanh()
            self.conv_1 = nn.Conv2d(1, 1, 1)

        def forward(self, x):
            x = self.conv_1(functional.relu(x))
            return functional.relu(self.relu_1(self.relu(self.relu(x))))

    found = find_layers(Clash(), IMAGES).layers
    assert [(name, kind) for name, kind, _ in found] == [
        ("relu_2", "relu"),
        ("conv_1", "Conv2d"),
        ("relu", "ReLU"),
        ("relu_3", "ReLU"),
        ("relu_1", "Tanh"),
        ("relu_4", "relu"),
    ]
    with Probe(Clash(), ["relu_1", "relu_4"]) as probe:
        probe.run(IMAGES)
        assert torch.equal(probe["relu_4"], probe["relu_1"].relu())


def test_what_does_not_come_from_the_images_is_no_layer():
    class Standardized(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.rand(2, 1, 3, 3))
            self.register_buffer("grid", torch.arange(3.0))

        def forward(self, x):
            weight = (self.weight - self.weight.mean()) / self.weight.std()
            canvas = torch.zeros(len(x), 2, 6, 6)
            canvas[:, :, :4, :4] = functional.conv2d(x, weight)
            canvas = functional.relu(canvas)
            return torch.zeros_like(x) + canvas * torch.sin(self.grid).sum()

    assert names(Standardized()) == ["conv2d", "relu", "mul", "add"]


def test_images_written_over_a_constant_through_a_view_are_images():
    class Canvas(nn.Module):
        def forward(self, x):
            canvas = torch.zeros(len(x), 2, 6, 6)
            canvas[:, :1].copy_(x)
            return functional.relu(canvas)

    assert names(Canvas()) == ["relu"]


def test_values_may_decide_what_runs():
    class Decides(nn.Module):
        def forward(self, x):
            for _ in range(int(x[0, 0, 0, 0])):
                x = functional.relu(x)
            return functional.tanh(x) if x.sum() > 1e6 else functional.silu(x)

    assert names(Decides(), torch.full((1, 1, 2, 2), 3.0)) == ["relu", "relu_1", "relu_2", "silu"]


def test_a_function_of_ones_own_does_not_hide_what_follows():
    class Negative(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.neg()

        @staticmethod
        def backward(ctx, gradient):
            return -gradient

    class Applies(nn.Module):
        def forward(self, x):
            return functional.relu(Negative.apply(x))

    assert names(Applies())[-1] == "relu"


def tree(model, images=IMAGES):
    found = find_layers(model, images)
    assert found.source == "module tree"
    assert all(layer.shape == () for layer in found.layers)
    return [(layer.name, layer.kind) for layer in found.layers], found.reason


def test_without_a_pass_the_module_tree_is_told():
    model = nn.Sequential(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), nn.Flatten())
    leaves = [("0.0", "Conv2d"), ("0.1", "ReLU"), ("1", "Flatten")]
    assert tree(model, None) == (leaves, "there are no images to run it on")
    assert tree(model, IMAGES[:0]) == (leaves, "there are no images to run it on")
    found, reason = tree(model, torch.rand(1, 5, 6, 6))
    assert found == leaves
    assert reason.startswith("running it failed (RuntimeError: Given groups=1, weight of size [2, 1, 3, 3]")
    assert "\n" not in reason
    assert hooks(model) == 0
    assert model.training
    assert _get_current_function_mode_stack() == []
    with pytest.raises(RuntimeError, match="Given groups=1"):
        layers_in_order(model, torch.rand(1, 5, 6, 6))
    assert hooks(model) == 0


def test_lazy_layers_are_not_run():
    model = nn.Sequential(nn.LazyConv2d(2, 3), nn.LazyBatchNorm2d(), nn.ReLU())
    found, reason = tree(model)
    assert found == [("0", "LazyConv2d"), ("1", "LazyBatchNorm2d"), ("2", "ReLU")]
    assert reason == "it has layers that take their sizes from the first images, and has not run yet"
    assert nn.parameter.is_lazy(model[0].weight)
    with pytest.raises(LayerError, match=r"take their sizes from the first images, .*; run it once"):
        layers_in_order(model, IMAGES)
    assert nn.parameter.is_lazy(model[0].weight)
    model(IMAGES)
    assert names(model) == ["0", "1", "2"]


def test_layers_that_the_first_pass_makes():
    class Makes(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = None

        def forward(self, x):
            if self.head is None:
                self.head = nn.Sequential(nn.Linear(x[0].numel(), 3), nn.ReLU())
            return self.head(x.flatten(1))

    model, random = Makes(), torch.get_rng_state()
    assert names(model) == ["head.0", "head.1", "head"]
    assert model.head is None
    assert list(model.parameters()) == []
    assert torch.equal(torch.get_rng_state(), random)
    model(IMAGES)
    assert names(model) == ["head.0", "head.1", "head"]


def test_finding_leaves_the_network_and_the_random_state():
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))
            self.passes = 0
            self.norm = nn.BatchNorm2d(1)

        def forward(self, x):
            self.calls += 1
            self.passes += 1
            return self.norm(x) + torch.rand(1)

    model = nn.Sequential(Counts(), nn.Dropout(), nn.Dropout())
    model[1].eval()
    model[0].norm.train()
    before, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    calls = model[0].calls
    find_layers(model, IMAGES)
    layers_in_order(model, IMAGES)
    assert [m.training for m in model] == [True, False, True]
    assert model[0].calls is calls
    assert model[0].passes == 0
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert hooks(model) == 0
    assert _get_current_function_mode_stack() == []


def test_images_are_made_to_fit():
    model = nn.Conv2d(1, 2, 3).double()
    seen = []
    model.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    assert find_layers(nn.Sequential(model), torch.full((5, 1, 4, 4), 255, dtype=torch.uint8)).layers == (
        ("0", "Conv2d", (2, 2, 2)),
    )
    assert seen[0].dtype == torch.float64
    assert torch.equal(seen[0], torch.ones(1, 1, 4, 4, dtype=torch.float64))


def test_where_functions_cannot_be_followed_modules_are():
    class Alone(nn.Module):  # it stands for code that no mode may see
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 3)

        def forward(self, x):
            if _get_current_function_mode_stack():
                raise TypeError("not in\ncompany")
            return functional.relu(self.conv(x))

    assert find_layers(Alone(), IMAGES) == FoundLayers(
        (("conv", "Conv2d", (1, 4, 4)),), "module hooks", "running it failed (TypeError: not in)"
    )


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3)

    def forward(self, x):
        return functional.relu(self.conv(x))


@pytest.mark.parametrize(
    ("wrap", "found"),
    [
        (nn.DataParallel, ["0.module.conv", "0.module.relu", "0.module", "0", "1"]),
        (lambda m: torch.compile(m), ["0._orig_mod.conv", "0._orig_mod.relu", "0._orig_mod", "0", "1"]),
        (lambda m: (m.compile(), m)[1], ["0.conv", "0.relu", "0", "1"]),
    ],
)
def test_wrapped_parts(wrap, found):
    model = nn.Sequential(wrap(Inner()), nn.ReLU()).eval()
    assert names(model) == found
    with Probe(model, found[:2]) as probe:
        probe.run(IMAGES)
    assert torch.equal(probe[found[1]], probe[found[0]].relu())


def test_scripted_parts():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TorchScript is old
        model = nn.Sequential(torch.jit.trace(Inner(), IMAGES), nn.ReLU())
    found = find_layers(model, IMAGES)
    assert "1" in [layer.name for layer in found.layers]
    assert model.training


def test_layers_within_layers_of_torch():
    model = nn.Sequential(nn.Flatten(2), nn.TransformerEncoderLayer(36, 2, 8, batch_first=True))
    assert [name for name in names(model) if "." not in name] == ["0", "1"]
    assert not {name for name in names(model) if name not in dict(model.named_modules())}


def test_a_parametrized_layer():
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 2, 3)), Inner(), nn.ReLU())
    model[1].conv = nn.Conv2d(2, 1, 3)
    assert [n for n in names(model) if "parametrizations" not in n] == ["0", "1.conv", "1.relu", "1", "2"]
