"""Files that can't be read or don't fit: they end the import, or are left out and named."""

import pytest
import torch
from safetensors.torch import save_file

from cnnviz.errors import ConfigError, DataError, ModelError, RecordingWarning
from cnnviz.importing import ImportOptions, import_checkpoints

SKIP = ImportOptions(skip_damaged=True)


@pytest.fixture
def saved(tmp_path, state):
    """Two checkpoints that are well."""
    folder = tmp_path / "saved"
    folder.mkdir()
    for step in (5, 10):
        torch.save({"state_dict": state(step), "global_step": step}, folder / f"{step}.pt")
    return folder


def spoil(folder, state, how):
    """Add a file that can't be used, the first of all; return its name."""
    if how == "empty":
        (folder / "1.pt").touch()
    elif how == "cut":
        (folder / "1.pt").write_bytes((folder / "5.pt").read_bytes()[:500])
    elif how == "other network":
        torch.save({"state_dict": {"w": torch.ones(3)}, "global_step": 1}, folder / "1.pt")
    elif how == "other shape":
        torch.save({"state_dict": {**state(1), "fc.bias": torch.ones(4)}, "global_step": 1}, folder / "1.pt")
    elif how == "no weights":
        torch.save({"lr": 0.1, "global_step": 1}, folder / "1.pt")
    elif how == "absent shard":
        save_file(state(1), folder / "x-00001-of-00002.safetensors")
        return "x-00001-of-00002.safetensors"
    return "1.pt"


HOWS = ["empty", "cut", "other network", "other shape", "no weights", "absent shard"]


@pytest.mark.parametrize("how", HOWS)
def test_the_import_ends_and_names_the_file_and_the_way_out(saved, tmp_path, state, net, how):
    name = spoil(saved, state, how)
    with pytest.raises((DataError, ModelError), match=rf"{name}.*; to import the others.*: --skip-damaged"):
        import_checkpoints([saved], tmp_path / "run", model=net())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("pattern", [None, "([0-9]+)"])
def test_it_is_left_out_where_its_user_says_so(saved, tmp_path, state, same, net, how, pattern):
    name = spoil(saved, state, how)
    options = ImportOptions(skip_damaged=True, step_pattern=pattern)
    with pytest.warns(RecordingWarning, match=rf"left out: .*{name}") as warned:
        run = import_checkpoints([saved], tmp_path / "run", model=net(), options=options)
    assert len(warned) == 1
    assert run.steps.tolist() == [5, 10]
    assert same(dict(run.at(5).state), state(5))
    (told,) = run.manifest.description.config["skipped"]
    assert name in told


def test_without_a_network_the_first_tells_what_fits(saved, tmp_path, state):
    torch.save({"state_dict": {"w": torch.ones(3)}, "global_step": 7}, saved / "7.pt")
    with pytest.warns(RecordingWarning, match=r"left out: the weights of .*7.pt"):
        run = import_checkpoints([saved], tmp_path / "run", options=SKIP)
    assert run.steps.tolist() == [5, 10]


def test_a_step_of_which_only_the_metrics_are_left(saved, tmp_path):
    pytest.importorskip("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(saved)) as writer:
        writer.add_scalar("loss", 0.5, 10)
    (saved / "events.out.tfevents.1.x").write_bytes(b"garbage" * 100)
    (saved / "10.pt").write_bytes(b"")
    with pytest.raises(DataError, match=r"10.pt.*: --skip-damaged"):
        import_checkpoints([saved], tmp_path / "run")
    with pytest.raises(DataError, match=r"tfevents.1.x holds no event.*: --skip-damaged"):
        import_checkpoints([saved / "5.pt", saved / "events.out.tfevents.1.x"], tmp_path / "run")
    with pytest.warns(RecordingWarning) as warned:
        run = import_checkpoints([saved], tmp_path / "run", options=SKIP)
    assert len(warned) == 2
    assert run.steps.tolist() == [5]
    assert run.metric("loss")[0].tolist() == [10]
    assert len(run.manifest.description.config["skipped"]) == 2


def test_a_damaged_state_of_the_trainer_is_told_once(tmp_path, state):
    for step in (1, 2):
        folder = tmp_path / "out" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        save_file(state(step), folder / "model.safetensors")
        (folder / "trainer_state.json").write_text('{"global_step": 2}' if step == 2 else "{")
    with pytest.warns(RecordingWarning, match="trainer_state.json") as warned:
        run = import_checkpoints([tmp_path / "out"], tmp_path / "run", options=SKIP)
    assert len(warned) == 1
    assert run.steps.tolist() == [2]


@pytest.mark.parametrize("names", [["1.pt"], ["1.pt", "2.pt", "3.pt"]])
def test_if_none_is_left_it_is_an_error(tmp_path, names):
    for name in names:
        (tmp_path / name).touch()
    more = r", and 2 more are left out" if len(names) > 1 else "$"
    with (
        pytest.warns(RecordingWarning),
        pytest.raises(
            DataError, match=rf"no checkpoint is left to import: .*1.pt can't be read: it is empty{more}"
        ),
    ):
        import_checkpoints([tmp_path / name for name in names], tmp_path / "run", options=SKIP)
    assert not (tmp_path / "run").exists()


def test_of_one_file_alone_skipping_is_no_way_out(tmp_path):
    (tmp_path / "1.pt").touch()
    with pytest.raises(DataError, match=r"it is empty$"):
        import_checkpoints([tmp_path / "1.pt"], tmp_path / "run")


def test_a_network_that_can_not_be_built_is_no_damage(saved, tmp_path):
    options = ImportOptions(skip_damaged=True, model_arguments={"depth": "no"})
    with pytest.raises(ModelError, match="depth must be"):
        import_checkpoints([saved], tmp_path / "run", model="convnet", options=options)


def test_two_of_one_step_are_an_error_still(saved, tmp_path, state):
    torch.save({"state_dict": state(5), "global_step": 5}, saved / "last.pt")
    with pytest.raises(ConfigError, match="are both of step 5"):
        import_checkpoints([saved], tmp_path / "run", options=SKIP)
