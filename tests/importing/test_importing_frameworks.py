"""What Lightning and Hugging Face's Trainer really write."""

import json

import pytest
import torch
from safetensors.torch import load_file
from torch.utils.data import DataLoader, TensorDataset

from cnnviz.errors import ConfigError, DataError
from cnnviz.importing import import_checkpoints

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries, about themselves


@pytest.fixture
def lightning_folder(tmp_path, net):
    """The checkpoints of a tiny training, and TensorBoard's scalars."""
    lightning = pytest.importorskip("lightning.pytorch")

    class Module(lightning.LightningModule):
        def __init__(self, rate=0.1):
            super().__init__()
            self.save_hyperparameters()
            self.net = net()
            self.loss = torch.nn.CrossEntropyLoss(weight=torch.ones(3))

        def training_step(self, batch, _):
            return self.loss(self.net(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), self.hparams.rate)

    folder = tmp_path / "lightning"
    saver = lightning.callbacks.ModelCheckpoint(dirpath=folder, save_top_k=-1)
    trainer = lightning.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, callbacks=[saver], default_root_dir=tmp_path,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    data = TensorDataset(torch.rand(8, 1, 8, 8), torch.zeros(8).long())
    trainer.fit(Module(), DataLoader(data, batch_size=4))
    return folder, trainer


def test_lightning(lightning_folder, tmp_path, net, same):
    folder, trainer = lightning_folder
    run = import_checkpoints([folder], tmp_path / "run", model=net())
    assert run.steps.tolist() == [2, 4]
    assert same(dict(run.last.state), trainer.model.net.state_dict())
    config = run.manifest.description.config
    assert config["unwrapped"] == ["state_dict", "net."]
    assert config["left_out"] == ["loss.weight"]
    assert config["steps"] == "contents: global_step"
    whole = import_checkpoints([folder], tmp_path / "whole")
    assert same(dict(whole.last.state), trainer.model.state_dict())


def test_the_last_checkpoint_twice(lightning_folder, tmp_path):
    folder, trainer = lightning_folder
    trainer.save_checkpoint(folder / "last.ckpt")
    with pytest.raises(ConfigError, match=r"epoch=1-step=4.ckpt and .*last.ckpt are both of step 4"):
        import_checkpoints([folder], tmp_path / "run")


def test_the_trainer(tmp_path, same):
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        num_channels=1, embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], num_labels=3
    )
    folder = tmp_path / "trained"
    arguments = transformers.TrainingArguments(
        str(folder), max_steps=4, save_steps=2, logging_steps=1, eval_strategy="steps", eval_steps=2,
        per_device_train_batch_size=2, report_to=[], use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    examples = [{"pixel_values": torch.rand(1, 16, 16), "labels": n % 3} for n in range(8)]
    model = transformers.ResNetForImageClassification(config)
    trainer = transformers.Trainer(model, arguments, train_dataset=examples, eval_dataset=examples)
    trainer.train()
    trainer.save_model()
    run = import_checkpoints([folder], tmp_path / "run")
    assert run.steps.tolist() == [2, 4]
    assert same(dict(run.last.state), load_file(folder / "checkpoint-4" / "model.safetensors"))
    assert same(dict(run.last.state), dict(model.state_dict()))
    logged = trainer.state.log_history
    losses = [entry["loss"] for entry in logged if "loss" in entry]
    assert run.metric("train/loss")[1].tolist() == losses[: len(losses)]
    assert run.metric("train/loss")[0].tolist() == [1, 2, 3, 4]
    assert run.metric("validation/loss")[0].tolist() == [2, 4]
    assert run.manifest.description.config["left_out"] == [
        f"{folder / 'model.safetensors'}: taken are the checkpoints beside it"
    ]


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_damaged_state_of_the_trainer(tmp_path, text):
    torch.save({"w": torch.ones(2)}, tmp_path / "pytorch_model.bin")
    (tmp_path / "trainer_state.json").write_text(text)
    with pytest.raises(DataError, match=r"trainer_state.json"):
        import_checkpoints([tmp_path], tmp_path / "run")


def test_odd_entries_of_the_log_are_passed_over(tmp_path):
    torch.save({"w": torch.ones(2)}, tmp_path / "pytorch_model.bin")
    history = [
        7,
        {"loss": 1.0},
        {"step": 3, "loss": 0.5, "note": "x", "epoch": 1, "ok": True},
        {"step": "no"},
    ]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"global_step": 3, "log_history": history}))
    run = import_checkpoints([tmp_path], tmp_path / "run")
    assert run.metrics == ["train/loss"]
    assert run.metric("train/loss")[1].tolist() == [0.5]
    assert run.steps.tolist() == [3]
