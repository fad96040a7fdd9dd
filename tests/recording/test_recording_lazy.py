"""Networks whose layers take their sizes from the first images, recorded from before these were seen."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.parameter import is_lazy
from twin import check_states, copied, same_states

import cnnviz
from cnnviz.errors import ModelError, RecordingWarning

LAZY = [
    ("0", "LazyConv2d"),
    ("1", "LazyBatchNorm2d"),
    ("2", "ReLU"),
    ("3", "Flatten"),
    ("4", "LazyLinear"),
    ("5", "Linear"),
]
BUILT = [(name, kind.removeprefix("Lazy")) for name, kind in LAZY]
SHAPES = {"0": (4, 6, 6), "1": (4, 6, 6), "2": (4, 6, 6), "3": (144,), "4": (5,), "5": (3,)}
# 4 filters of 3 x 3 and their biases, two of batch norm, 144 x 5 and 5, 5 x 3 and 3.
PARAMETERS = 4 * 9 + 4 + 4 + 4 + 144 * 5 + 5 + 15 + 3
SAMPLES = (torch.randint(256, (2, 1, 8, 8), dtype=torch.uint8), torch.tensor([0, 1]))


def lazy():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5), nn.Linear(5, 3)
    )


def start(path, model, **options):
    return cnnviz.Recorder(path, model, **{"snapshots": cnnviz.every(1), **options})


def update(model):
    model.train()
    loss = functional.cross_entropy(model(torch.randn(4, 1, 8, 8)), torch.tensor([0, 1, 2, 0]))
    model.zero_grad()
    loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 0.1 * parameter.grad


def shown(run):
    return [(layer.name, layer.kind) for layer in run.layers]


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("samples", [SAMPLES, None], ids=["samples", "no samples"])
def test_a_run_from_before_the_first_forward_pass(samples, background, tmp_path):
    model, states = lazy(), {}
    with start(tmp_path / "r", model, samples=samples, background=background) as recorder:
        run = cnnviz.open_run(tmp_path / "r", model=lazy)
        assert (shown(run), run.shapes, run.manifest.layers_from) == (LAZY, {}, "module tree")
        assert run.manifest.parameters == 15 + 3  # what is known
        begun = run.manifest.id, run.manifest.created
        assert all(is_lazy(model[k].weight) for k in (0, 1, 4))  # recording ran nothing
        with pytest.warns(RecordingWarning, match="have no weights before its first forward") as told:
            recorder.record(0, {"a": 0})
        (warning,) = told
        assert str(warning.message).startswith(f"step 0 of {tmp_path / 'r'} has no snapshot: the network's")
        assert warning.filename == __file__  # shown at the line that records
        recorder.flush()
        assert len(run) == 0
        assert run.metric("a")[0].tolist() == [0]
        for step in range(1, 4):
            update(model)
            states[step] = copied(model.state_dict())
            recorder.record(step, {"a": step})
    run = cnnviz.open_run(tmp_path / "r", model=lazy)
    assert run.metric("a")[1].tolist() == [0, 1, 2, 3]
    check_states(tmp_path / "r", states)
    assert not run.missing
    assert (shown(run), run.manifest.parameters) == (BUILT, PARAMETERS)
    assert run.shapes == (SHAPES if samples else {})
    assert run.manifest.layers_from == ("forward pass" if samples else "module tree")
    assert (run.manifest.id, run.manifest.created) == begun


def test_it_is_told_once(tmp_path):
    model = lazy()
    with warnings.catch_warnings(record=True) as told, start(tmp_path / "r", model) as recorder:
        warnings.simplefilter("always")
        for step in range(5):
            recorder.record(step, {"a": step})
        recorder.record(5, snapshot=False)
    assert len(told) == 1
    run = cnnviz.open_run(tmp_path / "r")
    assert (len(run), run.metric("a")[0].tolist(), run.status) == (0, [0, 1, 2, 3, 4], "finished")


def test_nothing_is_told_where_no_snapshot_is_due(tmp_path):
    model = lazy()
    with start(tmp_path / "r", model, snapshots=cnnviz.at(2)) as recorder:
        recorder.record(0, {"a": 0})
        recorder.record(1, {"a": 1}, snapshot=False)
        update(model)
        recorder.record(2)
    run = cnnviz.open_run(tmp_path / "r")
    assert run.steps.tolist() == [2]
    assert shown(run) == BUILT


def test_the_step_may_have_its_snapshot_once_there_are_values(tmp_path):
    model = lazy()
    with start(tmp_path / "r", model) as recorder:
        with pytest.warns(RecordingWarning):
            recorder.record(0, {"a": 0})
        model(torch.zeros(1, 1, 8, 8))
        state = copied(model.state_dict())
        recorder.record(0, {"b": 0})
        update(model)
        recorder.record(0)
    check_states(tmp_path / "r", {0: state})
    assert cnnviz.open_run(tmp_path / "r").metrics == ["a", "b"]


def test_a_network_that_ran_before_is_like_any_other(tmp_path):
    model = lazy()
    model(torch.zeros(1, 1, 8, 8))
    with start(tmp_path / "r", model, samples=SAMPLES) as recorder:
        assert shown(cnnviz.open_run(tmp_path / "r")) == BUILT
        recorder.record(0)
    check_states(tmp_path / "r", {0: model.state_dict()})


def test_half_of_it_is_not_enough(tmp_path):
    """A branch that has not run yet keeps the whole network from being recorded."""
    model = nn.ModuleDict({"now": nn.LazyLinear(2), "later": nn.LazyLinear(2)})
    with start(tmp_path / "r", model) as recorder:
        model["now"](torch.zeros(1, 3))
        with pytest.warns(RecordingWarning, match="step 0 of"):
            recorder.record(0)
        recorder.record(1)
        model["later"](torch.zeros(1, 4))
        recorder.record(2)
    run = cnnviz.open_run(tmp_path / "r")
    assert run.steps.tolist() == [2]
    assert shown(run) == [("now", "Linear"), ("later", "Linear")]
    assert run.manifest.parameters == 2 * 3 + 2 + 2 * 4 + 2


@pytest.fixture
def trained(tmp_path):
    """A lazy network that was recorded at steps 1 and 2 at tmp_path / "r"."""
    model = lazy()
    with start(tmp_path / "r", model, samples=SAMPLES) as recorder:
        with pytest.warns(RecordingWarning):
            recorder.record(0)
        for step in (1, 2):
            update(model)
            recorder.record(step)
    return model


@pytest.mark.parametrize("how", ["class", "lazy factory", "factory that ran", "module that ran"])
def test_it_is_rebuilt(how, trained, tmp_path):
    def ran():
        model = lazy()
        model(torch.zeros(1, 1, 8, 8))
        return model

    class Own(nn.Sequential):
        def __init__(self):
            super().__init__(*lazy())

    source = {"class": Own, "lazy factory": lazy, "factory that ran": ran, "module that ran": trained}[how]
    run = cnnviz.open_run(tmp_path / "r", model=source)
    images = run.samples.images
    rebuilt = run.last.model()
    assert not rebuilt.training
    assert same_states(dict(rebuilt.state_dict()), dict(trained.state_dict()))
    with torch.no_grad():
        assert torch.equal(rebuilt(images), trained.eval()(images))
        # The first pass makes lazy layers plain ones, and changes no value.
        assert same_states(dict(rebuilt.state_dict()), dict(trained.state_dict()))
        assert not torch.equal(run.first.model()(images), rebuilt(images))
        assert torch.equal(run.last.model()(images), rebuilt(images))


def test_a_module_that_has_no_values_cannot_be_copied(trained, tmp_path):
    with pytest.raises(ModelError, match=r"can't be copied: .* give the class or a function that makes one"):
        cnnviz.open_run(tmp_path / "r", model=lazy()).last.model()


def test_a_lazy_network_of_other_sizes_does_not_fit(trained, tmp_path):
    run = cnnviz.open_run(tmp_path / "r", model=lambda: nn.Sequential(nn.LazyConv2d(4, 3)))
    with pytest.raises(ModelError, match=r"the weights of .*r at step 2 don't fit Sequential"):
        run.last.model()


def described(run):
    return shown(run), dict(run.shapes), run.manifest.parameters, run.manifest.layers_from


@pytest.mark.parametrize("with_samples", [True, False], ids=["samples", "no samples"])
@pytest.mark.parametrize("load", [True, False], ids=["weights loaded", "weights new"])
def test_going_on_keeps_the_layers(load, with_samples, trained, tmp_path):
    """A fresh lazy network, in a fresh process, knows less than the run does; the run's own samples tell the rest."""
    before = described(cnnviz.open_run(tmp_path / "r"))
    assert before == (BUILT, SHAPES, PARAMETERS, "forward pass")
    model = lazy()
    if load:
        model.load_state_dict(trained.state_dict())
    options = {"samples": SAMPLES} if with_samples else {}
    with start(tmp_path / "r", model, resume=True, **options) as recorder:
        assert described(cnnviz.open_run(tmp_path / "r")) == before
        update(model)
        recorder.record(3)
        assert described(cnnviz.open_run(tmp_path / "r")) == before
        state = copied(model.state_dict())
    run = cnnviz.open_run(tmp_path / "r", model=lazy)
    assert run.steps.tolist() == [1, 2, 3]
    assert same_states(run.last.state.read(), state)
    assert described(run) == before


