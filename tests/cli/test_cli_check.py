"""`cnnviz check`: its words, its exit codes and its JSON."""

import json
import shutil

import pytest

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
