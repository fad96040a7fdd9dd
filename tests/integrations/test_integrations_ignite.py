"""PyTorch-Ignite: a real, small training, recorded by the handler."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import cnnviz
from cnnviz.errors import RunError

pytest.importorskip("ignite")

from ignite.engine import Engine, Events, create_supervised_evaluator
from ignite.metrics import Accuracy, Average, ConfusionMatrix, RunningAverage

from cnnviz.integrations.ignite import RecorderHandler
from cnnviz.recording.schedule import epochs

IMAGES = torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(5))
LABELS = torch.randint(3, (20,), generator=torch.Generator().manual_seed(6))
BATCHES = list(zip(IMAGES.split(4), LABELS.split(4), strict=True))


def net():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(2 * 36, 3))


class Training:
    """A trainer with metrics of its own, and an evaluator that runs after each epoch."""

    def __init__(self, error=None):
        torch.manual_seed(0)
        self.model, self.losses, self.error = net(), [], error
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.trainer = Engine(self.update)
        RunningAverage(output_transform=lambda loss: loss, alpha=0.5).attach(self.trainer, "running")
        Average().attach(self.trainer, "mean")
        self.evaluator = create_supervised_evaluator(
            self.model, {"accuracy": Accuracy(), "confusion": ConfusionMatrix(3)}
        )

    def update(self, engine, batch):
        if self.error is not None and engine.state.iteration == 4:
            raise self.error
        self.model.train()
        loss = functional.cross_entropy(self.model(batch[0]), batch[1])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.losses.append(loss.item())
        return loss.item()

    def run(self, path=None, epochs=2, **options):
        if path is not None:
            RecorderHandler(path, self.model, **options).attach(
                self.trainer,
                output=lambda loss: {"train/loss": loss},
                evaluators={"validation": self.evaluator},
            )
        self.trainer.add_event_handler(
            Events.EPOCH_COMPLETED, lambda _: self.evaluator.run([(IMAGES, LABELS)])
        )
        self.trainer.run(BATCHES, max_epochs=epochs)
        return self


def test_records_the_trainer_and_its_evaluators(tmp_path):
    done = Training().run(tmp_path / "r", snapshots=cnnviz.every(5))
    run = cnnviz.open_run(tmp_path / "r", model=net)
    assert run.status == "finished"
    assert run.steps.tolist() == [0, 5, 10]
    assert run.metrics == ["mean", "running", "train/loss", "validation/accuracy"]  # no confusion matrix
    steps, losses = run.metric("train/loss")
    assert steps.tolist() == list(range(1, 11))
    assert losses.tolist() == done.losses
    running = [done.losses[0]]
    for loss in done.losses[1:]:
        running.append(0.5 * running[-1] + 0.5 * loss)
    assert run.metric("running")[1].tolist() == pytest.approx(running)
    steps, means = run.metric("mean")
    assert steps.tolist() == [5, 10]  # never again at the steps after
    assert means.tolist() == pytest.approx([np.mean(done.losses[:5]), np.mean(done.losses[5:])])
    for step, accuracy in zip(*run.metric("validation/accuracy"), strict=True):
        with torch.no_grad():
            right = run.at(step).model()(IMAGES).argmax(1) == LABELS
        assert right.float().mean().item() == pytest.approx(accuracy)


def test_changes_nothing(tmp_path):
    bare = Training().run()
    state = torch.get_rng_state()
    samples = (torch.zeros(2, 1, 8, 8), torch.tensor([0, 1]))
    recorded = Training().run(tmp_path / "r", snapshots=cnnviz.every(1), samples=samples)
    assert torch.equal(torch.get_rng_state(), state)
    assert recorded.losses == bare.losses
    for name, tensor in bare.model.state_dict().items():
        assert torch.equal(recorded.model.state_dict()[name], tensor)
    run = cnnviz.open_run(tmp_path / "r", model=net)
    assert run.steps.tolist() == list(range(11))
    assert torch.equal(run.last.state["0.weight"], recorded.model[0].weight)


def test_epochs_are_counted_in_iterations_that_the_trainer_knows(tmp_path):
    Training().run(tmp_path / "r", snapshots=epochs(1))
    assert cnnviz.open_run(tmp_path / "r").steps.tolist() == [0, 5, 10]


def test_a_submodule_records_under_its_own_names(tmp_path):
    Training().run(tmp_path / "r", module="4", epochs=1)
    assert sorted(cnnviz.open_run(tmp_path / "r").last.state) == ["bias", "weight"]


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [(KeyboardInterrupt(), "stopped", ""), (ValueError("bad luck"), "failed", "ValueError: bad luck")],
)
def test_a_training_that_ends_early(error, status, detail, tmp_path):
    training = Training(error)
    handler = RecorderHandler(tmp_path / "r", training.model, snapshots=cnnviz.every(1))
    with pytest.raises(type(error)), handler.attach(training.trainer):
        training.run()
    run = cnnviz.open_run(tmp_path / "r")
    assert (run.status, run.detail) == (status, detail)
    assert run.steps.tolist() == [0, 1, 2, 3]


def test_a_trainer_that_is_terminated_has_finished(tmp_path):
    training = Training()
    training.trainer.add_event_handler(
        Events.ITERATION_COMPLETED(once=3), lambda trainer: trainer.terminate()
    )
    training.run(tmp_path / "r", snapshots=cnnviz.every(1))
    run = cnnviz.open_run(tmp_path / "r")
    assert (run.status, run.steps.tolist()) == ("finished", [0, 1, 2, 3])


def test_an_exception_that_is_handled_stays_handled(tmp_path):
    training = Training(ValueError("bad luck"))
    handled = []
    training.trainer.add_event_handler(Events.EXCEPTION_RAISED, lambda _, error: handled.append(str(error)))
    training.run(tmp_path / "r")
    assert handled == ["bad luck"]
    assert cnnviz.open_run(tmp_path / "r").status == "finished"


def test_running_on_goes_on_in_the_run(tmp_path):
    training = Training().run(tmp_path / "r", epochs=1)
    with pytest.raises(RunError, match="exists already"):
        training.trainer.run(BATCHES, max_epochs=2)
    training = Training()
    training.trainer.load_state_dict({"iteration": 5, "epoch_length": 5, "max_epochs": 2})
    training.run(tmp_path / "r", resume=True, epochs=2)
    assert cnnviz.open_run(tmp_path / "r").metric("train/loss")[0].tolist() == list(range(1, 11))
