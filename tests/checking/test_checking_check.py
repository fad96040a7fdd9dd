"""What a check finds in a run of which one thing is wrong, told in words; reading changes nothing."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
import torch
from checking_runs import MANIFEST, state_at, write

from cnnviz.checking.check import check_run
from cnnviz.errors import RunError
from cnnviz.recording.database import Writer
from cnnviz.recording.layout import Layout
from cnnviz.recording.lock import WriterLock
from cnnviz.recording.manifest import Description
from cnnviz.recording.recorder import Recorder
from cnnviz.recording.store import Missing
from cnnviz.recording.tensors import read_tensors, write_tensors
from cnnviz.recording.writer import RunWriter


def kinds(report):
    return [finding.kind for finding in report.findings]


def only(report):
    """Return the words of the one finding, with paths as inside the run."""
    assert len(report.findings) == 1, report.findings
    return report.findings[0].words.replace(f"{report.location}/", "")


def everything(root):
    return {path: path.is_file() and path.read_bytes() for path in sorted(root.rglob("*"))}


def test_a_whole_run_is_whole_and_nothing_is_changed(layout):
    before = everything(layout.root)
    told = []
    report = check_run(layout.root, lambda done, total: told.append((done, total)))
    assert (report.findings, report.notes) == ((), ())
    assert (report.snapshots, report.metrics) == (10, 20)
    # The first snapshot was slimmed, too, so that the body (4,800 bytes) is read once; heads are 810 bytes.
    assert report.bytes == 4800 + 10 * 810
    assert told == [(number, 10) for number in range(11)]
    assert everything(layout.root) == before


def test_a_damaged_snapshot_costs_that_one_only(layout):
    layout.snapshot(50).write_bytes(b"\xff" * 100)
    report = check_run(layout.root)
    assert only(report).startswith("snapshots/00000050.safetensors can't be read: ")
    assert only(report).endswith("; only snapshot 50 is lost")
    assert report.findings[0].kind == "snapshot"
    assert report.snapshots == 9


def test_a_flipped_bit_among_the_weights_is_found(layout, flip):
    flip(layout.snapshot(50), count=1)
    assert only(check_run(layout.root)) == (
        "snapshots/00000050.safetensors does not hold what was recorded: its digest is another; "
        "only snapshot 50 is lost"
    )


def test_a_damaged_shared_file_is_told_with_all_that_it_costs(layout):
    layout.part("shared/00000010.safetensors").write_bytes(b"")
    words = only(check_run(layout.root))
    assert words.startswith("shared/00000010.safetensors can't be read: ")
    assert words.endswith(": snapshots 0 to 90 (10) can't be read")


def test_a_shared_file_with_other_content_is_blamed_and_not_the_snapshots(layout, flip):
    flip(layout.part("shared/00000010.safetensors"))
    report = check_run(layout.root)
    assert only(report) == (
        "shared/00000010.safetensors does not hold what was recorded: snapshots 0 to 90 (10) can't be read"
    )
    assert (kinds(report), report.snapshots) == (["part"], 0)


def test_an_absent_shared_file(layout):
    layout.part("shared/00000010.safetensors").unlink()
    assert only(check_run(layout.root)) == (
        "shared/00000010.safetensors is not there: snapshots 0 to 90 (10) can't be read"
    )


def test_absent_snapshots_are_told_together(layout):
    layout.snapshot(20).unlink()
    assert only(check_run(layout.root)) == (
        "snapshots/00000020.safetensors is not there: snapshot 20 can't be read"
    )
    layout.snapshot(40).unlink()
    assert only(check_run(layout.root)) == (
        "snapshots/00000020.safetensors and 1 more are not there: snapshots 20 to 40 (2) can't be read"
    )


def test_the_index_is_blamed_where_only_a_digit_of_a_digest_is_another(layout):
    writer = Writer(layout.database, durable=False)
    writer.write(
        lambda t: t._execute(
            "UPDATE snapshots SET digest = CASE substr(digest, 1, 1) WHEN 'a' THEN 'b' ELSE 'a' END"
            " || substr(digest, 2) WHERE step = 60"
        )
    )
    writer.close()
    report = check_run(layout.root)
    assert [(f.kind, f.path) for f in report.findings] == [("index", layout.snapshot(60))]
    assert only(report) == "run.db holds a damaged digest of snapshot 60, which is whole"


def test_snapshots_that_are_not_in_the_index(layout):
    write_tensors(layout.snapshot(15), state_at(15))
    layout.snapshot(25).write_bytes(b"torn")
    report = check_run(layout.root)
    assert kinds(report) == ["orphan", "orphan"]
    torn, whole = report.findings
    assert (torn.path, whole.path) == (layout.snapshot(25), layout.snapshot(15))
    assert "can't be read" in torn.words
    assert whole.words == f"{layout.snapshot(15)} is whole, but snapshot 15 is not in the index"


@pytest.mark.parametrize(
    ("name", "kind"), [("samples", "samples"), ("checkpoint", "checkpoint"), ("manifest", "manifest")]
)
def test_torn_files_beside_the_snapshots(layout, name, kind):
    path = getattr(layout, name)
    path.write_bytes(path.read_bytes()[:20])
    report = check_run(layout.root)
    assert kinds(report) == [kind]
    assert report.findings[0].path == path


def test_samples_and_a_checkpoint_need_not_be_there_but_run_json(layout):
    text = layout.manifest.read_text()
    layout.manifest.write_text(re.sub(r'"samples": \{[^}]*\}', '"samples": null', text))
    layout.samples.unlink()
    layout.checkpoint.unlink()
    layout.lock.unlink()
    assert check_run(layout.root).ok
    layout.manifest.unlink()
    assert "it has no run.json" in only(check_run(layout.root))


def test_samples_that_are_gone(layout):
    layout.samples.unlink()
    report = check_run(layout.root)
    assert kinds(report) == ["samples"]
    assert only(report) == (
        "samples.safetensors is not there: its 2 samples are gone, and the pictures that need an image can be drawn of "
        "image files only"
    )
    assert (
        report.findings[0].way_out == "put the file back if you have it; a repair takes them out of run.json"
    )


def test_samples_that_were_altered(layout, flip):
    flip(layout.samples, -40, 20)
    report = check_run(layout.root)
    assert kinds(report) == ["samples"]
    assert only(report) == (
        "samples.safetensors does not hold what was recorded: its images or labels were altered"
    )
    assert report.findings[0].way_out == (
        "a repair moves it to damaged/; put it back from there if its pictures are still of use"
    )


def test_samples_of_a_run_that_wrote_no_digest_of_them(layout, flip):
    content = json.loads(layout.manifest.read_text())
    del content["samples"]
    layout.manifest.write_text(json.dumps(content))
    flip(layout.samples, -40, 20)
    assert check_run(layout.root).ok


def test_whole_samples_are_not_given_up_for_a_digit_in_run_json(layout):
    content = json.loads(layout.manifest.read_text())
    digest = content["samples"]["digest"]
    content["samples"]["digest"] = digest[:-1] + ("0" if digest[-1] != "0" else "1")
    layout.manifest.write_text(json.dumps(content))
    assert check_run(layout.root).ok


def test_layers_that_come_later_leave_what_run_json_tells_of_the_samples(tmp_path):
    lazy = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(2))
    samples = (torch.rand(2, 1, 3, 3), torch.tensor([0, 1]))
    with Recorder(tmp_path / "r", lazy, samples=samples) as recorder:
        lazy(samples[0])
        recorder.record(0)
    with Recorder(tmp_path / "r", lazy, resume=True, description=Description(seed=2)) as recorder:
        recorder.record(1, snapshot=True)
    layout = Layout(tmp_path / "r")
    assert check_run(layout.root).ok
    layout.samples.unlink()
    assert kinds(check_run(layout.root)) == ["samples"]


def test_a_note_that_says_what_is_missing_is_information_and_a_damaged_one_damage(layout):
    lock = WriterLock(layout.lock)
    lock.leave_note(Missing(((3, 3, 1), (11, 19, 4)), "No space left"), {})
    lock.release()
    report = check_run(layout.root)
    assert report.ok
    assert [note.words for note in report.notes] == [
        "snapshots at step 3 could not be written: No space left",
        "snapshots at steps 11 to 19 (4) could not be written: No space left",
    ]
    layout.lock.write_bytes(b"{")
    assert kinds(check_run(layout.root)) == ["lock"]


@pytest.mark.parametrize("at", [20, 4096 + 2, 3 * 4096 + 1, -4096])
def test_a_damaged_database(layout, flip, at):
    flip(layout.database, at, 60)
    report = check_run(layout.root)
    assert kinds(report) == ["database"]
    assert str(layout.database) in report.findings[0].words


def test_a_metric_that_lost_its_name(layout):
    writer = Writer(layout.database, durable=False)
    writer.write(lambda t: t._execute("DELETE FROM names WHERE id = 1"))
    writer.close()
    assert only(check_run(layout.root)) == "run.db is damaged: a metric has lost its name"


def test_passes_over_the_examples_that_nobody_can_decode(layout):
    writer = Writer(layout.database, durable=False)
    writer.write(lambda t: t.examples({2: b"\xff"}, 90))
    writer.close()
    assert kinds(check_run(layout.root)) == ["database"]
    assert "examples" in only(check_run(layout.root))


def test_an_absent_database_does_not_make_orphans(layout):
    layout.database.unlink()
    layout.snapshot(30).write_bytes(b"")
    report = check_run(layout.root)
    assert kinds(report) == ["database", "orphan"]  # and of the whole snapshots nothing
    assert report.findings[0].way_out == (
        "put it back if you have it; a repair makes its index anew, but the metrics are gone"
    )


def test_a_locked_database_is_no_damage(layout, monkeypatch):
    holder = sqlite3.connect(layout.database, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **options: connect(*a, **{**options, "timeout": 0.01}))
    with pytest.raises(RunError, match="locked"):
        check_run(layout.root)
    holder.close()


def test_links_and_foreign_files_are_named(layout, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    shutil.move(layout.snapshot(70), elsewhere)
    layout.snapshot(70).symlink_to(elsewhere)
    layout.snapshot(75).symlink_to(elsewhere)
    (layout.snapshots / "notes.txt").write_text("hello")
    (layout.root / "notes.txt").write_text("hello")
    report = check_run(layout.root)
    assert [(f.kind, f.path) for f in report.findings] == [
        ("snapshot", layout.snapshot(70)),
        ("link", layout.snapshot(75)),
        ("foreign", layout.snapshots / "notes.txt"),
    ]
    assert [(f.kind, f.path) for f in report.notes] == [("foreign", layout.root / "notes.txt")]


def test_a_folder_that_is_a_link(layout, tmp_path):
    shutil.move(layout.snapshots, tmp_path / "elsewhere")
    layout.snapshots.symlink_to(tmp_path / "elsewhere")
    report = check_run(layout.root)
    assert kinds(report) == ["absent", "link"]
    assert report.findings[1].path == layout.snapshots


def test_a_snapshot_that_names_files_elsewhere(layout, tmp_path):
    write_tensors(
        layout.snapshot(50),
        {"head.bias": torch.zeros(5)},
        metadata={"cnnviz.elsewhere": '{"../secret": {"body.weight": "body.weight"}}'},
    )
    assert "names the file '../secret'; only snapshot 50 is lost" in only(check_run(layout.root))


def test_a_file_that_may_not_be_read_is_no_damage(layout, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != layout.snapshot(40))
    report = check_run(layout.root)
    assert kinds(report) == ["forbidden"]
    assert report.findings[0].way_out == f"allow it: chmod u+r {layout.snapshot(40)}"


def test_what_an_earlier_repair_took_away_is_mentioned(layout):
    (layout.damaged / "1").mkdir(parents=True)
    report = check_run(layout.root)
    assert (report.ok, [note.kind for note in report.notes]) == (True, ["damaged"])


def test_what_is_no_run(layout, tmp_path):
    with pytest.raises(RunError, match="is not a run"):
        check_run(tmp_path / "none")
    with pytest.raises(RunError, match="packed run"):
        check_run("s3://bucket/run")
    layout.manifest.write_text('{"format": 99}')
    with pytest.raises(RunError, match="install a newer cnnviz"):
        check_run(layout.root)


def test_while_a_writer_lives_what_is_on_its_way_is_no_damage(tmp_path):
    layout = Layout(tmp_path / "r")
    writer = write(layout.root, range(0, 50, 10), close=False)
    write_tensors(layout.snapshot(50), state_at(50))
    layout.snapshot(60).with_suffix(".safetensors.tmp").write_bytes(b"half")
    report = check_run(layout.root)
    assert (report.findings, report.notes, report.snapshots) == ((), (), 5)
    layout.snapshot(20).write_bytes(b"")
    assert kinds(check_run(layout.root)) == ["snapshot"]
    writer.close()


def test_a_recording_that_has_just_begun(tmp_path):
    layout = Layout(tmp_path / "r")
    layout.snapshots.mkdir(parents=True)
    lock = WriterLock(layout.lock)
    assert check_run(layout.root).ok
    lock.release()
    assert kinds(check_run(layout.root)) == ["manifest", "database"]


@pytest.mark.filterwarnings("ignore::cnnviz.errors.RecordingWarning")  # the log grows while others read
def test_snapshots_that_are_thinned_out_meanwhile_are_no_damage(tmp_path):
    path = tmp_path / "r"
    writer = RunWriter(path, limit=300_000)
    writer.describe(MANIFEST, None)

    def work():
        for step in range(300):
            writer.write(step, {"a": float(step)}, {**state_at(step), "large": torch.full((1000,), step)})

    thread = threading.Thread(target=work)
    thread.start()
    checks = 0
    while thread.is_alive():
        assert check_run(path).findings == ()
        checks += 1
    thread.join()
    writer.close()
    assert checks > 2
    report = check_run(path)
    assert report.ok
    assert 2 <= report.snapshots < 300  # so it was thinned out


def test_a_run_that_was_killed_is_not_damaged(tmp_path):
    code = """
        import os, signal, sys
        sys.path.insert(0, sys.argv[1])
        from checking_runs import state_at, write
        from cnnviz.recording import snapshot_writer
        writer = write(sys.argv[2], range(0, 50, 10), close=False)
        writer._snapshots.write(50, state_at(50))  # lies there, but is not in the index yet
        open(sys.argv[2] + "/snapshots/00000060.safetensors.tmp", "wb").write(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    """
    here = Path(__file__).parent
    path = tmp_path / "r"
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(here), str(path)])
    assert done.returncode == -signal.SIGKILL
    report = check_run(path)
    assert report.findings == ()
    assert report.snapshots == 5
    assert [note.kind for note in report.notes] == ["orphan", "temporary", "interrupted"]


def test_the_first_snapshot_is_as_whole_as_the_others(layout):
    assert set(read_tensors(layout.snapshot(0))) == {
        "head.weight",
        "head.bias",
    }  # of the body it has a name only
    assert check_run(layout.root).ok
