"""The training itself: what it records, that it can be repeated, stopped and gone on with bit for bit."""

import dataclasses
import json
import os
import shutil
import signal
import sys

import numpy as np
import pytest
import torch
from torch import nn

import cnnviz
from cnnviz import TrainConfig, fit
from cnnviz.errors import DataError, ModelError, RecordingWarning, RunError, UnknownNameError
from cnnviz.recording.checkpoint import read_checkpoint, write_checkpoint
from cnnviz.training import loop

# 60 images: 6 updates an epoch
SMALL = TrainConfig(
    model="own_parts_for_fit:Net",
    data="own_parts_for_fit:images",
    epochs=3,
    batch_size=10,
    every=4,
    lr=0.05,
    device="cpu",
    samples=3,
)
PARTS = """
import torch
from torch import nn

def images():
    generator = torch.Generator().manual_seed(5)
    def part(count):
        pixels = torch.randint(0, 256, (count, 1, 6, 6), dtype=torch.uint8, generator=generator)
        return pixels, (pixels[:, 0, 2, 2].long() > 127).long()
    return part(60), part(20), part(20)

class Net(nn.Sequential):
    def __init__(self, channels, classes):
        super().__init__(nn.Conv2d(channels, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(),
                         nn.Dropout(0.4), nn.Linear(48, classes))

class Wrong(nn.Linear):
    def __init__(self):
        super().__init__(36, 3)
    def forward(self, x):
        return super().forward(x.flatten(1))

class Fails(Net):
    def forward(self, x):
        if self.training and self[1].num_batches_tracked >= 7:
            raise RuntimeError("the disk is on fire")
        return super().forward(x)

def notanet():
    return 3
"""
STEPS = [0, 4, 6, 10, 12, 16, 18]


