"""Files of torch.save: what they hold is read, and never executed."""

import os
import zipfile
from pathlib import Path

import pytest
import torch

from cnnviz.errors import DataError
from cnnviz.importing.torch_files import TorchCheckpoint


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def checkpoint(path):
    return TorchCheckpoint(path, path.stem, (path,))


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize(
    "wrap", [lambda e: e, lambda e: {"state_dict": {"w": torch.ones(2)}, "callbacks": e}]
)
def test_a_pickle_that_would_execute_is_refused_and_not_executed(tmp_path, archive, wrap):
    mark = tmp_path / "executed"
    path = tmp_path / "evil.pt"
    torch.save(wrap(Evil(mark)), path, _use_new_zipfile_serialization=archive)
    for look in (checkpoint(path).counters, checkpoint(path).read):
        with pytest.raises(DataError, match=r"evil.pt holds a posix.system, and cnnviz never executes"):
            look()
    assert not mark.exists()
    torch.load(path, weights_only=False)  # the trap is real
    assert mark.exists()


def test_the_environment_can_not_change_that(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    path = tmp_path / "evil.pt"
    torch.save(Evil(tmp_path / "executed"), path)
    with pytest.raises(DataError):
        checkpoint(path).read()
    assert not (tmp_path / "executed").exists()


def test_a_class_is_named_with_the_way_out(tmp_path):
    path = tmp_path / "whole.pt"
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(DataError) as error:
        checkpoint(path).read()
    assert f"{path} holds a torch.nn.modules.linear.Linear," in str(error.value)
    assert "torch.save(model.state_dict(), path)" in str(error.value)


def test_a_program_of_torchscript_is_refused(tmp_path):
    path = tmp_path / "script.pt"
    with zipfile.ZipFile(path, "w") as file:
        for name in ("data.pkl", "constants.pkl", "version"):
            file.writestr(f"script/{name}", "3")
    with pytest.raises(DataError, match="TorchScript program, and cnnviz never executes"):
        checkpoint(path).read()


@pytest.mark.parametrize("content", [b"", b"hello world", b"PK\x03\x04 and so on"])
def test_what_is_no_file_of_torch_is_an_error(tmp_path, content):
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x.pt can't be read; it is damaged"):
        checkpoint(path).read()


def test_half_a_file_is_an_error(tmp_path, state):
    path = tmp_path / "x.pt"
    torch.save(state(0), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match="damaged"):
        checkpoint(path).read()


def test_an_absent_file_is_an_error(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        checkpoint(tmp_path / "x.pt").read()


@pytest.mark.parametrize("archive", [True, False])
def test_what_is_read_is_what_was_saved(tmp_path, state, same, archive):
    path = tmp_path / "x.pt"
    torch.save({"state_dict": state(1), "step": 7}, path, _use_new_zipfile_serialization=archive)
    weights = checkpoint(path).read()
    assert same(weights.tensors, state(1))
    assert weights.levels == ("state_dict",)
    assert checkpoint(path).counters() == {"step": 7}


@pytest.mark.parametrize(
    ("facts", "counters"),
    [
        ({"global_step": 5, "epoch": 1}, {"global_step": 5, "epoch": 1}),
        ({"step": torch.tensor(5), "epoch": 2.0}, {"step": 5, "epoch": 2}),
        ({"step": -1, "epoch": 1.5, "iter": True}, {}),
        ({"step": "soon", "iteration": "12"}, {"iteration": 12}),
        ({"step": 2**63}, {}),
    ],
)
def test_counters(tmp_path, state, facts, counters):
    path = tmp_path / "x.pt"
    torch.save({"state_dict": state(1), **facts}, path)
    assert checkpoint(path).counters() == counters


def test_torch_load_is_called_in_one_place_weights_only():
    import cnnviz.importing

    texts = {p.name: p.read_text() for p in Path(cnnviz.importing.__file__).parent.glob("*.py")}
    (name,) = [name for name, text in texts.items() if "torch.load(" in text]
    assert name == "torch_files.py"
    assert texts[name].count("torch.load(") == 1
    assert "weights_only=False" not in "".join(texts.values())
