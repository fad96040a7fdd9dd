"""What is exported is the run, readable without cnnviz, and never in place of something else."""

import sys

import numpy as np
import pytest
import torch

import cnnviz
from cnnviz.errors import ConfigError, RunError
from cnnviz.exporting import FORMATS, export
from cnnviz.recording.manifest import Description, Manifest
from cnnviz.recording.writer import RunWriter

STATES = {
    step: {
        "conv.weight": torch.full((2, 1, 3, 3), step / 7),
        "bn.num_batches_tracked": torch.tensor(step),
        "half": torch.tensor([-0.0, float("nan"), step], dtype=torch.bfloat16),
    }
    for step in (0, 5, 120)
}


@pytest.fixture
def run(tmp_path):
    """A run of three snapshots."""
    writer = RunWriter(tmp_path / "first")
    manifest = Manifest("1f", "2026-01-02T03:04:05+00:00", "Net", 7, (), {}, {}, Description(seed=3))
    writer.describe(manifest, None)
    for step, state in STATES.items():
        writer.write(step, {"train/loss": 2 - step / 100, "odd": float("nan")}, state)
    writer.close()
    return cnnviz.open_run(tmp_path / "first")


def same(state, other):
    assert sorted(state) == sorted(other)
    for name, tensor in state.items():
        assert (tensor.dtype, tensor.shape) == (other[name].dtype, other[name].shape)
        assert torch.equal(tensor.reshape(-1).view(torch.uint8), other[name].reshape(-1).view(torch.uint8))


@pytest.mark.parametrize(
    ("to", "load"),
    [("safetensors", None), ("pt", lambda path: torch.load(path, weights_only=True))],
)
def test_one_whole_file_a_snapshot(run, tmp_path, to, load):
    if load is None:
        from safetensors.torch import load_file as load
    assert export(run, to, tmp_path / "out") == 3
    files = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in files] == [f"step_{step:08d}.{to}" for step in STATES]
    for path, state in zip(files, STATES.values(), strict=True):
        same(state, load(path))


def test_a_file_tells_where_it_is_from(run, tmp_path):
    from safetensors import safe_open

    export(run, "safetensors", tmp_path / "out")
    with safe_open(tmp_path / "out/step_00000120.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt", "cnnviz.step": "120", "cnnviz.run": "1f"}


def test_some_snapshots(run, tmp_path):
    assert export(run[1:], "pt", tmp_path / "out") == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "step_00000005.pt",
        "step_00000120.pt",
    ]


def events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0, "tensors": 0})
    found.Reload()
    return found


@pytest.mark.filterwarnings("default")  # tensorboard's own
def test_tensorboard_gets_metrics_weights_and_the_manifest(run, tmp_path):
    assert export(run, "tensorboard", tmp_path / "out") == 1
    found = events(tmp_path / "out")
    loss = [(event.step, round(event.value, 5)) for event in found.Scalars("train/loss")]
    assert loss == [(0, 2.0), (5, 1.95), (120, 0.8)]
    assert np.isnan([event.value for event in found.Scalars("odd")]).all()
    weights = found.Histograms("state/conv.weight")
    assert [event.step for event in weights] == [0, 5, 120]
    assert weights[2].histogram_value.num == 18
    assert weights[2].histogram_value.max == pytest.approx(120 / 7)
    assert found.Histograms("state/half")[1].histogram_value.num == 2  # what is no number has no place in it
    assert "state/bn.num_batches_tracked" not in found.Tags()["histograms"]
    (text,) = found.Tensors("run/text_summary")
    assert b'"seed": 3' in text.tensor_proto.string_val[0]


def test_histograms_are_spread_over_a_long_run():
    from cnnviz.exporting.event_files import MOST_HISTOGRAMS, _spread

    chosen = _spread(np.arange(0, 5000, 5))
    assert len(set(chosen)) == MOST_HISTOGRAMS
    assert (chosen[0], chosen[-1]) == (0, 4995)
    assert _spread(np.array([3])) == [3]
    assert _spread(np.array([], np.int64)) == []


@pytest.mark.parametrize("to", FORMATS)
def test_nothing_is_overwritten(run, tmp_path, to):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    for place in ("out", "out/mine", "first"):
        with pytest.raises(RunError, match="exists already, and nothing is overwritten"):
            export(run, to, tmp_path / place)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]
    with pytest.raises(RunError, match="can't be written"):
        export(run, to, tmp_path / "out" / "mine" / "deeper")


def test_an_empty_folder_is_taken(run, tmp_path):
    (tmp_path / "out").mkdir()
    assert export(run, "pt", tmp_path / "out") == 3


def test_an_unknown_format_names_the_known(run, tmp_path):
    with pytest.raises(ConfigError, match="'onnx'; the formats are safetensors, pt, tensorboard"):
        export(run, "onnx", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tensorboard_is_named_where_it_is_not_installed(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r"pip install 'cnnviz\[tensorboard\]'"):
        export(run, "tensorboard", tmp_path / "out")


@pytest.mark.parametrize("to", ["safetensors", "pt"])
def test_an_archive_can_be_exported(run, tmp_path, to):
    from cnnviz.archive import pack

    pack(run, tmp_path / "first.zarr")
    export(cnnviz.open_run(tmp_path / "first.zarr"), to, tmp_path / "a")
    export(run, to, tmp_path / "b")
    for path in (tmp_path / "b").iterdir():
        assert (tmp_path / "a" / path.name).stat().st_size == path.stat().st_size


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.filterwarnings("default")  # tensorboard's own
def test_what_is_not_what_was_recorded_is_not_exported(run, tmp_path, to):
    path = tmp_path / "first" / "snapshots" / "00000005.safetensors"
    path.write_bytes(path.read_bytes()[:-3] + b"\x01\x02\x03")
    with pytest.raises(RunError) as caught:
        export(run, to, tmp_path / "out")
    assert str(caught.value) == (
        f"{run.location} at step 5 is not what was recorded there: its digest is another than the index tells; "
        f"it is not exported; see what else is damaged with: cnnviz check {run.location}"
    )
    assert not (tmp_path / "out" / f"step_00000005.{to}").exists()
    assert export(run.only(np.array([0, 120])), to, tmp_path / "others") > 0


def test_an_archive_that_was_packed_of_altered_snapshots_is_not_exported(run, tmp_path):
    from cnnviz.archive import pack

    path = tmp_path / "first" / "snapshots" / "00000005.safetensors"
    path.write_bytes(path.read_bytes()[:-3] + b"\x01\x02\x03")
    pack(run, tmp_path / "first.zarr", verify=False)
    with pytest.raises(RunError, match="it is not exported; pack it anew from its run"):
        export(cnnviz.open_run(tmp_path / "first.zarr"), "pt", tmp_path / "out")


def test_a_full_disk_leaves_no_half_file(run, tmp_path, monkeypatch):
    def full(_, path):
        path.write_bytes(b"half")
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(RunError, match=r"step_00000000\.pt can't be written"):
        export(run, "pt", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
