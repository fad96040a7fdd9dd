"""A disk that is full, or lost: the training goes on, the run says what is missing, and one warning is shown."""

import contextlib
import errno
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import time
import warnings

import pytest
import torch
from torch import nn
from twin import Bomb, begin, check_no_leftovers, check_states, check_these, copied

import cnnviz
from cnnviz.errors import RecordingWarning, RunError
from cnnviz.recording import outage as outage_module
from cnnviz.recording import snapshot_writer
from cnnviz.recording import writer as writer_module
from cnnviz.recording.lock import WriterLock, read_note
from cnnviz.recording.outage import Outage
from cnnviz.recording.store import Missing
from cnnviz.recording.writer import RunWriter


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Try again at once: what is missing then depends on the disk alone."""
    monkeypatch.setattr(outage_module, "_PATIENCE", 0.0)


def state(step, size=3000):
    return {"a": torch.full((size,), float(step)), "frozen": torch.arange(3000.0)}


def full(what="a file"):
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), what)


@contextlib.contextmanager
def caught():
    """Collect the warnings, all of them."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield found


class Disk:
    """A disk that takes nothing while it is full, of snapshots or at all."""

    def __init__(self, monkeypatch, database=False):
        self.full = False
        write_whole = snapshot_writer.write_whole
        commit = writer_module.Writer.write

        def write(path, parts, *, durable):
            if self.full:
                raise full(path)
            write_whole(path, parts, durable=durable)

        def commit_or_not(writer, fill):
            if self.full:
                raise sqlite3.OperationalError("database or disk is full")
            commit(writer, fill)

        monkeypatch.setattr(snapshot_writer, "write_whole", write)
        if database:
            monkeypatch.setattr(writer_module.Writer, "write", commit_or_not)


@pytest.mark.parametrize("database", [False, True])
@pytest.mark.parametrize("background", [False, True])
def test_what_is_missing_is_told_and_all_else_is_there(background, database, tmp_path, monkeypatch):
    disk, states = Disk(monkeypatch, database), {}
    model = nn.Linear(50, 50)
    with (
        caught() as found,
        cnnviz.Recorder(tmp_path / "r", model, snapshots=cnnviz.every(2), background=background) as recorder,
    ):
        for step in range(20):
            recorder.flush() if not disk.full else None
            disk.full = 4 <= step < 9 or 14 <= step < 15
            with torch.no_grad():
                model.weight += 1
            states[step] = copied(model.state_dict())
            recorder.record(step, {"a": step})
            recorder.flush()
    run = cnnviz.open_run(tmp_path / "r")
    assert run.missing.spans == ((4, 8, 3), (14, 14, 1))
    assert str(run.missing).startswith("3 snapshots of steps 4 to 8, 1 snapshot of step 14: ")
    assert run.steps.tolist() == [0, 2, 10, 12, 16, 18]
    assert run.metric("a")[0].tolist() == list(range(20))
    assert (run.status, run.detail) == ("finished", "")
    check_these(run, states)
    check_no_leftovers(tmp_path / "r")
    (warning,) = [w for w in found if w.category is RecordingWarning]
    assert "r can't be written: " in str(warning.message)
    assert "The training goes on" in str(warning.message)


def test_what_the_run_says_while_it_lasts(tmp_path, monkeypatch):
    disk = Disk(monkeypatch)
    writer, run = begin(tmp_path / "r"), None
    writer.write(0, {"a": 0}, state(0))
    run = cnnviz.open_run(tmp_path / "r")
    assert not run.missing
    assert str(run.missing) == ""
    disk.full = True
    with pytest.warns(RecordingWarning):
        writer.write(1, {"a": 1}, state(1))
    writer.write(3, {"a": 3}, state(3))
    assert run.missing.spans == ((1, 3, 2),)
    assert "No space left on device" in run.missing.reason
    assert run.status == "running"
    assert run.metric("a")[0].tolist() == [0, 1, 3]  # the database had room
    disk.full = False
    writer.write(4, {}, state(4))
    disk.full = True
    writer.write(5, {}, state(5))
    assert run.missing.spans == ((1, 3, 2), (5, 5, 1))
    assert writer.last_snapshot == 4
    writer.close("stopped")
    assert run.missing.spans == ((1, 3, 2), (5, 5, 1))
    disk.full = False
    writer = RunWriter(tmp_path / "r", resume=True)
    writer.write(6, {}, state(6))
    writer.close()
    assert run.missing.spans == ((1, 3, 2), (5, 5, 1))  # what was missing stays so
    assert run.steps.tolist() == [0, 4, 6]


