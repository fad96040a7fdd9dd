"""A run that one process writes while others read, and writers that die."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch
from torch import nn

import cnnviz
from cnnviz.errors import RunError
from cnnviz.recording.database import Writer
from cnnviz.recording.schedule import never

# Every snapshot's weights and metrics hold their step, so that a reader can tell right from wrong.
WRITER = """
    import sys, time
    import torch
    from torch import nn
    import cnnviz
    torch.set_num_threads(1)
    model = nn.Linear(300, 30)
    with cnnviz.Recorder(sys.argv[1], model, snapshots=cnnviz.every(1), resume=len(sys.argv) > 3) as recorder:
        for step in range(int(sys.argv[2])):
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.fill_(step)
            recorder.record(step, {"a": step, "b": -step})
            print(step, flush=True)
            time.sleep(0.0005)
"""


def spawn(path, steps, *more):
    code = textwrap.dedent(WRITER)
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path), str(steps), *more], stdout=subprocess.PIPE, text=True
    )


def check(run, *, whole=True):
    """Check that every step in sight is there whole and right; return how many."""
    steps = run.steps.tolist()
    assert steps == list(range(len(steps)))
    if steps:
        assert run.metric("a")[1][: len(steps)].tolist() == steps
        assert (-run.metric("b")[1][: len(steps)]).tolist() == steps
        for snapshot in run[:] if whole else [run.last]:
            weight = snapshot.state["weight"]
            assert weight.shape == (30, 300)
            assert (weight == snapshot.step).all()
            assert (snapshot.state["bias"] == snapshot.step).all()
    return len(steps)


def test_a_reader_sees_every_step_whole_or_not_at_all(tmp_path):
    writer = spawn(tmp_path / "r", 150)
    try:
        assert writer.stdout.readline() == "0\n"
        run, counts = cnnviz.open_run(tmp_path / "r"), []
        assert run.status == "running"
        while writer.poll() is None:
            counts.append(check(run[:] if len(counts) % 2 else run, whole=False))
            assert run.status in ("running", "finished")
        writer.communicate(timeout=20)
        assert counts == sorted(counts)
        assert len(set(counts)) > 2
        assert check(run) == 150
        assert run.status == "finished"
        assert torch.equal(run.series("bias")[:, 0], torch.arange(150.0))
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()


@pytest.mark.parametrize("killed_at", [0, 40])
def test_what_was_acknowledged_outlives_a_kill(killed_at, tmp_path):
    writer = spawn(tmp_path / "r", 10_000)
    try:
        for line in writer.stdout:
            if int(line) == killed_at:
                os.kill(writer.pid, signal.SIGKILL)
                break
        rest = writer.stdout.read().split()
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()
    acknowledged = max([killed_at, *map(int, rest)])
    run = cnnviz.open_run(tmp_path / "r")
    assert run.status == "interrupted"
    assert check(run) >= acknowledged + 1
    files = sorted(path.name for path in (tmp_path / "r").iterdir())
    assert "interrupted" in repr(run)
    assert "interrupted" in run._repr_html_()
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == files

    model = nn.Linear(300, 30)
    with cnnviz.Recorder(tmp_path / "r", model, snapshots=cnnviz.every(1), resume=True) as recorder:
        assert run.status == "running"
        for step in range(acknowledged, acknowledged + 5):
            nn.init.constant_(model.weight, step)
            nn.init.constant_(model.bias, step)
            recorder.record(step, {"a": step, "b": -step})
    assert run.status == "finished"
    assert check(run) >= acknowledged + 5


def test_a_second_writer_is_told(tmp_path):
    writer = spawn(tmp_path / "r", 10_000)
    try:
        writer.stdout.readline()
        with pytest.raises(RunError, match=r"r is being written by another process"):
            cnnviz.Recorder(tmp_path / "r", nn.Linear(300, 30), resume=True)
        with pytest.raises(RunError, match="exists already"):
            cnnviz.Recorder(tmp_path / "r", nn.Linear(300, 30))
        assert cnnviz.open_run(tmp_path / "r").status == "running"
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()


def test_ctrl_c_stops_cleanly(tmp_path):
    writer = spawn(tmp_path / "r", 10_000)
    try:
        writer.stdout.readline()
        time.sleep(0.05)
        writer.send_signal(signal.SIGINT)
        output, _ = writer.communicate(timeout=20)
    finally:
        writer.kill()
        writer.wait()
    run = cnnviz.open_run(tmp_path / "r")
    assert run.status == "stopped"
    assert check(run) >= int(output.split()[-1]) + 1
    assert not (tmp_path / "r" / "run.db-wal").exists()
    assert np.array_equal(run.metric("a")[0], run.steps)


# What there is of a run whose writer died before run.json, which is written last, made it one.
_BEGUN = {
    "an empty folder": [],
    "no lock yet": ["snapshots"],
    "no database yet": ["snapshots", "writer.lock"],
    "an empty database": ["snapshots", "writer.lock", "run.db"],
    "half the samples": ["snapshots", "writer.lock", "run.db", "samples.safetensors.tmp"],
    "all but run.json": ["snapshots", "writer.lock", "run.db", "samples.safetensors", "run.json.tmp"],
}


@pytest.mark.parametrize("names", _BEGUN.values(), ids=_BEGUN)
@pytest.mark.parametrize("tables", [False, True])
def test_a_run_takes_the_place_of_one_that_never_was(names, tables, tmp_path):
    path = tmp_path / "r"
    path.mkdir()
    for name in names:
        if name == "snapshots":
            (path / name).mkdir()
        elif name == "run.db" and tables:
            Writer(path / name, durable=False).write(
                lambda transaction: transaction.state({"status": "running"})
            )
        else:
            (path / name).write_bytes(b"")
    with cnnviz.Recorder(path, nn.Linear(2, 2)) as recorder:
        recorder.record(0, {"a": 1})
    assert cnnviz.open_run(path).steps.tolist() == [0]
    assert {file.name for file in path.iterdir()} == {"run.json", "run.db", "writer.lock", "snapshots"}


def _lose_manifest(path):
    with cnnviz.Recorder(path, nn.Linear(2, 2), snapshots=never) as recorder:
        recorder.record(5, {"a": 1})
    (path / "run.json").unlink()


def _of_a_stranger(path):
    (path / "snapshots").mkdir(parents=True)
    (path / "thesis.txt").write_text("all I know")


def _torn(path):
    (path / "snapshots").mkdir(parents=True)
    (path / "run.db").write_bytes(b"SQLite format 3\0" + b"x" * 5000)


def _linked(path):
    path.mkdir()
    (path / "snapshots").symlink_to(path.parent)


@pytest.mark.parametrize("make", [_lose_manifest, _of_a_stranger, _torn, _linked])
def test_what_could_be_something_is_never_taken(make, tmp_path):
    make(tmp_path / "r")
    before = {p.relative_to(tmp_path): p.is_file() and p.read_bytes() for p in tmp_path.rglob("*")}
    with pytest.raises(RunError, match="exists already"):
        cnnviz.Recorder(tmp_path / "r", nn.Linear(2, 2))
    assert before == {p.relative_to(tmp_path): p.is_file() and p.read_bytes() for p in tmp_path.rglob("*")}