def test_going_on_with_damaged_samples_goes_on(trained, tmp_path):
    (tmp_path / "r" / "samples.safetensors").write_bytes(b"no samples")
    model = lazy()
    with start(tmp_path / "r", model, resume=True) as recorder:
        update(model)
        recorder.record(3)
    run = cnnviz.open_run(tmp_path / "r")
    assert (run.steps.tolist(), shown(run)) == ([1, 2, 3], BUILT)


def test_going_on_with_a_run_that_never_saw_values(tmp_path):
    with start(tmp_path / "r", lazy(), samples=SAMPLES) as recorder, pytest.warns(RecordingWarning):
        recorder.record(0, {"a": 0})
    assert described(cnnviz.open_run(tmp_path / "r")) == (LAZY, {}, 18, "module tree")
    model = lazy()
    with start(tmp_path / "r", model, resume=True) as recorder:
        with pytest.warns(RecordingWarning, match="step 0 of"):
            recorder.record(0, {"a": 5})
        update(model)
        recorder.record(1)
    run = cnnviz.open_run(tmp_path / "r", model=lazy)
    assert described(run) == (BUILT, SHAPES, PARAMETERS, "forward pass")
    assert run.metric("a")[1].tolist() == [0]  # what was recorded there stays
    assert same_states(dict(run.last.model().state_dict()), dict(model.state_dict()))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: torch.compile(model, backend="eager"),
        lambda model: nn.Sequential(*model[:4], torch.compile(model[4], backend="eager"), model[5]),
        nn.DataParallel,
    ],
    ids=["compiled", "compiled inside", "parallel"],
)
def test_wrapped_lazy_networks(wrap, tmp_path):
    bare = lazy()
    model = wrap(bare)
    with start(tmp_path / "r", model, samples=SAMPLES) as recorder:
        with pytest.warns(RecordingWarning):
            recorder.record(0)
        bare(torch.zeros(2, 1, 8, 8))  # the usual way to give them their sizes, before they are compiled
        recorder.record(1)
    run = cnnviz.open_run(tmp_path / "r", model=lazy)
    assert run.steps.tolist() == [1]
    assert described(run) == (BUILT, SHAPES, PARAMETERS, "forward pass")
    check_states(tmp_path / "r", {1: bare.state_dict()})
    with torch.no_grad():
        assert torch.equal(run.last.model()(run.samples.images), bare.eval()(run.samples.images))
