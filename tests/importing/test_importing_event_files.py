"""Scalars from event files that TensorBoard's own writer wrote."""

import builtins

import pytest
import torch

from cnnviz.errors import ConfigError, DataError
from cnnviz.importing.event_files import scalars

pytest.importorskip("tensorboard")


def write(folder, points, **options):
    """Write tag, step and value of scalars."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder), **options) as writer:
        for tag, step, value in points:
            writer.add_scalar(tag, value, step, new_style=step % 2 == 0)


def files(root):
    return sorted(root.rglob("events.out.tfevents.*"))


def test_known_values(tmp_path):
    write(tmp_path, [("loss", 0, 1.0), ("loss", 1, 0.5), ("error", 1, 0.25), ("loss", 4, float("nan"))])
    found = scalars(files(tmp_path))
    assert found.pop(4)["loss"] != 0  # it is not equal to itself, either
    assert found == {0: {"loss": 1.0}, 1: {"loss": 0.5, "error": 0.25}}


def test_what_is_no_scalar_is_left_out(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_scalar("loss", 1.0, 3)
        writer.add_histogram("weights", torch.ones(3), 3)
        writer.add_text("note", "hello", 3)
    assert scalars(files(tmp_path)) == {3: {"loss": 1.0}}


def test_what_was_written_last_counts_and_negative_steps_do_not(tmp_path):
    write(tmp_path, [("loss", 3, 1.0), ("loss", 3, 2.0), ("loss", -1, 9.0)])
    assert scalars(files(tmp_path)) == {3: {"loss": 2.0}}


def test_a_resumed_training_is_one(tmp_path):
    write(tmp_path / "a", [("loss", 1, 1.0)])
    write(tmp_path / "b", [("loss", 2, 2.0)])
    assert scalars(files(tmp_path)) == {1: {"loss": 1.0}, 2: {"loss": 2.0}}


def test_folders_that_differ_at_one_step_are_kept_apart(tmp_path):
    write(tmp_path / "train", [("loss", 1, 1.0), ("rate", 1, 0.1)])
    write(tmp_path / "validation", [("loss", 1, 2.0)])
    assert scalars(files(tmp_path)) == {
        1: {"train/loss": 1.0, "validation/loss": 2.0, "rate": pytest.approx(0.1)}
    }


def test_no_files_no_scalars():
    assert scalars([]) == {}


def test_a_damaged_file(tmp_path):
    path = tmp_path / "events.out.tfevents.1.x"
    path.write_bytes(b"garbage" * 100)
    with pytest.raises(DataError, match=r"events.out.tfevents.1.x holds no event"):
        scalars([path])


def test_without_tensorboard_the_way_out_is_named(tmp_path, monkeypatch):
    path = tmp_path / "events.out.tfevents.1.x"
    path.touch()
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith("tensorboard"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError) as error:
        scalars([path])
    assert "pip install 'cnnviz[tensorboard]'" in str(error.value)
