"""Files of torch.save: what they hold is read, and never executed."""

import argparse
import ast
import os
import zipfile
from pathlib import Path

import numpy as np
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
        with pytest.raises(
            DataError, match=r"evil.pt holds code or objects .*\(posix.system\), and cnnviz never"
        ):
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
    assert f"{path} holds code or objects beside weights (torch.nn.modules.linear.Linear)" in str(error.value)
    assert "load it and save its weights alone: torch.save(model.state_dict(), 'weights.pt')" in str(
        error.value
    )


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize(
    ("beside", "name"),
    [
        (Path("x"), type(Path()).__name__),
        (argparse.Namespace(rate=0.1), "argparse.Namespace"),
        (np.float64(3), "multiarray.scalar"),
    ],
)
def test_what_scripts_save_beside_the_weights_has_a_way_out(tmp_path, state, archive, beside, name):
    path = tmp_path / "x.pt"
    torch.save({"state_dict": state(0), "args": beside}, path, _use_new_zipfile_serialization=archive)
    with pytest.raises(DataError) as error:
        checkpoint(path).read()
    message = str(error.value)
    assert name in message
    assert "may be an attack: only if you trust whoever made it, load it" in message
    assert "torch.save(torch.load('x.pt', weights_only=False)['state_dict'], 'weights.pt')" in message


def test_code_among_what_is_common_is_named_and_the_file_not_called_common(tmp_path):
    path = tmp_path / "x.pt"
    torch.save({"args": argparse.Namespace(x=1), "e": Evil(tmp_path / "executed")}, path)
    with pytest.raises(DataError) as error:
        checkpoint(path).read()
    assert "(argparse.Namespace, posix.system)" in str(error.value)
    assert "may be an attack" in str(error.value)
    assert "weights_only=False" not in str(error.value)
    assert not (tmp_path / "executed").exists()


def test_strange_names_are_neither_shown_nor_taken_for_common(tmp_path, monkeypatch):
    path = tmp_path / "x.pt"
    torch.save({"args": argparse.Namespace(x=1)}, path)
    names = ["argparse.Namespace", "posix.\x1b[31msystem"]
    monkeypatch.setattr(torch.serialization, "get_unsafe_globals_in_checkpoint", lambda _: names)
    with pytest.raises(DataError) as error:
        checkpoint(path).read()
    assert "(argparse.Namespace, something of a strange name)" in str(error.value)
    assert "\x1b" not in str(error.value)
    assert "weights_only=False" not in str(error.value)


def test_a_program_of_torchscript_is_refused(tmp_path):
    path = tmp_path / "script.pt"
    with zipfile.ZipFile(path, "w") as file:
        for name in ("data.pkl", "constants.pkl", "version"):
            file.writestr(f"script/{name}", "3")
    with pytest.raises(DataError, match="TorchScript program, and cnnviz never executes"):
        checkpoint(path).read()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"\x80\x02", "it ends too early"),
        (b"hello world", "it is damaged, or not a file of torch.save"),
        (b"PK\x03\x04 and so on", "it is damaged, or not a file of torch.save"),
    ],
)
def test_what_is_no_file_of_torch_is_an_error(tmp_path, content, words):
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"x.pt can't be read[:;].*{words}") as error:
        checkpoint(path).read()
    assert not str(error.value).rstrip().endswith(":")


def test_half_a_file_is_an_error(tmp_path, state):
    path = tmp_path / "x.pt"
    torch.save(state(0), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match="it is damaged: it ends too early"):
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

    calls = {}  # in code; messages may tell a user what to call
    for path in Path(cnnviz.importing.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                calls.setdefault(path.name, []).append(ast.unparse(node))
    ((name, (call,)),) = calls.items()
    assert name == "torch_files.py"
    assert "weights_only=True" in call