@pytest.fixture(scope="module", autouse=True)
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    (folder / "own_parts_for_fit.py").write_text(PARTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield
    sys.modules.pop("own_parts_for_fit", None)


def small(**options):
    return dataclasses.replace(SMALL, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, parts):
    """The runs of uninterrupted trainings, by optimizer."""
    root = tmp_path_factory.mktemp("whole")
    return {name: fit(small(optimizer=name), root / name) for name in ("sgd", "adam")}


def assert_same(run, expected):
    assert run.steps.tolist() == expected.steps.tolist()
    assert run.digests == expected.digests
    assert run.metrics == expected.metrics
    for name in set(run.metrics) - {"seconds"}:
        for ours, theirs in zip(run.metric(name), expected.metric(name), strict=True):
            assert np.array_equal(ours, theirs, equal_nan=True), name


def stop_at(step, number=signal.SIGINT):
    """A progress callback that presses Ctrl-C once, when the training has come to `step`."""
    pressed = []

    def tell(progress):
        if progress.step >= step and not pressed:
            pressed.append(progress.step)
            os.kill(os.getpid(), number)

    return tell


def always_tell(monkeypatch):
    monkeypatch.setattr("cnnviz.training.loop._PROGRESS_SECONDS", -1.0)


# --- what is recorded


def test_what_a_training_records(run):
    assert run.status == "finished"
    assert run.steps.tolist() == [0, 4, 8, 12]
    layers = ["conv1", "conv2", "fc1", "fc2"]
    assert run.metrics == sorted(
        [f"{kind}/{layer}" for kind in ("gradient_norm", "update_size") for layer in layers]
        + [f"{part}/{kind}" for part in ("train", "validation", "test") for kind in ("error", "loss")]
        + ["learning_rate", "seconds"]
    )
    for name in run.metrics:
        steps, values = run.metric(name)
        assert steps.tolist() == ([12] if name.startswith("test/") else [4, 8, 12])
        assert np.isfinite(values).all()
        assert (values >= 0).all()
        if name.endswith("/error"):
            assert (values <= 1).all()
    assert run.metric("learning_rate")[1].tolist() == [0.05] * 3
    assert (np.diff(run.metric("seconds")[1]) > 0).all()
    assert run.metric("validation/error")[1][-1] < 0.9 * run.metric("validation/error")[1][0] < 0.95


def test_recorded_errors_are_those_of_the_snapshots(run):
    from cnnviz.data import load

    data = load("mnist-mini")
    for name, part, step in [("validation", data.validation, 8), ("test", data.test, 12)]:
        with torch.no_grad():
            logits = run.at(step).model()(part.images / 255)
        steps, values = run.metric(f"{name}/error")
        recorded = dict(zip(steps.tolist(), values.tolist(), strict=True))[step]
        assert recorded == pytest.approx((logits.argmax(1) != part.labels).double().mean().item(), abs=0.0011)


def test_update_sizes_are_those_of_sgd(whole):
    run = whole["sgd"]
    assert run.metric("update_size/5")[0].tolist() == STEPS[1:]
    # without momentum the update is the gradient times the learning rate
    assert {"gradient_norm/0", "gradient_norm/1", "gradient_norm/5"} <= set(run.metrics)


def test_updates_without_momentum_are_gradients_times_learning_rate(tmp_path):
    run = fit(small(momentum=0.0, epochs=1), tmp_path / "r")
    for layer in ("0", "5"):
        updates, gradients = run.metric(f"update_size/{layer}")[1], run.metric(f"gradient_norm/{layer}")[1]
        assert np.allclose(updates, 0.05 * gradients, rtol=1e-3)


def test_step_0_is_the_untrained_network(whole):
    torch.manual_seed(0)
    from own_parts_for_fit import Net

    assert torch.equal(whole["sgd"].at(0).state["0.weight"], Net(1, 2)[0].weight)


def test_the_manifest_tells_how(whole, run):
    description = run.manifest.description
    assert (description.model, description.data, description.seed) == ("convnet", "mnist-mini", 0)
    assert description.arguments == {"channels": 1, "classes": 10, "image_size": 28}
    assert TrainConfig.from_json(description.config).batch_size == 500
    samples = whole["sgd"].samples
    assert (len(samples), samples.images.shape) == (3, (3, 1, 6, 6))


def test_progress_is_told(tmp_path, monkeypatch):
    always_tell(monkeypatch)
    told = []
    fit(small(epochs=2), tmp_path / "r", progress=told.append)
    assert [p.step for p in told] == list(range(1, 13))
    assert {(p.epochs, p.steps) for p in told} == {(2, 12)}
    assert [p.epoch for p in told] == [1] * 6 + [2] * 6
    assert [p.step for p in told if p.recorded] == STEPS[1:5]
    assert told[0].validation_error is None
    assert 0 <= told[-1].validation_error <= 1
    assert told[-1].seconds_left == 0
    assert all(0 <= p.train_error <= 1 and p.loss > 0 and p.images_per_second > 0 for p in told)


# --- the same again


def test_the_same_seed_gives_the_same_run(whole, tmp_path):
    torch.rand(3)
    assert_same(fit(SMALL, tmp_path / "r"), whole["sgd"])
    assert fit(small(seed=1), tmp_path / "s").digests[0] != whole["sgd"].digests[0]


def test_how_often_is_recorded_does_not_change_the_weights(whole, tmp_path):
    seldom = fit(small(every=99, samples=0), tmp_path / "r")
    assert seldom.steps.tolist() == [0, 6, 12, 18]
    assert seldom.digests[-1] == whole["sgd"].digests[-1]


@pytest.mark.parametrize(
    ("schedule", "steps"),
    [
        ("at(3, 8)", [0, 3, 8, 18]),
        ("epochs(2)", [0, 12, 18]),
        ("log_spaced(2) | every(9)", [0, 1, 3, 9, 10, 18]),
        ("never", [0, 18]),  # the first and the last are kept always
    ],
)
def test_weights_are_kept_as_the_schedule_says(schedule, steps, whole, tmp_path):
    run = fit(small(snapshots=schedule), tmp_path / "r")
    assert run.steps.tolist() == steps
    assert run.digests[-1] == whole["sgd"].digests[-1]
    for name in whole["sgd"].metrics:  # which are recorded as ever
        assert run.metric(name)[0].tolist() == whole["sgd"].metric(name)[0].tolist()


def test_kept_as_the_schedule_says_when_gone_on(tmp_path, monkeypatch):
    always_tell(monkeypatch)
    config = small(snapshots="at(3, 8, 13)")
    fit(config, tmp_path / "r", progress=stop_at(9))
    run = fit(config, tmp_path / "r", resume=True)
    assert run.steps.tolist() == [0, 3, 8, 13, 18]
    assert run.digests == fit(config, tmp_path / "s").digests


def test_a_run_is_kept_within_a_size(tmp_path):
    config = small(model="convnet", every=1)
    whole = fit(config, tmp_path / "whole")
    run = fit(dataclasses.replace(config, within="400 kB"), tmp_path / "r")
    taken = sum(path.stat().st_blocks * 512 for path in (tmp_path / "r").rglob("*"))
    assert taken < 400_000 < sum(path.stat().st_size for path in (tmp_path / "whole").rglob("*"))
    assert run.steps[[0, -1]].tolist() == [0, 18]
    assert 2 < len(run) < len(whole) == 19
    assert run.digests == [whole.at(int(step)).digest for step in run.steps]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("step", [1, 5, 6, 9, 17])
def test_stopped_and_gone_on_is_as_never_stopped(optimizer, step, whole, tmp_path, monkeypatch):
    always_tell(monkeypatch)
    config = small(optimizer=optimizer)
    stopped = fit(config, tmp_path / "r", progress=stop_at(step))
    assert (stopped.status, stopped.detail) == ("stopped", f"at step {step} by the user")
    assert stopped.steps.tolist() == [s for s in STEPS if s <= step]
    torch.rand(7)
    run = fit(config, tmp_path / "r", resume=True)
    assert run.status == "finished"
    assert_same(run, whole[optimizer])


def test_ctrl_c_while_the_run_is_begun(whole, tmp_path, monkeypatch):
    class Slow(loop.Recorder):
        def __init__(self, *arguments, **keywords):
            os.kill(os.getpid(), signal.SIGINT)
            super().__init__(*arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "Recorder", Slow)
        run = fit(SMALL, tmp_path / "r")
    assert (run.status, run.detail) == ("stopped", "at step 1 by the user")
    assert_same(fit(SMALL, tmp_path / "r", resume=True), whole["sgd"])


def test_stopped_three_times(whole, tmp_path, monkeypatch):
    always_tell(monkeypatch)
    for step, number in [(2, signal.SIGTERM), (7, signal.SIGINT), (8, signal.SIGINT)]:
        run = fit(SMALL, tmp_path / "r", progress=stop_at(step, number), resume=step > 2)
        assert run.status == "stopped"
    assert_same(fit(SMALL, tmp_path / "r", resume=True), whole["sgd"])


def test_gone_on_after_a_kill(whole, tmp_path, monkeypatch):
    """The checkpoint is older than the last snapshots: what was recorded stays, the rest is as never killed."""
    always_tell(monkeypatch)
    fit(SMALL, tmp_path / "r", progress=stop_at(5))
    shutil.copy(tmp_path / "r" / "resume.safetensors", tmp_path / "old")
    fit(SMALL, tmp_path / "r", progress=stop_at(13), resume=True)
    shutil.copy(tmp_path / "old", tmp_path / "r" / "resume.safetensors")
    files = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "r" / "snapshots").iterdir()}
    assert len(files) == 5
    run = fit(SMALL, tmp_path / "r", resume=True)
    assert_same(run, whole["sgd"])
    now = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "r" / "snapshots").iterdir()}
    assert {name: now[name] for name in files} == files  # not written again