@pytest.mark.parametrize("times", [1, 3])
def test_any_write_may_fail(times, tmp_path, monkeypatch):
    """Let one write after the other fail, for a while, wherever it is."""
    letters = ["aa", "ab", "ac", "bc", "bc", "cc", "cd", "ad"]
    states = {
        step: {"x": torch.full((2000,), float(ord(x))), "y": torch.full((2000,), float(ord(y)))}
        for step, (x, y) in enumerate(letters)
    }
    at, bomb = 0, None
    while bomb is None or bomb.went_off:
        at += 1
        path = tmp_path / str(at)
        writer, bomb = begin(path, limit=10**6), Bomb(at, full, times)
        with monkeypatch.context() as patch, caught() as found:
            bomb.plant(patch)
            for step, content in states.items():
                writer.write(step, {"a": step}, content)
            moments, bomb.times = bomb.moments, 0  # there is room again at the end
            writer.close()
        bomb.moments = moments
        run = cnnviz.open_run(path)
        missing = {step for first, last, _ in run.missing.spans for step in range(first, last + 1)}
        assert sum(count for _, _, count in run.missing.spans) == len(missing)
        check_states(path, {step: states[step] for step in states if step not in missing})
        assert run.metric("a")[0].tolist() == list(states)
        assert (run.status, run.detail) == ("finished", "")
        assert len(found) == bomb.went_off
        check_no_leftovers(path)
    assert at > 30


def test_the_end_on_a_full_disk(tmp_path, monkeypatch):
    disk = Disk(monkeypatch, database=True)
    writer = begin(tmp_path / "r")
    writer.write(0, {"a": 0}, state(0))
    disk.full = True
    with caught() as found:
        writer.write(1, {"a": 1}, state(1))
        writer.write(2, {"a": 2})
        writer.close("failed", "ValueError: bad luck")
    assert len(found) == 1
    run = cnnviz.open_run(tmp_path / "r")
    assert run.status == "failed"
    assert run.detail.startswith("ValueError: bad luck; 2 records of metrics are missing: ")
    assert run.missing.spans == ((1, 1, 1),)
    check_states(tmp_path / "r", {0: state(0)})
    disk.full = False
    writer = RunWriter(tmp_path / "r", resume=True)
    assert (run.status, run.detail) == ("running", "")
    writer.write(1, {"a": 1}, state(1))
    writer.close()
    assert (run.status, run.detail) == ("finished", "")
    check_states(tmp_path / "r", {0: state(0), 1: state(1)})


def test_a_snapshot_that_the_index_never_heard_of_is_missing(tmp_path, monkeypatch):
    writer = begin(tmp_path / "r")
    writer.write(0, {}, state(0))

    def fail(writer, fill):
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch, caught() as found:
        patch.setattr(writer_module.Writer, "write", fail)
        writer.write(1, {}, state(1))
        writer.close()
    assert len(found) == 1
    run = cnnviz.open_run(tmp_path / "r")
    assert run.steps.tolist() == [0]
    assert run.missing.spans == ((1, 1, 1),)
    RunWriter(tmp_path / "r", resume=True).close()
    check_no_leftovers(tmp_path / "r")


def test_metrics_that_wait_take_bounded_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(writer_module, "_MOST_WAITING", 5)
    disk = Disk(monkeypatch, database=True)
    writer = begin(tmp_path / "r")
    disk.full = True
    with caught():
        for step in range(8):
            writer.write(step, {"a": step})
    disk.full = False
    writer.close()
    run = cnnviz.open_run(tmp_path / "r")
    assert run.metric("a")[0].tolist() == [3, 4, 5, 6, 7]
    assert run.detail.startswith("3 records of metrics are missing: ")


def test_trying_takes_a_twentieth_of_the_time(monkeypatch):
    monkeypatch.setattr(outage_module, "_PATIENCE", 20.0)
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    outage = Outage("runs/a", Missing())
    assert outage.may_try()
    with pytest.warns(RecordingWarning, match="runs/a can't be written: .*No space"):
        outage.failed(full(), 3.0)
    assert not outage.may_try()
    now[0] += 59.9
    assert not outage.may_try()
    now[0] += 0.2
    assert outage.may_try()


