"""What every model, data set and plot of the registries must keep; a new one is tested unasked."""

import importlib
import inspect
import pkgutil

import numpy as np
import pytest
import torch
from torch.nn import functional

import cnnviz
from cnnviz import plots
from cnnviz.charts.chart import Chart, Curves, Film
from cnnviz.data import DATASETS, load
from cnnviz.errors import DataError
from cnnviz.models import MODELS, build
from cnnviz.plots.plot import PLOTS
from cnnviz.training.optimizers import make_optimizer

OWN_MODELS = [name for name in MODELS.names() if MODELS.get(name).__module__ != "cnnviz.models.torchvision"]
OTHER_MODELS = sorted(set(MODELS.names()) - set(OWN_MODELS))


def documents(thing):
    """Say whether `thing` has a docstring of a sentence, and then sections."""
    first = (thing.__doc__ or "").strip().partition("\n")[0]
    return first.endswith(".") and len(first) > 15


# --- models


def test_there_are_models():
    assert "convnet" in OWN_MODELS
    assert len(OTHER_MODELS) >= 80


@pytest.mark.parametrize("name", OTHER_MODELS)
def test_other_models_take_what_the_data_decide(name):
    arguments = inspect.signature(MODELS.get(name)).parameters
    assert {"channels", "classes", "image_size"} <= set(arguments)


@pytest.mark.parametrize("name", OWN_MODELS)
class TestModel:
    fit = {"channels": 2, "classes": 3, "image_size": 28}  # noqa: RUF012

    def test_gives_one_logit_a_class_and_learns(self, name):
        torch.manual_seed(0)
        model = build(name, **self.fit)
        optimizer = make_optimizer(model, cnnviz.TrainConfig(optimizer="adam", lr=0.003))
        images, labels = torch.rand(6, 2, 28, 28), torch.tensor([0, 1, 2, 0, 1, 2])
        losses = []
        for _ in range(8):
            optimizer.zero_grad()
            logits = model(images)
            loss = functional.cross_entropy(logits, labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert logits.shape == (6, 3)
        assert all(parameter.grad is not None for parameter in model.parameters())
        assert losses[-1] < losses[0]

    def test_is_the_same_for_the_same_seed(self, name):
        states = []
        for _ in range(2):
            torch.manual_seed(7)
            states.append(build(name, **self.fit).state_dict())
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])

    def test_is_recorded_and_rebuilt(self, name, tmp_path):
        model = build(name, **self.fit)
        samples = (torch.rand(2, 2, 28, 28), torch.tensor([0, 1]))
        with cnnviz.Recorder(tmp_path / "r", model, samples=samples) as recorder:
            recorder.record(0)
        run = cnnviz.open_run(tmp_path / "r")
        again = run.last.model()
        assert run.manifest.network == name
        assert not again.training
        with torch.no_grad():
            assert torch.equal(again(samples[0]), model.eval()(samples[0]))

    def test_every_layer_can_be_looked_at(self, name, tmp_path):
        model = build(name, **self.fit)
        samples = (torch.rand(1, 2, 28, 28), torch.tensor([0]))
        with cnnviz.Recorder(tmp_path / "r", model, samples=samples) as recorder:
            recorder.record(0)
        run = cnnviz.open_run(tmp_path / "r")
        assert [layer.name for layer in run.layers] == [n for n, _ in model.named_modules() if n]
        for layer in run.layers:
            assert plots.feature_maps(run, layer=layer.name).panels[1].cells.size

    def test_says_what_it_is(self, name):
        assert documents(MODELS.get(name))


# --- data sets


@pytest.mark.parametrize("name", DATASETS.names())
class TestDataset:
    def test_says_what_it_is(self, name):
        assert documents(DATASETS.get(name))

    def test_gives_its_splits_or_says_how_to_get_it(self, name, tmp_path):
        argument = f":{tmp_path}/absent" if name == "folder" else ""
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("urllib.request.OpenerDirector.open", self._offline)
                data = load(name + argument, root=tmp_path / "data", progress=False)
        except DataError as error:
            problem = str(error)
        else:
            self._check(data)
            return
        assert str(tmp_path) in problem or "--data-root" in problem

    @staticmethod
    def _check(data):
        for split in (data.train, data.validation, data.test):
            images, labels = next(iter(split.batches(None, 7, "cpu")))
            assert images.shape == (7, *data.shape)
            assert images.dtype == torch.float32
            assert 0 <= images.min() <= images.max() <= 1
            assert labels.dtype == torch.int64
            assert 0 <= labels.min() <= labels.max() < len(data.classes)
            head = split.head(3)
            assert head[0].dtype == torch.uint8
            assert torch.equal(head[1], labels[:3])

    @staticmethod
    def _offline(*_, **__):
        raise OSError("no network in the tests")


