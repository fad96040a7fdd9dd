"""The recorder: what it writes is what was there, and it leaves everything else alone."""

import datetime
import random
import re
import string

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import cnnviz
from cnnviz.errors import ConfigError, ModelError, RunError
from cnnviz.recording.schedule import never


class Mixed(nn.Module):
    """Every kind of tensor that a network may hold."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 2)
        self.turned = nn.Parameter(torch.arange(12.0).reshape(3, 4).t())
        self.strided = nn.Parameter(torch.arange(20.0)[::2])
        self.float64 = nn.Parameter(torch.tensor([0.1, float("nan"), float("-inf")], dtype=torch.float64))
        self.bfloat = nn.Parameter(torch.tensor([1.5, -0.0], dtype=torch.bfloat16))
        self.float16 = nn.Parameter(torch.tensor([6e-8, 65504.0], dtype=torch.float16))
        self.register_buffer("count", torch.tensor(2**62 + 1))
        self.register_buffer("mask", torch.tensor([[True], [False]]))
        self.register_buffer("empty", torch.zeros(0, 3))
        self.register_buffer("byte", torch.tensor([0, 255], dtype=torch.uint8))
        self.register_buffer("wave", torch.tensor([1 + 2j]))
        self.register_buffer("float8", torch.tensor([1.0, -2.0]).to(torch.float8_e4m3fn))
        self.register_buffer("row", torch.arange(6.0).reshape(2, 3)[1])
        self.register_buffer("lost", torch.ones(1), persistent=False)


def bits(tensor):
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def equal(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(bits(a), bits(b))


def start(path, model=None, **keywords):
    return cnnviz.Recorder(path, nn.Linear(2, 1) if model is None else model, **keywords)


def test_a_snapshot_is_the_state_bit_for_bit(tmp_path):
    model, states = Mixed(), {}
    with start(tmp_path / "r", model, snapshots=cnnviz.every(2)) as recorder:
        for step in range(5):
            with torch.no_grad():
                for tensor in model.state_dict().values():
                    if tensor.dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
                        tensor += 0.3
                model.count += 1
            states[step] = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            recorder.record(step)
    run = cnnviz.open_run(tmp_path / "r")
    assert run.steps.tolist() == [0, 2, 4]
    assert run.steps.dtype == np.int64
    for snapshot in run:
        assert set(snapshot.state) == set(states[snapshot.step])
        assert len(snapshot.state) == 14
        for name, tensor in states[snapshot.step].items():
            assert equal(snapshot.state[name], tensor), name
    for name in states[0]:
        stacked = run.series(name)
        assert stacked.shape == (3, *states[0][name].shape)
        for row, snapshot in zip(stacked, run, strict=True):
            assert equal(row, run.at(snapshot.step).state[name]), name


def test_tied_weights_have_both_names(tmp_path):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    with start(tmp_path / "r", model) as recorder:
        recorder.record(0)
    snapshot = cnnviz.open_run(tmp_path / "r", model=model).last
    assert torch.equal(snapshot.state["0.weight"], model[0].weight)
    assert torch.equal(snapshot.state["1.weight"], model[0].weight)
    assert torch.equal(snapshot.model()[1].weight, model[0].weight)


def test_what_is_no_dense_tensor_is_named(tmp_path):
    class Extra(nn.Linear):
        def get_extra_state(self):
            return {"a": 1}

    with pytest.raises(ModelError, match="holds '_extra_state', which is no tensor"):
        start(tmp_path / "a", Extra(1, 1)).record(0)
    sparse = nn.Linear(1, 1)
    sparse.register_buffer("sparse", torch.eye(2).to_sparse())
    with pytest.raises(ModelError, match="'sparse' can't be recorded"):
        start(tmp_path / "b", sparse).record(0)


@pytest.mark.filterwarnings("ignore:.* holds no snapshot")
def test_metrics_come_back_exactly(tmp_path):
    values = {"a": 0.1, "b": float("nan"), "c": float("inf"), "d": float("-inf"), "e": 5e-324, "f": -0.0}
    others = {
        "int": 3,
        "true": True,
        "tensor": torch.tensor(0.25),
        "numpy": np.float32(0.5),
        "n0": np.array(2),
    }
    with start(tmp_path / "r") as recorder:
        recorder.record(7, {**values, **others, "grad": torch.tensor(1.5, requires_grad=True) * 2})
    run = cnnviz.open_run(tmp_path / "r")
    assert run.metrics == sorted([*values, *others, "grad"])
    for name, value in values.items():
        steps, found = run.metric(name)
        assert steps.tolist() == [7]
        assert (steps.dtype, found.dtype) == (np.int64, np.float64)
        assert np.array_equal(found, [value], equal_nan=True)
    found = {name: run.metric(name)[1].tolist() for name in [*others, "grad"]}
    assert found == {"int": [3], "true": [1], "tensor": [0.25], "numpy": [0.5], "n0": [2], "grad": [3]}


@pytest.mark.parametrize(
    "value",
    ["much", None, [1, 2], torch.zeros(2), 1j, 10**400, np.zeros(3), object(), {}],
)
def test_a_metric_that_is_no_number(value, tmp_path):
    with start(tmp_path / "r") as recorder:
        with pytest.raises(ConfigError, match="metric 'loss' is no number"):
            recorder.record(0, {"good": 1, "loss": value}, snapshot=True)
        recorder.record(0, {"loss": 1})
    run = cnnviz.open_run(tmp_path / "r")
    assert run.metrics == ["loss"]  # nothing of the refused call was kept


@pytest.mark.parametrize("name", [3, None, b"loss", "\ud800", ("a",)])
def test_a_metric_without_a_name(name, tmp_path):
    with start(tmp_path / "r") as recorder, pytest.raises(ConfigError, match="no name of a metric"):
        recorder.record(0, {name: 1})


def test_steps_never_fall(tmp_path):
    with start(tmp_path / "r", snapshots=cnnviz.every(1)) as recorder:
        with pytest.raises(ConfigError, match="step -1 can't be recorded"):
            recorder.record(-1)
        recorder.record(5)
        recorder.record(5)
        with pytest.raises(ConfigError, match=r"step 4 can't be recorded after step 5: .* never fall"):
            recorder.record(4)
        recorder.record(10**9)
    assert cnnviz.open_run(tmp_path / "r").steps.tolist() == [5, 10**9]


@pytest.mark.parametrize("step", [np.int64(3), np.uint8(3), torch.tensor(3), True + 2])
def test_steps_of_other_libraries(step, tmp_path):
    with start(tmp_path / "r", snapshots=cnnviz.every(3)) as recorder:
        recorder.record(step, {"a": 1})
    run = cnnviz.open_run(tmp_path / "r")
    assert run.steps.tolist() == [3]
    assert run.metric("a")[0].tolist() == [3]
    assert torch.is_tensor(run.at(3).state["weight"])


@pytest.mark.parametrize("step", [1.0, "1", None, torch.tensor([1, 2])])
def test_what_is_no_step(step, tmp_path):
    with start(tmp_path / "r") as recorder, pytest.raises(ConfigError, match="a step is a whole number"):
        recorder.record(step)


def test_one_step_in_several_calls(tmp_path):
    model = nn.Linear(2, 1)
    with start(tmp_path / "r", model, snapshots=never) as recorder:
        recorder.record(1, {"a": 1, "b": 1})
        first = model.weight.clone()
        recorder.record(1, {"a": 2}, snapshot=True)
        with torch.no_grad():
            model.weight += 1
        recorder.record(1, {"c": 3}, snapshot=True)
    run = cnnviz.open_run(tmp_path / "r")
    assert {name: run.metric(name)[1].tolist() for name in run.metrics} == {"a": [2], "b": [1], "c": [3]}
    assert run.steps.tolist() == [1]
    assert torch.equal(run.last.state["weight"], first)  # a snapshot never changes


def test_snapshot_overrules_the_schedule(tmp_path):
    with start(tmp_path / "r", snapshots=cnnviz.every(2)) as recorder:
        recorder.record(0, snapshot=False)
        recorder.record(1, snapshot=True)
        recorder.record(2)
        recorder.record(3)
    assert cnnviz.open_run(tmp_path / "r").steps.tolist() == [1, 2]


def test_nothing_after_the_end(tmp_path):
    recorder = start(tmp_path / "r")
    recorder.close("stopped", "enough")
    recorder.close("failed", "twice")
    with pytest.raises(RunError, match="is closed"):
        recorder.record(0)
    run = cnnviz.open_run(tmp_path / "r")
    assert (run.status, run.detail) == ("stopped", "enough")


@pytest.mark.parametrize(
    ("exception", "status", "detail"),
    [
        (None, "finished", ""),
        (KeyboardInterrupt(), "stopped", ""),
        (ValueError("bad <b>luck</b>"), "failed", "ValueError: bad <b>luck</b>"),
        (SystemExit(3), "failed", "SystemExit: 3"),
    ],
)
def test_how_it_ends(exception, status, detail, tmp_path):
    try:
        with start(tmp_path / "r") as recorder:
            recorder.record(0, {"a": 1})
            assert cnnviz.open_run(tmp_path / "r").status == "running"
            if exception is not None:
                raise exception
    except BaseException as error:
        assert error is exception  # noqa: PT017 - KeyboardInterrupt is not for pytest.raises
    run = cnnviz.open_run(tmp_path / "r")
    assert (run.status, run.detail) == (status, detail)
    assert run.metric("a")[1].tolist() == [1]
    assert run.steps.tolist() == [0]


def test_a_second_recorder_is_refused(tmp_path):
    with start(tmp_path / "r") as recorder:
        recorder.record(0, {"a": 1})
        with pytest.raises(RunError, match="exists already: choose another name, or go on with it"):
            start(tmp_path / "r")
        with pytest.raises(RunError, match="is being written by another process"):
            start(tmp_path / "r", resume=True)
        recorder.record(1, {"a": 2})
    assert cnnviz.open_run(tmp_path / "r").metric("a")[1].tolist() == [1, 2]
    with pytest.raises(RunError, match="exists already"):
        start(tmp_path / "r")


def test_where_a_run_cannot_be(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(RunError, match="exists already"):
        start(tmp_path / "mine")
    with pytest.raises(RunError, match="exists already"):
        start(tmp_path / "mine" / "thesis.txt")
    with pytest.raises(RunError, match="can't be made"):
        start(tmp_path / "mine" / "thesis.txt" / "r")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    with pytest.raises(RunError, match=r"is not a run: it has no run\.json"):
        start(tmp_path / "none", resume=True)
    assert not (tmp_path / "none").exists()
    (tmp_path / "empty").mkdir()
    start(tmp_path / "empty").close()
    start(tmp_path / "deep" / "er").close()


def test_going_on_keeps_what_is_there(tmp_path):
    model = nn.Linear(2, 1)
    with start(tmp_path / "r", model, snapshots=cnnviz.every(1)) as recorder:
        for step in range(4):
            recorder.record(step, {"a": step})
    old = model.weight.clone()
    identity = cnnviz.open_run(tmp_path / "r").manifest.id
    with torch.no_grad():
        model.weight += 1
    with start(tmp_path / "r", model, snapshots=cnnviz.every(1), resume=True) as recorder:
        assert cnnviz.open_run(tmp_path / "r").status == "running"
        for step in range(2, 6):  # 2 and 3 again
            recorder.record(step, {"a": step * 10, "new": 1})
    run = cnnviz.open_run(tmp_path / "r")
    assert run.metric("a")[1].tolist() == [0, 1, 2, 3, 40, 50]
    assert run.metric("new")[0].tolist() == [2, 3, 4, 5]
    assert run.steps.tolist() == [0, 1, 2, 3, 4, 5]
    assert torch.equal(run.at(3).state["weight"], old)
    assert torch.equal(run.at(4).state["weight"], model.weight)
    assert (run.status, run.manifest.id) == ("finished", identity)


def test_going_on_with_a_damaged_database(tmp_path):
    start(tmp_path / "r").close()
    (tmp_path / "r" / "run.db").write_bytes(b"no database at all, but long enough to be looked at" * 99)
    with pytest.raises(RunError, match=r"run\.db can't be written"):
        start(tmp_path / "r", resume=True)


def test_durable_runs_hold_the_same(tmp_path):
    with start(tmp_path / "r", durable=True) as recorder:
        recorder.record(0, {"a": 1})
    run = cnnviz.open_run(tmp_path / "r")
    assert (run.status, run.steps.tolist()) == ("finished", [0])


def test_no_temporary_file_stays(tmp_path):
    with start(tmp_path / "r", snapshots=cnnviz.every(1), samples=(torch.zeros(1, 1, 2, 2), [0])) as recorder:
        for step in range(3):
            recorder.record(step, {"a": 1})
    files = {str(path.relative_to(tmp_path / "r")) for path in (tmp_path / "r").rglob("*")}
    assert files == {
        "run.json", "run.db", "samples.safetensors", "writer.lock", "snapshots",
        "snapshots/00000000.safetensors", "snapshots/00000001.safetensors", "snapshots/00000002.safetensors",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("samples", "problem"),
    [
        (
            (torch.zeros(2, 4, 4), torch.zeros(2)),
            r"samples are a batch of images .* not \(2, 4, 4\) and \(2,\)",
        ),
        ((torch.zeros(2, 1, 4, 4), torch.zeros(3)), r"not \(2, 1, 4, 4\) and \(3,\)"),
        (
            (torch.zeros(2, 1, 4, 4, dtype=torch.int64), torch.zeros(2)),
            "uint8 or floating point, not torch.int64",
        ),
    ],
)
def test_samples_that_are_none(samples, problem, tmp_path):
    with pytest.raises(ConfigError, match=problem):
        start(tmp_path / "r", samples=samples)
    start(tmp_path / "r").close()  # the name is still free


def test_samples_as_the_network_sees_them(tmp_path):
    images = torch.tensor([0, 51, 255, 1], dtype=torch.uint8).reshape(1, 1, 2, 2).repeat(3, 1, 1, 1)
    start(tmp_path / "a", samples=(images, torch.tensor([4, 5, 6]))).close()
    samples = cnnviz.open_run(tmp_path / "a").samples
    assert torch.allclose(samples.images[0, 0], torch.tensor([[0, 0.2], [1, 1 / 255]]))
    assert (samples.images.dtype, samples.labels.tolist(), len(samples)) == (torch.float32, [4, 5, 6], 3)
    assert [sample.label for sample in samples] == [4, 5, 6]
    assert samples[-1].label == 6
    floats = torch.randn(2, 3, 2, 2, dtype=torch.float64)
    start(tmp_path / "b", samples=(floats, np.array([1, 0]))).close()
    samples = cnnviz.open_run(tmp_path / "b").samples
    assert torch.equal(samples.images, floats.float())
    start(tmp_path / "c").close()
    assert len(cnnviz.open_run(tmp_path / "c").samples) == 0
    with pytest.raises(cnnviz.CnnvizError, match="no sample 0; it has 0"):
        cnnviz.open_run(tmp_path / "c").samples[0]


def test_the_manifest_says_what_was_trained(tmp_path):
    model = cnnviz.models.build("convnet", channels=1, classes=3, image_size=8, depth=(2, 3))
    samples = (torch.zeros(1, 1, 8, 8), torch.zeros(1))
    start(tmp_path / "r", model, samples=samples).close()
    manifest = cnnviz.open_run(tmp_path / "r").manifest
    assert manifest.network == "convnet"
    assert manifest.class_name == "ConvNet"
    assert manifest.parameters == sum(p.numel() for p in model.parameters())
    assert [layer.name for layer in manifest.layers][:3] == ["conv1", "relu1", "pool1"]
    assert manifest.layers[0].kind == "Conv2d"
    assert manifest.shapes["conv1"] == (2, 8, 8)
    assert manifest.shapes["fc2"] == (3,)
    assert manifest.software["torch"] == torch.__version__.partition("+")[0] or "torch" in manifest.software
    assert manifest.description.arguments == {
        "channels": 1, "classes": 3, "image_size": 8, "depth": [2, 3],
    }  # fmt: skip
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(manifest.created)
    assert 0 <= age.total_seconds() < 60
    assert re.fullmatch("[0-9a-f]{32}", manifest.id)


def test_layers_without_samples_are_those_of_the_module_tree(tmp_path):
    model = nn.Sequential(nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU()), nn.Linear(1, 1))
    start(tmp_path / "r", model).close()
    assert cnnviz.open_run(tmp_path / "r").layers == (("0.0", "Conv2d"), ("0.1", "ReLU"), ("1", "Linear"))


class Asserts(nn.Linear):
    def forward(self, x):
        raise AssertionError("I want words")


class Keys(nn.Linear):
    def forward(self, x):
        return {"images": x}["words"]


@pytest.mark.parametrize("model", [Asserts(1, 1), Keys(1, 1), nn.Embedding(3, 3), nn.LSTM(2, 2)])
def test_a_network_of_other_things_than_images_can_be_recorded(model, tmp_path):
    with start(tmp_path / "r", nn.Sequential(model), samples=(torch.zeros(1, 1, 2, 2), [0])) as recorder:
        recorder.record(0)
    run = cnnviz.open_run(tmp_path / "r")
    assert [layer.kind for layer in run.layers] == [type(model).__name__]


def test_a_description_that_json_cannot_hold(tmp_path):
    with pytest.raises(ConfigError, match="must be what JSON can hold"):
        start(tmp_path / "r", description=cnnviz.Description(config={"path": tmp_path}))


def train(path, steps=12):
    """Train with dropout and batch norm, recorded at `path` unless it is None; return weights and random states."""
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(4 * 36, 3)
    )
    model[2].eval()  # a mode of its own
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    samples = (torch.full((2, 1, 8, 8), 7, dtype=torch.uint8), torch.tensor([0, 1]))
    recorder = path and start(path, model, snapshots=cnnviz.every(1), samples=samples)
    for step in range(steps):
        model[2].train(step % 2 == 0)
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(torch.randn(8, 1, 8, 8)), torch.randint(3, (8,)))
        loss.backward()
        optimizer.step()
        if recorder:
            modes = [module.training for module in model.modules()]
            recorder.record(step, {"loss": loss})
            assert modes == [module.training for module in model.modules()]
            assert loss.requires_grad
    if recorder:
        recorder.close()
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1]
    return model.state_dict(), [p.grad for p in model.parameters()], states


def test_recording_changes_nothing(tmp_path):
    weights, gradients, randoms = train(None)
    watched, watched_gradients, watched_randoms = train(tmp_path / "r")
    assert all(torch.equal(weights[name], watched[name]) for name in weights)
    assert all(torch.equal(a, b) for a, b in zip(gradients, watched_gradients, strict=True))
    assert torch.equal(randoms[0], watched_randoms[0])
    assert randoms[1] == watched_randoms[1]
    assert np.array_equal(randoms[2], watched_randoms[2])
    assert len(cnnviz.open_run(tmp_path / "r")) == 12


def test_rebuilding_leaves_the_random_state(run):
    before = torch.get_rng_state()
    model = run.last.model()
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(module.training for module in model.modules())


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["", " ", "a/b", "'; DROP TABLE metrics; --", "\0", "é\u0301", "%s?", string.punctuation]
)
CALLS = st.lists(
    st.tuples(
        st.integers(0, 3),  # how far the step goes on
        st.dictionaries(NAMES, st.floats(), max_size=3),
        st.sampled_from([None, None, True, False]),
    ),
    max_size=12,
)


@given(calls=CALLS, n=st.integers(1, 4))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.filterwarnings("ignore:.* holds no snapshot")
def test_any_calls_against_a_dictionary(calls, n, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "r"
    model, step, metrics, snapshots = nn.Linear(1, 1, bias=False), 0, {}, {}
    with start(path, model, snapshots=cnnviz.every(n)) as recorder:
        reader = cnnviz.open_run(path)
        for number, (distance, values, snapshot) in enumerate(calls):
            step += distance
            with torch.no_grad():
                model.weight.fill_(number)
            recorder.record(step, values, snapshot=snapshot)
            for name, value in values.items():
                metrics.setdefault(name, {})[step] = value
            if snapshot or (snapshot is None and step % n == 0):
                snapshots.setdefault(step, float(number))
            assert reader.steps.tolist() == sorted(snapshots)
    run = cnnviz.open_run(path)
    assert run.metrics == sorted(metrics, key=str.encode)
    for name, expected in metrics.items():
        steps, values = run.metric(name)
        assert steps.tolist() == sorted(expected)
        assert np.array_equal(values, [expected[s] for s in sorted(expected)], equal_nan=True)
    assert {s.step: s.state["weight"].item() for s in run} == snapshots
    assert [s.step for s in run] == sorted(snapshots)


# --- what can't be


def test_what_is_no_network_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"takes the network that is trained, a torch\.nn\.Module, not 'x'"):
        cnnviz.Recorder(tmp_path / "r", "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("samples", [torch.zeros(2, 1, 4, 4), (torch.zeros(2, 1, 4, 4),), 5, ("a", "b")])
def test_samples_that_are_no_pair_are_refused(samples, tmp_path):
    with pytest.raises(ConfigError, match="samples are "):
        cnnviz.Recorder(tmp_path / "r", nn.Linear(1, 1), samples=samples)
    assert list(tmp_path.iterdir()) == []


def test_a_size_that_is_too_small_leaves_nothing_behind(tmp_path):
    with (
        pytest.raises(ConfigError, match="allow more"),
        cnnviz.Recorder(tmp_path / "r", nn.Linear(500, 500), snapshots=cnnviz.within("5 kB")) as recorder,
    ):
        recorder.record(0)


def _recorded(path, model):
    with cnnviz.Recorder(path, model, snapshots=cnnviz.every(1)) as recorder:
        recorder.record(0, {"a": 1})
    return cnnviz.open_run(path)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (
            lambda: nn.Sequential(nn.Linear(2, 4), nn.Linear(3, 1)),
            "0.weight is 3×2, where the model has 4×2; 0.bias is 3",
        ),
        (
            lambda: nn.Linear(2, 3),
            "weight is not in the run; bias is not in the run; the model has no ",
        ),
    ],
)
def test_a_run_is_not_gone_on_with_by_another_network(other, words, tmp_path):
    run = _recorded(tmp_path / "r", nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)))
    with pytest.raises(ModelError, match=r"is not the network that .*r is of: ") as error:
        cnnviz.Recorder(tmp_path / "r", other(), resume=True)
    assert words in str(error.value)
    assert (run.status, run.steps.tolist()) == ("finished", [0])  # as it was


def test_layers_that_are_yet_to_come_or_new_ones_may_differ(tmp_path):
    run = _recorded(tmp_path / "r", nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)))
    for step, model in enumerate(
        [nn.Sequential(nn.Linear(2, 3)), nn.Sequential(*(nn.Linear(2, 3), nn.Linear(3, 1), nn.Linear(1, 1)))],
        1,
    ):
        with cnnviz.Recorder(run.path, model, snapshots=cnnviz.every(1), resume=True) as recorder:
            recorder.record(step)
    assert run.steps.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        (cnnviz.at(5000), True),
        (cnnviz.every(100), True),
        (cnnviz.at(3), False),
        (never, False),
        (lambda _: False, False),
    ],
)
def test_a_run_without_a_snapshot_is_told(schedule, told, tmp_path, recwarn):
    with cnnviz.Recorder(tmp_path / "r", nn.Linear(1, 1), snapshots=schedule) as recorder:
        for step in range(1, 20):
            recorder.record(step)
    messages = [str(warning.message) for warning in recwarn]
    assert [
        f"holds no snapshot: {schedule} says yes at none of the steps" in message for message in messages
    ] == [True] * told