def test_a_warning_that_is_an_error_reaches_the_caller_once(tmp_path, monkeypatch):
    disk = Disk(monkeypatch)
    writer = begin(tmp_path / "r")
    disk.full = True
    with pytest.raises(RecordingWarning):  # warnings are errors in these tests
        writer.write(0, {}, state(0))
    writer.write(1, {}, state(1))
    writer.close()
    assert cnnviz.open_run(tmp_path / "r").missing


def test_a_manifest_that_changes_on_a_full_disk_is_written_later(tmp_path, monkeypatch):
    from cnnviz.recording import manifest

    class Grows(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(2, 2)

    model, write_whole, is_full = Grows(), manifest.write_whole, [False]

    def write(path, parts, *, durable):
        if is_full[0]:
            raise full(path)
        write_whole(path, parts, durable=durable)

    monkeypatch.setattr(manifest, "write_whole", write)
    recorder = cnnviz.Recorder(tmp_path / "r", model, snapshots=cnnviz.every(1))
    recorder.record(0)
    model.second = nn.Linear(2, 2)
    is_full[0] = True
    with caught() as found:
        recorder.record(1, {"a": 1})
        assert len(found) == 1
    assert len(cnnviz.open_run(tmp_path / "r").layers) == 1
    is_full[0] = False
    recorder.record(2, {"a": 2})
    run = cnnviz.open_run(tmp_path / "r")
    assert [layer.name for layer in run.layers] == ["first", "second"]
    assert run.steps.tolist() == [0, 1, 2]
    recorder.close()


# --- real ones


def test_a_folder_that_is_lost_for_a_while(tmp_path):
    path, states = tmp_path / "r", {}
    writer = begin(path)
    with caught() as found:
        for step in range(9):
            if step == 3:
                path.rename(tmp_path / "lost")
            if step == 6:
                (tmp_path / "lost").rename(path)
            states[step] = state(step)
            writer.write(step, {"a": step}, states[step])
        writer.close()
    assert len(found) == 1
    run = cnnviz.open_run(path)
    assert run.missing.spans == ((3, 5, 3),)
    assert run.metric("a")[0].tolist() == list(range(9))
    assert run.status == "finished"
    check_states(path, {step: states[step] for step in (0, 1, 2, 6, 7, 8)})


@pytest.mark.parametrize("snapshots", [True, False])
def test_a_folder_that_is_deleted_while_training(snapshots, tmp_path):
    writer = begin(tmp_path / "r")
    writer.write(0, {"a": 0}, state(0))
    shutil.rmtree(tmp_path / "r")
    with caught() as found:
        for step in range(1, 4):
            writer.write(step, {"a": step}, state(step) if snapshots else None)
        writer.close()
    assert len(found) == 1
    assert not (tmp_path / "r").exists()


def test_a_lock_file_that_was_lost_with_its_disk_is_opened_anew(tmp_path):
    lock = WriterLock(tmp_path / "writer.lock")
    stale = os.open(tmp_path / "writer.lock", os.O_RDONLY)
    os.dup2(stale, lock._handle)  # as after a network disk came back: writing into what was open gives errors
    os.close(stale)
    lock.leave_note(Missing(((1, 2, 2),), "gone"), {})
    assert read_note(tmp_path / "writer.lock")[0] == Missing(((1, 2, 2),), "gone")
    with pytest.raises(RunError, match="is being written by another process"):
        WriterLock(tmp_path / "writer.lock")
    lock.release()


@pytest.mark.parametrize(
    "reason", ["x" * 5000, "\N{SNOWMAN}" * 5000, "\N{GRINNING FACE}" * 5000, "\udcff" * 600]
)
def test_the_note_always_fits_into_its_room(reason, tmp_path):
    lock = WriterLock(tmp_path / "writer.lock")
    spans = tuple((10**17 + 10 * k, 10**17 + 10 * k + 5, 6) for k in range(300))
    lock.leave_note(Missing(spans, reason), {"status": "failed", "detail": reason, "ended": "2026-01-01"})
    assert (tmp_path / "writer.lock").stat().st_size == 4096
    missing, ending = read_note(tmp_path / "writer.lock")
    assert sum(count for _, _, count in missing.spans) == 1800
    assert (missing.spans[0][0], missing.spans[-1][1]) == (spans[0][0], spans[-1][1])
    assert missing.reason
    assert reason.startswith(missing.reason)
    assert ending["status"] == "failed"
    lock.leave_note(Missing(), {})
    assert read_note(tmp_path / "writer.lock") == (Missing(), {})
    lock.release()


def test_a_note_is_never_seen_in_part(tmp_path):
    path = tmp_path / "writer.lock"
    WriterLock(path).release()
    code = """
        import sys
        from pathlib import Path
        from cnnviz.recording.lock import WriterLock
        from cnnviz.recording.store import Missing
        lock = WriterLock(Path(sys.argv[1]))
        print("on", flush=True)
        while True:
            lock.leave_note(Missing(((1, 2, 2),) * 60, "x" * 400), {})
            lock.leave_note(Missing(), {})
    """
    writer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(path)], stdout=subprocess.PIPE
    )
    try:
        writer.stdout.readline()
        found = {read_note(path)[0] for _ in range(1000)}
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()
    assert found <= {Missing(), Missing(((1, 2, 2),) * 60, "x" * 400)}