def test_a_full_disk_takes_no_checkpoint_and_ends_no_training(whole, tmp_path, monkeypatch):
    def write_checkpoint(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(loop, "write_checkpoint", write_checkpoint)
    with pytest.warns(RecordingWarning, match="takes no checkpoint: .*No space left") as warned:
        run = fit(SMALL, tmp_path / "r")
    assert len(warned) == 1
    assert_same(run, whole["sgd"])
    assert not (tmp_path / "r" / "resume.safetensors").exists()


def test_a_finished_training_goes_on_for_more_epochs(whole, tmp_path):
    short = fit(small(epochs=1), tmp_path / "r")
    assert short.steps.tolist() == [0, 4, 6]
    run = fit(SMALL, tmp_path / "r", resume=True)
    assert run.digests == whole["sgd"].digests
    assert run.manifest.description.config["epochs"] == 3
    assert run.metric("test/error")[0].tolist() == [6, 18]
    again = fit(SMALL, tmp_path / "r", resume=True)  # nothing is left to do
    assert again.digests == whole["sgd"].digests
    assert again.metric("test/error")[0].tolist() == [6, 18]


def test_what_can_not_be_gone_on_with(tmp_path, whole):
    with pytest.raises(RunError, match="holds no checkpoint to go on from"):
        fit(SMALL, tmp_path / "none", resume=True)
    with pytest.raises(RunError, match="exists already"):
        fit(SMALL, whole["sgd"].path)
    shutil.copytree(whole["sgd"].path, tmp_path / "r")
    before = whole["sgd"].digests
    with pytest.raises(RunError, match=r"other options: .*made by sgd, not by adam"):
        fit(small(optimizer="adam", epochs=4), tmp_path / "r", resume=True)
    with pytest.raises(RunError, match="damaged, or of a training with other options"):
        fit(small(model="convnet", epochs=4), tmp_path / "r", resume=True)
    run = cnnviz.open_run(tmp_path / "r")
    assert (run.status, run.digests) == ("finished", before)  # left as it was


@pytest.mark.parametrize("content", [b"", b"x" * 100, None])
def test_a_damaged_checkpoint(content, tmp_path, whole):
    shutil.copytree(whole["sgd"].path, tmp_path / "r")
    file = tmp_path / "r" / "resume.safetensors"
    file.write_bytes(file.read_bytes()[:-10] if content is None else content)
    with pytest.raises(RunError, match=r"resume\.safetensors can't be read"):
        fit(small(epochs=4), tmp_path / "r", resume=True)


def test_a_checkpoint_of_something_else(tmp_path, whole):
    shutil.copytree(whole["sgd"].path, tmp_path / "r")
    tensors, facts = read_checkpoint(tmp_path / "r")
    write_checkpoint(tmp_path / "r", {k: v for k, v in tensors.items() if k != "random/cpu"}, facts)
    with pytest.raises(RunError, match="the checkpoint is damaged"):
        fit(small(epochs=4), tmp_path / "r", resume=True)
    write_checkpoint(tmp_path / "r", tensors, {})
    with pytest.raises(RunError, match="the checkpoint is damaged"):
        fit(small(epochs=4), tmp_path / "r", resume=True)
    assert json.dumps(facts)


# --- how it may end


@pytest.mark.parametrize("every", [1, 4])
def test_divergence_is_an_outcome(every, tmp_path):
    run = fit(small(model="convnet", lr=1e20, every=every), tmp_path / "r")
    assert run.status == "diverged"
    assert run.detail == "at step 2: the loss of update 2 is nan; try a lower learning rate"
    assert run.steps.tolist() == [0, 1]  # with the last network that had a loss, on schedule or not
    for snapshot in run:
        assert all(torch.isfinite(snapshot.state[name]).all() for name in snapshot.state)
    assert "diverged" in run._repr_html_()


def test_an_error_in_the_training_fails_the_run(tmp_path):
    with pytest.raises(RuntimeError, match="the disk is on fire"):
        fit(small(model="own_parts_for_fit:Fails"), tmp_path / "r")
    run = cnnviz.open_run(tmp_path / "r")
    assert (run.status, run.detail) == ("failed", "RuntimeError: the disk is on fire")
    assert run.steps.tolist() == [0, 4, 6]


@pytest.mark.parametrize(
    ("options", "error", "problem"),
    [
        (
            {"model": "own_parts_for_fit:Wrong"},
            ModelError,
            r"one logit for each of the 2 classes, \(1, 2\), not \(1, 3\)",
        ),
        (
            {"model": "own_parts_for_fit:notanet"},
            ModelError,
            "must return a torch.nn.Module; it returned int",
        ),
        ({"model": "own_parts_for_fit:absent"}, UnknownNameError, "has no 'absent'"),
        ({"model": "convent"}, UnknownNameError, "Did you mean 'convnet'"),
        ({"data": "mnist-mimi"}, UnknownNameError, "Did you mean 'mnist-mini'"),
        ({"model": "alexnet"}, ModelError, "image size"),
        (
            {"model": "own_parts_for_fit:Net", "image_size": 5},
            ModelError,
            r"images of shape \(1, 5, 5\).*--image-size 64",
        ),
        ({"model_arguments": {"depth": 3}}, ModelError, "takes no argument 'depth'"),
        ({"data": "folder:/no/such/place"}, DataError, "/no/such/place"),
    ],
)
def test_what_can_not_be_trained_leaves_no_run(options, error, problem, tmp_path):
    with pytest.raises(error, match=f"(?s){problem}"):
        fit(small(**options), tmp_path / "r")
    assert not (tmp_path / "r").exists()


# --- a user's own network


def test_a_run_of_a_users_own_network_names_nothing_to_import(whole):
    run = whole["sgd"]
    assert run.manifest.description.model is None
    assert run.manifest.network == "Net"
    with pytest.raises(
        ModelError, match=r"Net, is a class of its user's own: .* cnnviz\.open_run\(path, model=\.\.\.\)"
    ):
        cnnviz.open_run(run.path).last.model()
    module = sys.modules.pop("own_parts_for_fit")
    try:
        again = cnnviz.open_run(run.path)
        _ = (
            again.layers,
            again.steps,
            again.series("0.weight"),
            again._repr_html_(),
            cnnviz.plots.filters(again),
        )
        with pytest.raises(ModelError):
            again.last.model()
        assert "own_parts_for_fit" not in sys.modules
    finally:
        sys.modules["own_parts_for_fit"] = module


def test_a_run_of_a_users_own_network_is_opened_with_it(whole):
    from own_parts_for_fit import Net

    path, images = whole["sgd"].path, whole["sgd"].samples.images
    outputs = []
    for source in ("own_parts_for_fit:Net", lambda: Net(1, 2), Net(1, 2)):
        run = cnnviz.open_run(path, model=source)
        with torch.no_grad():
            outputs.append(run.last.model()(images))
        assert cnnviz.plots.feature_maps(run, layer="2").panels[1].cells.shape == (7, 3, 4, 4)
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])
    assert isinstance(run.last.model(), nn.Module)
