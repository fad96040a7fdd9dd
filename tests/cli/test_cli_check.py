"""`cnnviz check`: its words, its exit codes and its JSON."""

import json
import shutil

import pytest
import torch

import cnnviz
from cnnviz.cli.failures import explain
from cnnviz.errors import RunError
from cnnviz.recording.layout import Layout
from cnnviz.recording.lock import WriterLock


@pytest.fixture
def own(run_path, tmp_path):
    """A run of our own to damage, under ./runs."""
    path = tmp_path / "runs" / "own"
    shutil.copytree(run_path, path)
    return Layout(path)


def test_a_whole_run(cli, small):
    result = cli("check", "small")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("runs/small is whole: 4 snapshots, ")
    assert result.out.endswith("MB read\n")


def test_what_is_wrong_a_line_each_and_the_way_out(cli, own):
    own.snapshot(4).write_bytes(b"torn")
    own.samples.write_bytes(b"torn")
    result = cli("check", "own")
    assert result.code == 1
    lines = result.out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("runs/own/samples.safetensors can't be read: ")
    assert lines[1].startswith("runs/own/snapshots/00000004.safetensors can't be read: ")
    assert lines[1].endswith("; only snapshot 4 is lost; a repair moves it to damaged/")
    assert lines[2] == "Repair it with: cnnviz check runs/own --repair"


def test_a_repair_and_the_check_after_it(cli, own):
    own.snapshot(4).write_bytes(b"torn")
    result = cli("check", "own", "--repair")
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0].startswith("Moved snapshots/00000004.safetensors to damaged/1: can't be read: ")
    assert lines[1] == "runs/own is whole now; what was taken away lies in runs/own/damaged/1"
    result = cli("check", "own")
    assert result.code == 0
    assert result.out.startswith("Note: runs/own/damaged holds what earlier repairs took away; ")
    assert "runs/own is whole: 3 snapshots" in result.out
    result = cli("check", "own", "--repair")
    assert (result.code, result.out) == (0, "runs/own is whole; there was nothing to repair\n")


def test_leftovers_are_removed_without_a_folder_for_them(cli, own):
    own.snapshot(4).with_suffix(".safetensors.tmp").write_bytes(b"half")
    assert cli("check", "own").code == 0
    result = cli("check", "own", "--repair")
    assert result.out.splitlines()[1:] == ["runs/own is whole now"]


def test_json(cli, own):
    own.snapshot(4).unlink()
    result = cli("check", "own", "--json")
    assert result.code == 1
    facts = json.loads(result.out)
    assert facts.keys() == {"path", "ok", "findings", "notes", "snapshots", "metrics", "bytes"}
    assert (facts["ok"], facts["snapshots"]) == (False, 3)
    (finding,) = facts["findings"]
    assert (finding["kind"], finding["path"]) == ("absent", "runs/own/snapshots/00000004.safetensors")
    result = cli("check", "own", "--repair", "--json")
    assert result.code == 0
    assert json.loads(result.out) == {
        "path": "runs/own",
        "actions": ["Took snapshot 4 out of the index: its file is not there"],
        "aside": "runs/own/damaged/1",  # where the digest is written down
    }


def test_a_run_without_its_run_json_is_found(cli, own):
    own.manifest.unlink()
    assert cli("check", "own").code == 1
    assert cli("check", "own", "--repair").code == 0
    assert cli("show", "own").code == 0


def test_the_built_in_network_is_found_again_by_its_weights(cli, own):
    before = cnnviz.open_run(own.root)
    own.manifest.unlink()
    result = cli("check", "own", "--repair")
    assert "Named its network convnet, as its weights are of that one\n" in result.out
    after = cnnviz.open_run(own.root)
    assert (after.layers, after.shapes) == (before.layers, before.shapes)
    assert (after.manifest.network, after.manifest.class_name) == ("convnet", "ConvNet")
    assert after.manifest.parameters == before.manifest.parameters
    image = before.samples.images[:1]
    assert torch.equal(after.load(after[-1])(image), before.load(before[-1])(image))


def test_a_network_that_only_its_user_knows_is_to_be_named(cli, tmp_path):
    with cnnviz.Recorder(tmp_path / "runs" / "mine", torch.nn.Linear(2, 2)) as recorder:
        recorder.record(0)
    (tmp_path / "runs" / "mine" / "run.json").unlink()
    result = cli("check", "mine", "--repair")
    assert "Lost with the old run.json: the name of the data set, " in result.out
    assert "as in cnnviz plot feature_maps runs/mine --model NAME\n" in result.out


def test_a_single_snapshot_is_one_snapshot(cli, tmp_path):
    with cnnviz.Recorder(tmp_path / "runs" / "mine", torch.nn.Linear(2, 2)) as recorder:
        recorder.record(0, {"loss": 1.0})
    assert cli("check", "mine").out.startswith("runs/mine is whole: 1 snapshot, 1 metric, ")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda run: run.database.unlink(), "runs/own/run.db is not there"),
        (
            lambda run: run.database.write_bytes(b"x" * 9000),
            "runs/own/run.db can't be read: file is not a database",
        ),
        (lambda run: run.samples.write_bytes(b"torn"), "runs/own/samples.safetensors can't be read"),
        (lambda run: run.manifest.write_text("{"), "runs/own/run.json can't be read"),
        (lambda run: run.manifest.write_text('{"format": 1}'), "runs/own/run.json is damaged"),
    ],
)
def test_damage_that_other_commands_meet_is_told_with_its_repair(cli, own, damage, words):
    damage(own)
    result = cli("show", "own")
    assert result.code == 1
    assert result.line.startswith(f"Error: {words}")
    assert result.line.endswith("; mend it with: cnnviz check runs/own --repair")
    assert cli("check", "own", "--repair").code == 0
    assert cli("show", "own").code == 0


def test_what_is_no_damage_is_told_without_a_repair(cli, own):
    own.manifest.write_text('{"format": 99}')
    assert "--repair" not in cli("show", "own").line
    assert "--repair" not in cli("show", "none").line
    error = RunError(f"{own.database} can't be read: Permission denied")
    assert "--repair" in explain(error)
    error.__cause__ = PermissionError()
    assert "--repair" not in explain(error)


def test_what_is_no_run_and_what_is_being_written(cli, own):
    result = cli("check", "none")
    assert result.code == 1
    assert "there is no run 'none'" in result.line
    lock = WriterLock(own.lock)
    result = cli("check", "own", "--repair")
    assert result.code == 1
    assert "is being written by another process" in result.line
    lock.release()


def test_progress_is_shown_in_a_terminal_only(cli, small, monkeypatch):
    import sys

    monkeypatch.setattr(sys.stderr.__class__, "isatty", lambda self: True, raising=False)
    result = cli("check", "small")
    assert result.code == 0
    assert "reading snapshots" in result.err
    assert "reading snapshots" not in result.out
