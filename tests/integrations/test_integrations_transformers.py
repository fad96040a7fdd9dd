"""Hugging Face transformers: a real, small training, recorded by the callback."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import cnnviz
from cnnviz.errors import ConfigError, RunError
from cnnviz.recording.schedule import epochs

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from cnnviz.integrations.transformers import RecorderCallback  # noqa: E402 - needs it


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 2, 3)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(2 * 36, 3)

    def forward(self, images):
        return self.head(self.drop(self.conv1(images).relu().flatten(1)))


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = Net()

    def forward(self, pixel_values, labels):
        logits = self.net(pixel_values)
        return {"loss": functional.cross_entropy(logits, labels), "logits": logits}


class Data(torch.utils.data.Dataset):
    def __init__(self):
        generator = torch.Generator().manual_seed(5)
        self.images = torch.randn(20, 1, 8, 8, generator=generator)
        self.labels = torch.randint(3, (20,), generator=generator)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return {"pixel_values": self.images[index], "labels": self.labels[index]}


def arguments(folder, **more):
    options = {
        "num_train_epochs": 2, "per_device_train_batch_size": 4, "learning_rate": 0.1, "optim": "sgd",
        "logging_steps": 2, "eval_strategy": "epoch", "save_strategy": "no", "report_to": "none",
        "disable_tqdm": True, "use_cpu": True, "seed": 3, "dataloader_pin_memory": False,
    }  # fmt: skip
    return transformers.TrainingArguments(output_dir=str(folder), **(options | more))


def trainer(folder, model, *callbacks, **more):
    made = transformers.Trainer(
        model, arguments(folder, **more), train_dataset=Data(), eval_dataset=Data(), callbacks=list(callbacks)
    )
    made.remove_callback(transformers.PrinterCallback)
    return made


def train(folder, *callbacks, model=None, **more):
    torch.manual_seed(0)
    made = trainer(folder, Classifier() if model is None else model, *callbacks, **more)
    made.train()
    return made


def test_records_what_the_trainer_logs(tmp_path):
    made = train(tmp_path / "hf", RecorderCallback(tmp_path / "r", snapshots=cnnviz.every(4)))
    run = cnnviz.open_run(tmp_path / "r", model=Classifier)
    assert run.status == "finished"
    assert run.steps.tolist() == [0, 4, 8]
    assert {"loss", "learning_rate", "grad_norm", "eval_loss", "train_loss"} <= set(run.metrics)
    for name in ("loss", "eval_loss", "learning_rate"):
        logged = [(entry["step"], entry[name]) for entry in made.state.log_history if name in entry]
        assert list(zip(*(part.tolist() for part in run.metric(name)), strict=True)) == logged
    assert run.metric("loss")[0].tolist() == [2, 4, 6, 8, 10]
    assert run.metric("eval_loss")[0].tolist() == [5, 10]


def test_evaluations_are_of_the_recorded_weights(tmp_path):
    train(tmp_path / "hf", RecorderCallback(tmp_path / "r", snapshots=cnnviz.every(5), module="net"))
    run = cnnviz.open_run(tmp_path / "r", model=Net)
    data = Data()
    for step, loss in zip(*run.metric("eval_loss"), strict=True):
        with torch.no_grad():
            logits = run.at(step).model()(data.images)
        # The trainer weighs its batches by their size, and all are equal but the last.
        parts = [functional.cross_entropy(logits[i : i + 8], data.labels[i : i + 8]) for i in (0, 8, 16)]
        assert np.average(parts, weights=[8, 8, 4]) == pytest.approx(loss, rel=1e-5)


def test_changes_nothing(tmp_path):
    bare = train(tmp_path / "a")
    state = torch.get_rng_state()
    callback = RecorderCallback(
        tmp_path / "r", snapshots=cnnviz.every(1), samples=(torch.zeros(2, 1, 8, 8), [0, 1]), module="net"
    )
    recorded = train(tmp_path / "b", callback)
    assert torch.equal(torch.get_rng_state(), state)
    for name, tensor in bare.model.state_dict().items():
        assert torch.equal(recorded.model.state_dict()[name], tensor)
    curves = [[entry.get("loss") for entry in made.state.log_history] for made in (bare, recorded)]
    assert curves[0] == curves[1]
    run = cnnviz.open_run(tmp_path / "r", model=Net)
    assert run.steps.tolist() == list(range(11))
    assert [layer.name for layer in run.layers] == ["conv1", "relu", "drop", "head"]
    assert torch.equal(run.last.state["conv1.weight"], recorded.model.net.conv1.weight)


def test_a_module_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="Classifier has no module 'vit' to record; it has net"):
        train(tmp_path / "hf", RecorderCallback(tmp_path / "r", module="vit"))


def test_an_accumulated_gradient_is_one_step(tmp_path):
    callback = RecorderCallback(tmp_path / "r", snapshots=cnnviz.every(1))
    train(tmp_path / "hf", callback, gradient_accumulation_steps=2, logging_steps=1)
    run = cnnviz.open_run(tmp_path / "r", model=Classifier)
    assert run.steps.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert run.metric("loss")[0].tolist() == [1, 2, 3, 4, 5, 6]


def test_epochs_are_counted_in_steps_that_the_trainer_knows(tmp_path):
    callback = RecorderCallback(tmp_path / "r", snapshots=epochs(1))
    train(tmp_path / "hf", callback, gradient_accumulation_steps=2)
    assert cnnviz.open_run(tmp_path / "r").steps.tolist() == [0, 3, 6]


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return (Data()[index] for index in range(20))


@pytest.mark.parametrize("known", [None, 2])
def test_of_a_stream_the_user_says_how_long_an_epoch_is(known, tmp_path):
    callback = RecorderCallback(tmp_path / "r", snapshots=epochs(1), steps_per_epoch=known)
    made = transformers.Trainer(
        Classifier(),
        arguments(tmp_path / "hf", max_steps=4, eval_strategy="no"),
        train_dataset=Stream(),
        callbacks=[callback],
    )
    if known is None:
        with pytest.raises(ConfigError, match="epoch"):
            made.train()
    else:
        made.train()
        assert cnnviz.open_run(tmp_path / "r").steps.tolist() == [0, 2, 4]


class Raises(Classifier):
    def __init__(self, error):
        super().__init__()
        self.error, self.calls = error, 0

    def forward(self, pixel_values, labels):
        self.calls += 1
        if self.calls == 4:
            raise self.error
        return super().forward(pixel_values, labels)


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [(KeyboardInterrupt(), "stopped", ""), (ValueError("bad luck"), "failed", "ValueError: bad luck")],
)
def test_a_training_that_ends_early(error, status, detail, tmp_path):
    with (
        pytest.raises(type(error)),
        RecorderCallback(tmp_path / "r", snapshots=cnnviz.every(1)) as callback,
    ):
        train(tmp_path / "hf", callback, model=Raises(error))
    run = cnnviz.open_run(tmp_path / "r")
    assert (run.status, run.detail) == (status, detail)
    assert run.steps.tolist() == [0, 1, 2, 3]


def test_looking_for_a_batch_size_that_fits(tmp_path):
    class Small(Classifier):
        def forward(self, pixel_values, labels):
            if len(labels) > 3:
                raise RuntimeError("CUDA out of memory.")
            return super().forward(pixel_values, labels)

    callback = RecorderCallback(tmp_path / "r", snapshots=cnnviz.every(1))
    made = train(
        tmp_path / "hf",
        callback,
        model=Small(),
        auto_find_batch_size=True,
        eval_strategy="no",
        num_train_epochs=1,
    )
    run = cnnviz.open_run(tmp_path / "r")
    assert run.status == "finished"
    assert run.steps.tolist() == list(range(made.state.max_steps + 1))
    assert made.state.max_steps > 5


def test_training_anew_does_not_mix_with_the_old_run(tmp_path):
    callback = RecorderCallback(tmp_path / "r")
    with pytest.raises(ValueError, match="bad luck"):
        train(tmp_path / "hf", callback, model=Raises(ValueError("bad luck")))
    assert cnnviz.open_run(tmp_path / "r").status == "running"
    with pytest.raises(RunError, match="exists already"):
        train(tmp_path / "hf", callback)
    run = cnnviz.open_run(tmp_path / "r")
    assert (run.status, run.detail) == ("failed", "RuntimeError: the training began anew")


def test_going_on_from_a_checkpoint(tmp_path):
    keep = {"save_strategy": "epoch", "eval_strategy": "no", "logging_steps": 1}
    train(
        tmp_path / "hf",
        RecorderCallback(tmp_path / "r", snapshots=cnnviz.every(5)),
        num_train_epochs=1,
        **keep,
    )
    second = RecorderCallback(tmp_path / "r", snapshots=cnnviz.every(5), resume=True)
    trainer(tmp_path / "hf", Classifier(), second, **keep).train(
        resume_from_checkpoint=str(tmp_path / "hf" / "checkpoint-5")
    )
    run = cnnviz.open_run(tmp_path / "r")
    assert run.steps.tolist() == [0, 5, 10]
    assert run.metric("loss")[0].tolist() == list(range(1, 11))


def test_what_is_no_number_is_left_out(tmp_path):
    class Logs(transformers.TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            made.log({"text": "words", "table": [1, 2], "one": torch.tensor([2.5])})

    made = trainer(tmp_path / "hf", Classifier(), Logs(), RecorderCallback(tmp_path / "r"))
    made.train()
    run = cnnviz.open_run(tmp_path / "r")
    assert {"text", "table"} & set(run.metrics) == set()
    assert run.metric("one")[1].tolist() == [2.5] * 10


def test_low_precision_keeps_its_type(tmp_path):
    train(
        tmp_path / "hf",
        RecorderCallback(tmp_path / "r", snapshots=cnnviz.every(5)),
        bf16=True,
        num_train_epochs=1,
    )
    mixed = cnnviz.open_run(tmp_path / "r", model=Classifier)
    assert {tensor.dtype for tensor in mixed.last.state.values()} == {torch.float32}


def test_a_compiled_model_has_bare_names(tmp_path):
    callback = RecorderCallback(tmp_path / "r", snapshots=cnnviz.every(5))
    train(tmp_path / "hf", callback, torch_compile=True, torch_compile_backend="eager", num_train_epochs=1)
    assert "net.conv1.weight" in cnnviz.open_run(tmp_path / "r", model=Classifier).last.state
