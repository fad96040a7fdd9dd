"""Lightning: a real, small training, recorded by the callback."""

import contextlib

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import cnnviz
from cnnviz.errors import ConfigError, RunError
from cnnviz.recording.schedule import epochs

pl = pytest.importorskip("lightning.pytorch")

from cnnviz.integrations.lightning import RecorderCallback  # noqa: E402 - needs it

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*treespec, LeafSpec:FutureWarning"),  # its own use of torch
]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 2, 3)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(2 * 36, 3)

    def forward(self, images):
        return self.head(self.drop(self.conv1(images).relu().flatten(1)))


class Lit(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.model = Net()
        self.losses = []

    def forward(self, images):
        return self.model(images)

    def loss(self, batch):
        return functional.cross_entropy(self(batch[0]), batch[1])

    def training_step(self, batch, index):
        loss = self.loss(batch)
        self.losses.append(loss.item())
        self.log("train/loss", loss)
        self.log("train/both", loss, on_step=True, on_epoch=True)
        if index % 2 == 0:
            self.log("train/seldom", torch.tensor(float(index)))
        return loss

    def validation_step(self, batch, index):
        self.log("validation/loss", self.loss(batch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def loaders():
    generator = torch.Generator().manual_seed(5)
    images = torch.randn(20, 1, 8, 8, generator=generator)
    labels = torch.randint(3, (20,), generator=generator)
    data = torch.utils.data.TensorDataset(images, labels)
    return torch.utils.data.DataLoader(data, 4, shuffle=True), torch.utils.data.DataLoader(data, 10)


def trainer(*callbacks, epochs=2, **keywords):
    return pl.Trainer(
        accelerator="cpu", devices=1, max_epochs=epochs, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=list(callbacks), **keywords,
    )  # fmt: skip


def train(path, lit=None, *, epochs=2, trainer_options=(), **options):
    torch.manual_seed(0)
    lit = lit or Lit()
    callbacks = [RecorderCallback(path, **options)] if path else []
    trainer(*callbacks, epochs=epochs, **dict(trainer_options)).fit(lit, *loaders())
    return lit


def test_records_what_the_module_logs(tmp_path):
    lit = train(tmp_path / "r", snapshots=cnnviz.every(4))
    run = cnnviz.open_run(tmp_path / "r", model=Lit)
    assert run.status == "finished"
    assert run.steps.tolist() == [0, 4, 8]
    names = ["train/both_epoch", "train/both_step", "train/loss", "train/seldom", "validation/loss"]
    assert run.metrics == names
    steps, losses = run.metric("train/loss")
    assert steps.tolist() == list(range(1, 11))
    assert np.allclose(losses, lit.losses, rtol=0, atol=0)
    assert run.metric("train/both_step")[1].tolist() == losses.tolist()
    # The value of batches 0, 2, 4 of each epoch, and never an old one again.
    assert run.metric("train/seldom")[0].tolist() == [1, 3, 5, 6, 8, 10]
    assert run.metric("train/seldom")[1].tolist() == [0, 2, 4, 0, 2, 4]
    steps, means = run.metric("train/both_epoch")
    assert steps.tolist() == [5, 10]
    assert np.allclose(means, [np.mean(lit.losses[:5]), np.mean(lit.losses[5:])])
    assert run.metric("validation/loss")[0].tolist() == [5, 10]  # not the sanity check's, at step 0


def test_validation_is_measured_on_the_recorded_weights(tmp_path):
    train(tmp_path / "r", snapshots=cnnviz.every(5))
    run = cnnviz.open_run(tmp_path / "r", model=Lit)
    steps, losses = run.metric("validation/loss")
    images, labels = loaders()[1].dataset.tensors
    for step, loss in zip(steps, losses, strict=True):
        with torch.no_grad():
            logits = run.at(step).model()(images)
        assert functional.cross_entropy(logits, labels).item() == pytest.approx(loss, rel=1e-5)


def test_changes_nothing(tmp_path):
    bare = train(None)
    state = torch.get_rng_state()
    recorded = train(tmp_path / "r", snapshots=cnnviz.every(1), samples=(torch.zeros(2, 1, 8, 8), [0, 1]))
    assert torch.equal(torch.get_rng_state(), state)
    assert recorded.losses == bare.losses
    for name, tensor in bare.state_dict().items():
        assert torch.equal(recorded.state_dict()[name], tensor)
    run = cnnviz.open_run(tmp_path / "r", model=Lit)
    assert run.steps.tolist() == list(range(11))
    assert torch.equal(run.last.state["model.conv1.weight"], recorded.model.conv1.weight)


def test_an_attribute_records_under_its_own_names(tmp_path):
    lit = train(tmp_path / "r", module="model", samples=(torch.zeros(2, 1, 8, 8), [0, 1]), epochs=1)
    run = cnnviz.open_run(tmp_path / "r", model=Net)
    assert sorted(run.last.state) == ["conv1.bias", "conv1.weight", "head.bias", "head.weight"]
    assert [layer.name for layer in run.layers] == ["conv1", "relu", "drop", "head"]
    assert run.manifest.class_name == "Net"
    assert not torch.equal(run.first.state["head.bias"], lit.model.head.bias)


def test_an_attribute_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="Lit has no module 'net' to record; it has model"):
        train(tmp_path / "r", module="net")
    assert not (tmp_path / "r").exists()


def test_an_option_that_is_not_there(tmp_path):
    with pytest.raises(TypeError, match="snapshot"):
        RecorderCallback(tmp_path / "r", snapshot=cnnviz.every(2))


def test_an_accumulated_gradient_is_one_step(tmp_path):
    lit = train(tmp_path / "r", snapshots=cnnviz.every(1), trainer_options={"accumulate_grad_batches": 2})
    run = cnnviz.open_run(tmp_path / "r", model=Lit)
    assert run.steps.tolist() == [0, 1, 2, 3, 4, 5, 6]  # of 5 batches the last makes a step of its own
    steps, losses = run.metric("train/loss")
    assert steps.tolist() == [1, 2, 3, 4, 5, 6]
    assert losses.tolist() == pytest.approx([lit.losses[i] for i in (1, 3, 4, 6, 8, 9)], rel=1e-6)


def test_epochs_are_counted_in_steps_that_the_trainer_knows(tmp_path):
    train(tmp_path / "r", snapshots=epochs(1), trainer_options={"accumulate_grad_batches": 2})
    assert cnnviz.open_run(tmp_path / "r").steps.tolist() == [0, 3, 6]


class TwoOptimizers(Lit):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def configure_optimizers(self):
        return [
            torch.optim.SGD(self.model.conv1.parameters(), 0.1),
            torch.optim.SGD(self.model.head.parameters(), 0.1),
        ]

    def training_step(self, batch, index):
        loss = self.loss(batch)
        self.manual_backward(loss)
        for optimizer in self.optimizers():
            optimizer.step()
            optimizer.zero_grad()
        self.log("loss", loss)


def test_every_optimizer_counts(tmp_path):
    train(tmp_path / "r", TwoOptimizers(), epochs=1, snapshots=cnnviz.every(4))
    run = cnnviz.open_run(tmp_path / "r", model=Lit)
    assert run.steps.tolist() == [0, 4, 8]
    assert run.metric("loss")[0].tolist() == [2, 4, 6, 8, 10]


def test_validation_within_an_epoch(tmp_path):
    train(tmp_path / "r", epochs=1, trainer_options={"val_check_interval": 2})
    run = cnnviz.open_run(tmp_path / "r")
    assert run.metric("validation/loss")[0].tolist() == [2, 4]
    assert run.metric("train/loss")[0].tolist() == [1, 2, 3, 4, 5]


class Raises(Lit):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def training_step(self, batch, index):
        if index == 3:
            raise self.error
        return super().training_step(batch, index)


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [(KeyboardInterrupt(), "stopped", ""), (ValueError("bad luck"), "failed", "ValueError: bad luck")],
)
def test_a_training_that_ends_early(error, status, detail, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "signal.signal", lambda *_: None
    )  # Lightning shuts Ctrl-C off for the rest of the process
    with contextlib.suppress(ValueError, SystemExit):
        train(tmp_path / "r", Raises(error), snapshots=cnnviz.every(1))
        pytest.fail("it was to raise")
    run = cnnviz.open_run(tmp_path / "r")
    assert (run.status, run.detail) == (status, detail)
    assert run.steps.tolist() == [0, 1, 2, 3]


def test_what_is_no_number_is_left_out(tmp_path):
    class Many(Lit):
        def training_step(self, batch, index):
            self.trainer.logged_metrics["histogram"] = torch.zeros(3)
            self.trainer.logged_metrics["text"] = "words"
            return super().training_step(batch, index)

    train(tmp_path / "r", Many(), epochs=1)
    assert "train/loss" in cnnviz.open_run(tmp_path / "r").metrics
    assert {"histogram", "text"} & set(cnnviz.open_run(tmp_path / "r").metrics) == set()


def test_going_on_from_a_checkpoint(tmp_path):
    torch.manual_seed(0)
    first = trainer(RecorderCallback(tmp_path / "r", snapshots=cnnviz.every(5)), epochs=1)
    first.fit(Lit(), *loaders())
    first.save_checkpoint(tmp_path / "c.ckpt")
    second = trainer(RecorderCallback(tmp_path / "r", snapshots=cnnviz.every(5)), epochs=2)
    with pytest.raises(RunError, match="exists already"):
        second.fit(Lit(), *loaders(), ckpt_path=tmp_path / "c.ckpt")
    third = trainer(RecorderCallback(tmp_path / "r", snapshots=cnnviz.every(5), resume=True), epochs=2)
    third.fit(Lit(), *loaders(), ckpt_path=tmp_path / "c.ckpt")
    run = cnnviz.open_run(tmp_path / "r")
    assert run.status == "finished"
    assert run.steps.tolist() == [0, 5, 10]
    assert run.metric("train/loss")[0].tolist() == list(range(1, 11))


@pytest.mark.parametrize(
    ("precision", "dtype"), [("bf16-true", torch.bfloat16), ("bf16-mixed", torch.float32)]
)
def test_precision_keeps_its_type(precision, dtype, tmp_path):
    train(tmp_path / "r", epochs=1, trainer_options={"precision": precision}, snapshots=cnnviz.every(5))
    run = cnnviz.open_run(tmp_path / "r", model=Lit)
    assert {tensor.dtype for tensor in run.last.state.values()} == {dtype}


def test_a_compiled_attribute_has_bare_names(tmp_path):
    lit = Lit()
    lit.model = torch.compile(lit.model, backend="eager")
    train(tmp_path / "r", lit, epochs=1, module="model")
    assert "conv1.weight" in cnnviz.open_run(tmp_path / "r", model=Net).last.state


def test_does_nothing_outside_of_fit(tmp_path):
    trainer(RecorderCallback(tmp_path / "r")).validate(Lit(), loaders()[1], verbose=False)
    assert not (tmp_path / "r").exists()
