"""What is computed at every step at once, against a plain loop with hooks, for networks of all kinds."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional

import cnnviz
from cnnviz.analysis import over_steps
from cnnviz.analysis.over_steps import activations_over_steps, logits_over_steps
from cnnviz.errors import LayerError, ModelError, StepError
from cnnviz.models import build


def recorded(path, model, images, change, steps=3):
    """Return the run of `model`, changed by `change(model, step)` before each of its steps."""
    labels = torch.zeros(len(images), dtype=torch.int64)
    recipe = getattr(model, "cnnviz_recipe", None)
    with cnnviz.Recorder(path, model, snapshots=cnnviz.every(1), samples=(images, labels)) as recorder:
        for step in range(steps):
            change(model, step)
            recorder.record(step)
    return cnnviz.open_run(path, model=None if recipe else model)


def by_loop(run, images, layer):
    """The slow obvious twin: rebuild the network at each step, hook the layer, run all of it."""
    results = []
    for snapshot in run:
        model = snapshot.model()
        caught = []
        handle = model.get_submodule(layer).register_forward_hook(lambda m, i, o: caught.append(o.clone()))  # noqa: B023
        with torch.no_grad():
            model(images)
        handle.remove()
        results.append(caught[0])
    return torch.stack(results)


def close(actual, expected):
    assert actual.shape == expected.shape
    assert not actual.requires_grad
    assert (actual - expected).abs().max() <= 1e-6 * expected.abs().max()


def shake(model, step):
    generator = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += torch.randn(parameter.shape, generator=generator) * 0.1


def looped(monkeypatch):
    """Count how often the plain loop has to step in."""
    calls = []
    original = over_steps._looped
    monkeypatch.setattr(over_steps, "_looped", lambda *a: calls.append(a[1]) or original(*a))
    return calls


CONVNET_LAYERS = ["conv1", "relu1", "pool1", "conv2", "relu2", "pool2", "fc1", "relu3", "dropout", "fc2"]


@pytest.mark.parametrize("layer", CONVNET_LAYERS)
def test_convnet_equals_the_loop(run, layer, monkeypatch):
    calls = looped(monkeypatch)
    images = run.samples.images[:3]
    close(activations_over_steps(run, images, layer), by_loop(run, images, layer))
    assert calls == []


def test_logits_are_those_of_the_models(run):
    images = run.samples.images[:5]
    with torch.no_grad():
        expected = torch.stack([snapshot.model()(images) for snapshot in run])
    close(logits_over_steps(run, images), expected)


def test_slices_and_chunks_give_the_same(run, monkeypatch):
    images = run.samples.images[:1]
    whole = activations_over_steps(run, images, "relu2")
    close(activations_over_steps(run[1:3], images, "relu2"), whole[1:3])
    monkeypatch.setattr(over_steps, "_LARGEST_CHUNK", 3)
    close(activations_over_steps(run, images, "relu2"), whole)
    monkeypatch.setattr(over_steps, "_CHUNK_BYTES", 1)
    close(activations_over_steps(run, images, "relu2"), whole)


def test_only_the_needed_tensors_are_read(run, monkeypatch):
    read = []
    original = cnnviz.Run.stacked
    monkeypatch.setattr(
        cnnviz.Run, "stacked", lambda self, names: read.extend(names) or original(self, names)
    )
    images = run.samples.images[:1]
    activations_over_steps(run, images, "pool1")
    assert sorted(set(read)) == ["conv1.bias", "conv1.weight"]
    read.clear()
    activations_over_steps(run, images, "relu2")
    assert sorted(set(read)) == ["conv1.bias", "conv1.weight", "conv2.bias", "conv2.weight"]


def test_nothing_of_the_caller_changes(run):
    images = run.samples.images[:1].clone().requires_grad_()
    random = torch.get_rng_state()
    activations_over_steps(run, images, "fc1")
    logits_over_steps(run, images)
    assert torch.equal(torch.get_rng_state(), random)
    assert images.grad is None
    assert torch.is_grad_enabled()
    assert torch.backends.mha.get_fastpath_enabled()


def test_resnet_whose_batch_norm_buffers_change(tmp_path, monkeypatch):
    torch.manual_seed(0)
    images = torch.rand(2, 1, 28, 28)
    model = build("resnet18", channels=1, classes=10, image_size=28)

    def change(model, step):
        shake(model, step)
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.running_mean += 0.1 * (step + 1)
                    module.running_var *= 1.5
                    module.num_batches_tracked += 1

    run = recorded(tmp_path / "r", model, images, change)
    calls = looped(monkeypatch)
    for layer in ("layer1.0.bn2", "fc"):
        close(activations_over_steps(run, images, layer), by_loop(run, images, layer))
    assert calls == []
    assert not torch.equal(run.series("bn1.running_mean")[0], run.series("bn1.running_mean")[2])


class Small(nn.Module):
    """Its subclasses say what to do with two linear layers and a gate."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.b = nn.Linear(4, 4)
        self.gate = nn.Parameter(torch.tensor([-1.0, 0.5, -0.5, 1.0]))
        self.register_buffer("calls", torch.zeros(()))
        self.relu = nn.ReLU()