def test_the_embedded_set_needs_nothing(tmp_path):
    assert len(load("mnist-mini", root=tmp_path / "none").train) == 6000


# --- plots


def same(a, b):
    """Say whether two stills show the same."""
    if a.title != b.title or a.step != b.step or len(a.panels) != len(b.panels):
        return False
    for one, other in zip(a.panels, b.panels, strict=True):
        if type(one) is not type(other) or one.title != other.title:
            return False
        if one.step_field is not None:
            left, right = getattr(one, one.step_field), getattr(other, other.step_field)
            if not np.allclose(left, right, rtol=0, atol=1e-6 * max(1.0, float(np.abs(left).max()))):
                return False
        if isinstance(one, Curves) and one.cursor != other.cursor:
            return False
    return True


@pytest.mark.parametrize("name", PLOTS.names())
class TestPlot:
    def test_of_a_run_is_a_film_and_of_a_snapshot_its_still(self, name, run):
        plot = PLOTS.get(name)
        drawn = plot(run)
        assert isinstance(drawn, Film | Chart)
        for snapshot in run:
            still = plot(snapshot)
            assert isinstance(still, Chart)
            assert still.step == snapshot.step
            if isinstance(drawn, Film):
                assert same(still, drawn.at(snapshot.step))
        if isinstance(drawn, Film):
            assert np.array_equal(drawn.steps, run.steps)

    def test_one_scale_spans_all_steps(self, name, run):
        drawn = PLOTS.get(name)(run)
        for panel in drawn.panels:
            scale = getattr(panel, "scale", None)
            if scale is None:
                continue
            cells = getattr(panel, panel.step_field)
            assert scale.low <= cells.min()
            assert cells.max() <= scale.high
            stills = [panel.at(i, 0) for i in range(len(run))]
            assert {still.scale for still in stills} == {scale}

    def test_is_the_same_every_time_and_changes_nothing(self, name, run):
        plot = PLOTS.get(name)
        before = torch.get_rng_state(), np.random.get_state()[1].copy()
        files = sorted(run.path.rglob("*"))
        model = run.last.model().train()
        source = cnnviz.open_run(run.path, model=model)
        weights = {key: value.clone() for key, value in model.state_dict().items()}
        first, second = plot(source), plot(source)
        assert torch.equal(before[0], torch.get_rng_state())
        assert np.array_equal(before[1], np.random.get_state()[1])
        assert all(module.training for module in model.modules())
        assert all(parameter.grad is None for parameter in model.parameters())
        assert all(parameter.requires_grad for parameter in model.parameters())
        assert all(torch.equal(weights[key], value) for key, value in model.state_dict().items())
        assert sorted(run.path.rglob("*")) == files
        for one, other in zip(first.panels, second.panels, strict=True):
            if one.step_field:
                assert np.array_equal(getattr(one, one.step_field), getattr(other, other.step_field))

    def test_its_controls_settle_and_draw(self, name, run):
        plot = PLOTS.get(name)
        nonsense = {control.name: "no such choice" for control in plot.controls}
        settled = plot.settle(run, nonsense)
        assert settled == plot.settle(run, {})
        assert list(settled) == [control.name for control in plot.controls]
        plot(run.last, **plot.arguments(settled))

    def test_every_choice_of_a_control_can_be_drawn(self, name, run):
        plot = PLOTS.get(name)
        for control in plot.controls:
            settled = plot.settle(run, {})
            choices = control.choices(run, settled)
            values = [choice.value for choice in choices]
            assert len(set(values)) == len(values) > 0
            assert all(choice.label for choice in choices)
            for value in values[:12]:
                chosen = plot.settle(run, settled | {control.name: value})
                assert chosen[control.name] == value
                assert plot(run.last, **plot.arguments(chosen)).panels

    def test_says_what_it_is(self, name):
        assert documents(PLOTS.get(name))
        assert "Args:\n" in PLOTS.get(name).__doc__
        assert getattr(plots, name) is PLOTS.get(name)

    def test_refuses_what_it_does_not_have(self, name, run):
        with pytest.raises(cnnviz.CnnvizError, match=f"{name} has no argument 'nope'"):
            PLOTS.get(name).arguments({"nope": "1"})


def test_no_module_is_called_like_a_plot():
    package = importlib.import_module("cnnviz.plots")
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    assert modules & set(PLOTS.names()) == set()
    assert len(PLOTS.names()) >= 4