# The training of the two tests below: it says which of its steps are over, and the test how it went.
TRAINING = """
    import json, os, resource, signal, sys, warnings
    from pathlib import Path
    import torch
    from torch import nn
    import cnnviz
    from cnnviz.recording import outage
    outage._PATIENCE = 0.0
    torch.set_num_threads(1)
    path, at, until = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    model = nn.Sequential(nn.Linear(200, 200), nn.Linear(200, 10))
    model[0].requires_grad_(False)
    ballast = path.parent / "ballast"
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        with cnnviz.Recorder(path, model, snapshots=cnnviz.every(1)) as recorder:
            for step in range(40):
                if step == at:
                    if sys.argv[4] == "limit":
                        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, resource.RLIM_INFINITY))
                    else:
                        with ballast.open("wb", buffering=0) as file:
                            try:
                                while True:
                                    file.write(bytes(4096))
                            except OSError:
                                pass
                if step == until:
                    if sys.argv[4] == "limit":
                        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
                    else:
                        ballast.unlink()
                with torch.no_grad():
                    model[1].weight.fill_(step)
                recorder.record(step, {"a": step})
    print(json.dumps([str(w.message) for w in found]))
"""


def train_on_a_full_disk(path, at, until, how):
    code = textwrap.dedent(TRAINING)
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(at), str(until), how], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (warning,) = json.loads(done.stdout)
    assert "can't be written" in warning
    run = cnnviz.open_run(path)
    assert run.missing
    missing = {step for first, last, _ in run.missing.spans for step in range(first, last + 1)}
    assert missing <= set(range(at, until))
    assert sorted(missing | set(run.steps.tolist())) == list(range(40))
    assert not missing & set(run.steps.tolist())
    for snapshot in run:
        assert (snapshot.state["1.weight"] == snapshot.step).all()
        assert torch.equal(snapshot.state["0.weight"], run.last.state["0.weight"])
    assert not list(path.rglob("*.tmp"))
    return run


@pytest.mark.parametrize("until", [30, 1000])
def test_a_limit_of_the_system_on_the_size_of_files(until, tmp_path):
    run = train_on_a_full_disk(tmp_path / "r", 10, until, "limit")
    assert run.status == "finished"
    if until == 30:
        assert run.metric("a")[0].tolist() == list(range(40))
        check_no_leftovers(tmp_path / "r")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte, where the tests may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    made = subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if made.returncode:
        pytest.skip("no small disk can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("until", [30, 1000])
def test_a_disk_that_is_full(until, small_disk):
    run = train_on_a_full_disk(small_disk / "r", 10, until, "fill")
    assert run.status == "finished"
    assert "No space left on device" in run.missing.reason or "full" in run.missing.reason
    if until == 30:
        assert run.metric("a")[0].tolist() == list(range(40))
        assert (run.detail, len(run)) == ("", 20)
        check_no_leftovers(small_disk / "r")
    else:
        assert "missing" in run.detail or run.metric("a")[0].tolist() == list(range(40))


def test_a_run_that_cannot_begin_leaves_its_name_free(small_disk):
    with contextlib.suppress(OSError), (small_disk / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    with pytest.raises(RunError, match=r"can't be (written|made)"):
        cnnviz.Recorder(small_disk / "r", nn.Linear(2, 2))
    (small_disk / "ballast").unlink()
    cnnviz.Recorder(small_disk / "r", nn.Linear(2, 2)).close()
    assert cnnviz.open_run(small_disk / "r").status == "finished"