class Branches(Small):  # the branch, and so the tensors behind the layer, differ between the steps
    def forward(self, x):
        x = x.flatten(1)
        return self.relu(self.b(x) if self.gate[0] > 0 else self.a(x))


class Repeats(Small):  # how often a layer runs differs between the steps
    def forward(self, x):
        x = x.flatten(1)
        for _ in range(1 + int((self.gate > 0).sum())):
            x = self.relu(self.a(x))
        return x


class Counts(Small):  # a buffer is written in place, in eval mode
    def forward(self, x):
        self.calls += 1
        return self.relu(self.a(x.flatten(1)))


class Masks(Small):  # no gradient tells that the layer depends on the gate
    def forward(self, x):
        return self.relu(self.a(x.flatten(1) * (self.gate > 0)))


class Detaches(Small):
    def forward(self, x):
        return self.relu(self.b(functional.linear(x.flatten(1), self.a.weight.data) * self.gate.detach()))


class Own(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        return x @ weight.t()


class Applies(Small):  # a function of its own, and a list of tensors
    def forward(self, x):
        x = Own.apply(x.flatten(1), self.a.weight)
        return self.relu(
            torch.stack([x, x * self.gate]).sum(0) + torch.cat([self.b.bias[:2], self.a.bias[2:]])
        )


class Attends(Small):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        x = x.flatten(1)[:, None]
        return self.relu(self.attention(x, x, x)[0])


class Freezes(Small):
    def forward(self, x):
        with torch.no_grad():
            x = self.a(x.flatten(1))
        return self.relu(self.b(x))


class Ties(Small):
    def __init__(self):
        super().__init__()
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.relu(self.b(self.a(x.flatten(1))))


class Rebinds(Small):  # in place on what the layer put out
    def forward(self, x):
        return self.relu(self.a(x.flatten(1))).mul_(0)


@pytest.mark.parametrize(
    "kind", [Branches, Repeats, Counts, Masks, Detaches, Applies, Attends, Freezes, Ties, Rebinds]
)
def test_networks_that_mislead(kind, tmp_path):
    torch.manual_seed(0)
    images = torch.rand(2, 1, 2, 2) - 0.2
    run = recorded(tmp_path / "r", kind(), images, lambda model, step: (shake(model, step), _gate(model)), 4)
    expected = by_loop(run, images, "relu")
    assert len({row.sum().item() for row in expected}) == 4
    close(activations_over_steps(run, images, "relu"), expected)
    with torch.no_grad():
        outputs = torch.stack([snapshot.model()(images) for snapshot in run])
    assert torch.allclose(logits_over_steps(run, images), outputs, atol=1e-6)


def _gate(model):
    with torch.no_grad():
        model.gate += 0.4


@pytest.mark.parametrize("kind", [Branches, Repeats])
def test_where_vmap_cannot_the_loop_steps_in(kind, tmp_path, monkeypatch):
    images = torch.rand(2, 1, 2, 2)
    run = recorded(tmp_path / "r", kind(), images, shake)
    calls = looped(monkeypatch)
    activations_over_steps(run, images, "relu")
    assert len(calls) == 1


class Mixes(Small):  # functions, methods and operators, in place or not, and a layer that runs twice
    def forward(self, x):
        x = functional.relu(self.a(x.flatten(1)))
        x = x + self.gate
        x *= 2
        x = functional.leaky_relu(self.a(x), 0.1, inplace=True).sigmoid_()
        return functional.dropout(self.relu(x), training=self.training)

    @staticmethod
    def by_hand(state, x):
        """Return what each call puts out."""
        found = {"a": functional.linear(x.flatten(1), state["a.weight"], state["a.bias"])}
        found["relu_1"] = found["a"].clamp(min=0)  # the module has the name "relu"
        found["add"] = found["relu_1"] + state["gate"]
        found["mul"] = found["add"] * 2
        found["a_1"] = functional.linear(found["mul"], state["a.weight"], state["a.bias"])
        found["leaky_relu"] = torch.where(found["a_1"] > 0, found["a_1"], 0.1 * found["a_1"])
        found["sigmoid_"] = 1 / (1 + torch.exp(-found["leaky_relu"]))
        found["dropout"] = found["sigmoid_"]
        return found


MIXED = ["a", "relu_1", "add", "mul", "a_1", "leaky_relu", "sigmoid_", "dropout"]


@pytest.mark.parametrize("layer", MIXED)
def test_functions_vectorized_and_looped(layer, tmp_path, monkeypatch):
    torch.manual_seed(0)
    images = torch.rand(2, 1, 2, 2) - 0.2
    run = recorded(tmp_path / "r", Mixes(), images, shake)
    expected = torch.stack([Mixes.by_hand(snapshot.state, images)[layer] for snapshot in run])
    calls = looped(monkeypatch)
    close(activations_over_steps(run, images, layer), expected)
    assert calls == []

    def refuse(*_):
        raise RuntimeError("can't be vectorized")

    monkeypatch.setattr(over_steps, "_vectorized", refuse)
    close(activations_over_steps(run, images, layer), expected)
    assert len(calls) == 1


def test_functions_need_only_the_tensors_up_to_them(tmp_path, monkeypatch):
    images = torch.rand(2, 1, 2, 2)
    run, read = recorded(tmp_path / "r", Mixes(), images, shake), []
    original = cnnviz.Run.stacked
    monkeypatch.setattr(
        cnnviz.Run, "stacked", lambda self, names: read.extend(names) or original(self, names)
    )
    activations_over_steps(run, images, "relu_1")
    assert sorted(read) == ["a.bias", "a.weight"]
    activations_over_steps(run, images, "add")
    assert sorted(read[2:]) == ["a.bias", "a.weight", "gate"]


def test_functions_of_a_resnet(tmp_path, monkeypatch):
    torch.manual_seed(0)
    images = torch.rand(1, 1, 28, 28)
    run = recorded(tmp_path / "r", build("resnet18", channels=1, classes=10, image_size=28), images, shake, 2)
    calls = looped(monkeypatch)
    added = activations_over_steps(run, images, "layer1.0.add")
    close(activations_over_steps(run, images, "layer1.0.relu_1"), added.clamp(min=0))
    close(activations_over_steps(run, images, "layer1.0"), added.clamp(min=0))
    conv, bn = (activations_over_steps(run, images, f"layer1.0.{name}") for name in ("relu", "bn2"))
    assert conv.shape == bn.shape == added.shape
    close(added - bn, activations_over_steps(run, images, "maxpool"))
    assert calls == []


def test_a_random_layer_gives_the_same_every_time(tmp_path):
    class Noisy(Small):
        def forward(self, x):
            return self.relu(self.a(x.flatten(1)) + torch.randn(4))

    images = torch.rand(2, 1, 2, 2)
    run = recorded(tmp_path / "r", Noisy(), images, shake)
    random = torch.get_rng_state()
    first = activations_over_steps(run, images, "relu")
    assert torch.equal(torch.get_rng_state(), random)
    torch.rand(7)
    random = torch.get_rng_state()
    assert torch.equal(first, activations_over_steps(run, images, "relu"))
    assert torch.equal(torch.get_rng_state(), random)


def test_before_the_first_weights_all_steps_are_alike(tmp_path):
    images = torch.rand(2, 1, 4, 4)
    model = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4, 3))
    run = recorded(tmp_path / "r", model, images, shake)
    found = activations_over_steps(run, images, "0")
    assert torch.equal(found, functional.max_pool2d(images, 2).expand(3, 2, 1, 2, 2))


def test_looking_does_not_load_the_compiler():
    """Some of torch's modes import torch._dynamo and sympy, which takes longer than all the rest."""
    code = (
        "import sys, torch, cnnviz.analysis.over_steps as over_steps\n"
        "with over_steps._quietly(), over_steps._Used({}): torch.ones(2) + 1\n"
        "print('torch._dynamo' in sys.modules, 'sympy' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "False False\n"


def test_errors(run, tmp_path):
    images = run.samples.images[:1]
    with pytest.raises(LayerError, match="no layer 'nope'; it has conv1, relu1"):
        activations_over_steps(run, images, "nope")
    with pytest.raises(StepError, match="holds no snapshots yet"):
        logits_over_steps(run[:0], images)
    with cnnviz.Recorder(tmp_path / "own", nn.Linear(2, 2)) as recorder:
        recorder.record(0)
    with pytest.raises(
        ModelError, match=r"Linear, is a class of its user's own: .*open_run\(path, model=...\)"
    ):
        logits_over_steps(cnnviz.open_run(tmp_path / "own"), images)
