"""`cnnviz pack` and `cnnviz export`, as a user calls them."""

import json

import numpy as np
import pytest
import torch

import cnnviz
from cnnviz.cli.export import choose
from cnnviz.errors import ConfigError, StepError
from cnnviz.recording.manifest import Description, Manifest
from cnnviz.recording.writer import RunWriter


def begin(path):
    writer = RunWriter(path)
    writer.describe(Manifest("1f", "2026-01-02T03:04:05+00:00", "Net", 7, (), {}, {}, Description()), None)
    for step in range(0, 1000, 10):
        writer.write(step, {"train/loss": 1 / (step + 1)}, {"fc.weight": torch.full((200,), 1 + step / 1e4)})
    return writer


@pytest.fixture
def first(tmp_path):
    """The run "first" under ./runs, of a hundred snapshots."""
    (tmp_path / "runs").mkdir()
    begin(tmp_path / "runs" / "first").close()
    return tmp_path / "runs" / "first"


def test_pack_beside_the_run(cli, first):
    result = cli("pack", "first")
    assert result.code == 0, result.err
    assert result.err == ""
    packed, told = result.out.splitlines()
    assert packed == "Packed runs/first into runs/first.zarr"
    assert told.startswith("100 snapshots, read back and compared: ")
    assert told.endswith(" kB")
    run, archive = cnnviz.open_run(first), cnnviz.open_run(first.with_name("first.zarr"))
    assert archive.digests == run.digests
    assert torch.equal(archive.series("fc.weight"), run.series("fc.weight"))


def test_a_run_and_its_archive_are_told_apart(cli, first):
    assert cli("pack", "first").code == 0
    facts = json.loads(cli("runs", "--json").out)
    assert {run["name"]: run["path"] for run in facts} == {
        "first": "runs/first",
        "first.zarr": "runs/first.zarr",
    }
    assert [run.name for run in cnnviz.list_runs()] == ["first", "first.zarr"]
    assert cli("show", "first.zarr").out.startswith("first.zarr  finished")
    assert cli("show", "first").out.startswith("first  finished")


def test_one_snapshot_is_packed(cli, tmp_path):
    with cnnviz.Recorder(tmp_path / "runs" / "mine", torch.nn.Linear(2, 2)) as recorder:
        recorder.record(0)
    assert "\n1 snapshot, read back and compared: " in cli("pack", "mine").out


def test_pack_over_http_is_refused_at_once(cli, first):
    result = cli("pack", "first", "http://x/y")
    assert result.code == 1
    assert "archives can be read over http, but not written; name a folder, or a URL of s3://" in result.line


def test_pack_to_a_place(cli, first, tmp_path):
    result = cli("pack", "runs/first", "elsewhere/small", "--no-verify")
    assert result.code == 0, result.err
    assert "into elsewhere/small\n100 snapshots: " in result.out
    assert cnnviz.open_run(tmp_path / "elsewhere/small").steps.tolist() == list(range(0, 1000, 10))
    assert cli("pack", "first", "memory://cli/first").out.startswith(
        "Packed runs/first into memory://cli/first\n"
    )
    assert len(cnnviz.open_run("memory://cli/first")) == 100


def test_pack_never_overwrites(cli, first):
    assert cli("pack", "first").code == 0
    result = cli("pack", "first")
    assert result.code == 1
    assert "runs/first.zarr exists already" in result.line


def test_pack_from_an_archive_needs_a_place(cli, first, tmp_path):
    assert cli("pack", "first").code == 0
    result = cli("pack", "runs/first.zarr")
    assert result.code == 1
    assert "is an archive already; name the place" in result.line
    assert cli("pack", "runs/first.zarr", "again").code == 0
    assert cnnviz.open_run(tmp_path / "again").digests == cnnviz.open_run(first).digests


def test_pack_refuses_a_run_that_is_written(cli, tmp_path):
    writer = begin(tmp_path / "runs" / "live")
    result = cli("pack", "live")
    writer.close()
    assert result.code == 1
    assert "still being written" in result.line


@pytest.mark.parametrize("to", ["safetensors", "pt"])
def test_export_snapshots(cli, first, tmp_path, to):
    result = cli("export", "first", "--to", to, "--steps", "20,500")
    assert result.out == f"Wrote 2 files into first-{to}\n"
    names = sorted(path.name for path in (tmp_path / f"first-{to}").iterdir())
    assert names == [f"step_00000020.{to}", f"step_00000500.{to}"]
    again = cli("export", "first", "--to", to)
    assert again.code == 1
    assert "nothing is overwritten" in again.line


@pytest.mark.filterwarnings("default")  # tensorboard's own
def test_export_to_tensorboard(cli, first, tmp_path):
    assert cli("export", "first", "--to", "tensorboard", "--into", "tb").out == "Wrote 1 file into tb\n"
    (file,) = (tmp_path / "tb").iterdir()
    assert file.name.startswith("events.out.tfevents.")


def test_export_to_what_there_is_not(cli, first):
    result = cli("export", "first", "--to", "onnx")
    assert result.code == 2
    assert "safetensors" in result.err


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("0", [0]),
        ("500, 20,500", [20, 500]),
        ("970:", [970, 980, 990]),
        (":15", [0, 10]),
        ("::30", [0, 300, 600, 900]),
        ("95:205:5", [100, 150, 200]),
        ("95:100", [100]),
        (":", list(range(0, 1000, 10))),
    ],
)
def test_steps_are_chosen(first, text, steps):
    assert choose(cnnviz.open_run(first), text).steps.tolist() == steps


@pytest.mark.parametrize("text", ["", "x", "1,", "-5", "1.5", "1:2:0", "1:2:3:4", "1:x", "::-1", "²"])
def test_steps_that_are_none(first, text):
    with pytest.raises(ConfigError, match="is neither steps, as 0,120, nor FIRST:LAST:N"):
        choose(cnnviz.open_run(first), text)


def test_steps_that_are_not_there(first):
    with pytest.raises(StepError, match="the nearest are 0 and 10"):
        choose(cnnviz.open_run(first), "5")
    for text in ("995:", "7:9"):
        with pytest.raises(ConfigError, match="names no snapshot"):
            choose(cnnviz.open_run(first), text)
    assert np.array_equal(choose(cnnviz.open_run(first), "0:99999999999999999999:50").steps, [0, 500])
