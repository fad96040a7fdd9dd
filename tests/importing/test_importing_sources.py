"""Finding checkpoints in files and folders."""

import json

import pytest
import torch
from safetensors.torch import save_file

from cnnviz.errors import ConfigError, DataError
from cnnviz.importing.sources import find


def stems(found):
    return [checkpoint.stem for checkpoint in found.checkpoints]


@pytest.fixture
def touch(tmp_path):
    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}")
        return tmp_path

    return make


def test_a_folder_is_searched(touch):
    root = touch(
        "a.pt", "b/c.pth", "b/d.ckpt", "e.safetensors", "f.txt", "optimizer.pt", "rng_state_0.pth", "data.bin",
        ".hidden/g.pt", ".h.pt", "run/run.json", "run/snapshots/i.safetensors", "b/events.out.tfevents.1.x",
    )  # fmt: skip
    found = find([root])
    assert stems(found) == ["a", "e", "c", "d"]
    assert found.events == [root / "b" / "events.out.tfevents.1.x"]


def test_files_are_taken_in_their_order_and_once(touch):
    root = touch("a.pt", "b.pt")
    assert stems(find([root / "b.pt", root / "a.pt", root])) == ["b", "a"]


def test_a_link_is_the_file_that_it_leads_to(touch):
    root = touch("step=4.ckpt")
    (root / "last.ckpt").symlink_to(root / "step=4.ckpt")
    assert stems(find([root])) == ["step=4"]
    assert stems(find([root / "last.ckpt"])) == ["last"]


def test_a_run_is_no_source(touch):
    root = touch("run/run.json")
    with pytest.raises(ConfigError, match="is a run of cnnviz already"):
        find([root / "run"])


@pytest.mark.parametrize(
    ("name", "words"), [("x.txt", "no checkpoint that cnnviz knows"), ("nope.pt", "nope.pt is not there")]
)
def test_what_can_not_be_imported(touch, name, words):
    root = touch("x.txt")
    with pytest.raises(ConfigError, match=words):
        find([root / name])


def test_a_folder_without_checkpoints(touch):
    root = touch("x.txt")
    with pytest.raises(ConfigError, match="there is no checkpoint in"):
        find([root])


@pytest.mark.parametrize("name", ["events.out.tfevents.1.x", "trainer_state.json"])
@pytest.mark.parametrize("whole_folder", [True, False])
def test_what_was_logged_needs_checkpoints_beside_it(touch, name, whole_folder):
    root = touch(name)
    with pytest.raises(
        ConfigError, match=r"a run needs the checkpoints beside it: name a checkpoint .*, too"
    ):
        find([root if whole_folder else root / name])


def test_trainer_folders(touch):
    beside = ("trainer_state.json", "optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin")
    root = touch(
        *(f"out/checkpoint-5/{n}" for n in ("model.safetensors", "pytorch_model.bin", *beside)),
        *(f"out/checkpoint-10/{n}" for n in ("pytorch_model.bin", *beside)),
        "out/model.safetensors", "out/training_args.bin",
    )  # fmt: skip
    found = find([root / "out"])
    assert stems(found) == ["checkpoint-10", "checkpoint-5"]
    assert [c.files[0].name for c in found.checkpoints] == ["pytorch_model.bin", "model.safetensors"]
    assert len(found.trainer_states) == 2
    assert found.left_out == [f"{root / 'out' / 'model.safetensors'}: taken are the checkpoints beside it"]
    assert stems(find([root / "out" / "checkpoint-5"])) == ["checkpoint-5"]


def shards(folder, suffix="safetensors"):
    folder.mkdir(exist_ok=True)
    names = [f"model-{n:05d}-of-00002.{suffix}" for n in (1, 2)]
    parts = [{"a": torch.ones(2)}, {"b": torch.zeros(3)}]
    for name, part in zip(names, parts, strict=True):
        save_file(part, folder / name) if suffix == "safetensors" else torch.save(part, folder / name)
    index = folder / f"model.{suffix}.index.json"
    index.write_text(json.dumps({"weight_map": {"a": names[0], "b": names[1]}}))
    return index


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_shards_are_one_checkpoint(tmp_path, suffix):
    index = shards(tmp_path / "step_3", suffix)
    first = index.with_name(f"model-00001-of-00002.{suffix}")
    for path in (index, first, index.parent):
        (checkpoint,) = find([path]).checkpoints
        assert list(checkpoint.read().tensors) == ["a", "b"]
        assert len(checkpoint.files) == 2
    index.unlink()
    assert stems(find([index.parent])) == ["model"]
    first.with_name(f"model-00002-of-00002.{suffix}").unlink()
    with pytest.raises(DataError, match=r"in 2 parts, but .*model-00002-of-00002"):
        find([index.parent])


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "x.txt", 7, ""])
def test_an_index_leads_nowhere_else(tmp_path, name):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": name}}))
    (tmp_path.parent / "secret.safetensors").touch()
    with pytest.raises(DataError, match=r"index.json"):
        find([index])


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"weight_map": 1}', '{"weight_map": {}}', '{"weight_map": {"a": []}}']
)
def test_a_damaged_index(tmp_path, text):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(text)
    with pytest.raises(DataError, match=r"index.json"):
        find([index])


def test_a_tensor_in_two_shards(tmp_path):
    index = shards(tmp_path)
    save_file({"a": torch.ones(2)}, tmp_path / "model-00002-of-00002.safetensors")
    (checkpoint,) = find([index]).checkpoints
    with pytest.raises(DataError, match="holds 'a', which another shard"):
        checkpoint.read()


def test_safetensors_tell_their_step_and_keep_a_natural_order(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({f"l.{n}.w": torch.ones(1) for n in (10, 2, 1)}, path, {"step": "500", "format": "pt"})
    (checkpoint,) = find([path]).checkpoints
    assert checkpoint.counters() == {"step": 500}
    assert list(checkpoint.read().tensors) == ["l.1.w", "l.2.w", "l.10.w"]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", ": it is empty"), (b"hello world, this is no header", ""), (b"\xff" * 64, "")],
)
def test_damaged_safetensors(tmp_path, content, words):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    (checkpoint,) = find([path]).checkpoints
    for look in (checkpoint.counters, checkpoint.read):
        with pytest.raises(DataError, match=rf"x.safetensors can't be read{words}"):
            look()
