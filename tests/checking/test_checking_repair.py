"""A repair leaves a whole run: what was not damaged reads to the bit, and what was lies in damaged/."""

import json
import os
import random
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from checking_runs import MANIFEST, passes, state_at, write
from hypothesis import given, settings
from hypothesis import strategies as st

import cnnviz
from cnnviz.checking.check import check_run
from cnnviz.checking.repair import repair_run
from cnnviz.checking.sqlite import change
from cnnviz.errors import RunError
from cnnviz.recording.checkpoint import write_checkpoint
from cnnviz.recording.database import Writer
from cnnviz.recording.database_reader import Reader
from cnnviz.recording.layout import Layout
from cnnviz.recording.lock import WriterLock
from cnnviz.recording.manifest import Description, write_manifest
from cnnviz.recording.store import Missing
from cnnviz.recording.tensors import write_tensors
from cnnviz.recording.writer import RunWriter

ALWAYS = {"damaged", "interrupted", "missing", "foreign"}
"""The notes that a repair leaves."""


def check_whole(root, steps):
    """Check that a run is whole and holds exactly the snapshots at these steps, to the bit."""
    report = check_run(root)
    assert report.findings == ()
    assert {note.kind for note in report.notes} <= ALWAYS
    run = cnnviz.open_run(root)
    assert run.steps.tolist() == steps
    for snapshot in run:
        check_state(snapshot)
    assert repair_run(root).actions == ()
    return run


def check_state(snapshot):
    expected = state_at(snapshot.step)
    state = snapshot.state.read()
    assert state.keys() == expected.keys()
    for name, tensor in state.items():
        assert tensor.dtype == expected[name].dtype
        assert torch.equal(tensor, expected[name])


def contents(root):
    """Count the contents of all files but those that change in place."""
    names = {"writer.lock", "repair.txt", "run.db", "run.db-wal", "run.db-shm"}
    files = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return Counter(path.read_bytes() for path in files if path.name not in names)


def test_a_whole_run_is_left_as_it_is(layout):
    before = contents(layout.root)
    repair = repair_run(layout.root)
    assert (repair.location, repair.actions, repair.aside) == (str(layout.root), (), None)
    assert contents(layout.root) == before


def test_a_damaged_snapshot_goes_aside_with_its_digest(layout, flip):
    digest = Reader(layout.database).entries([50])[0].digest
    flip(layout.snapshot(50))
    damaged = layout.snapshot(50).read_bytes()
    repair = repair_run(layout.root)
    assert repair.actions == (
        "Moved snapshots/00000050.safetensors to damaged/1: does not hold what was recorded: its digest is another",
    )
    assert repair.aside == layout.damaged / "1"
    assert (repair.aside / "snapshots" / "00000050.safetensors").read_bytes() == damaged
    assert digest in (repair.aside / "repair.txt").read_text()
    run = check_whole(layout.root, [0, 10, 20, 30, 40, 60, 70, 80, 90])
    assert run.metric("train/loss")[0].tolist() == list(range(0, 100, 10))  # its metrics stay


def test_every_repair_has_a_folder_of_its_own(layout):
    for number, step in enumerate([10, 20, 10], 1):
        layout.snapshot(step).write_bytes(b"torn %d" % number)
        assert repair_run(layout.root).aside == layout.damaged / str(number)
    texts = [path.read_bytes() for path in sorted(layout.damaged.rglob("*.safetensors"))]
    assert texts == [b"torn 1", b"torn 2", b"torn 3"]


def test_a_damaged_shared_file_goes_aside_with_its_snapshots(layout):
    write(layout.root, [100, 110], resume=True)
    layout.part("shared/00000010.safetensors").write_bytes(b"torn")
    assert len(repair_run(layout.root).actions) == 13
    check_whole(layout.root, [])
    assert len(list((layout.damaged / "1").rglob("*.safetensors"))) == 13


def test_what_is_put_back_is_found_again(layout):
    part = layout.part("shared/00000010.safetensors")
    whole = part.read_bytes()
    part.unlink()
    repair_run(layout.root)
    check_whole(layout.root, [])
    part.write_bytes(whole)
    for path in (layout.damaged / "1" / "snapshots").iterdir():
        shutil.copy(path, layout.snapshots)
    assert repair_run(layout.root).actions == ("Put snapshots 0 to 90 (10) into the index",)
    check_whole(layout.root, list(range(0, 100, 10)))


def test_a_reader_who_knows_the_old_index_sees_the_new_one(layout):
    run = cnnviz.open_run(layout.root)
    assert len(run) == 10
    write_tensors(layout.snapshot(15), state_at(15))
    layout.snapshot(50).unlink()
    assert repair_run(layout.root).actions == (
        "Took snapshot 50 out of the index: its file is not there",
        "Put snapshot 15 into the index",
    )
    assert run.steps.tolist() == [0, 10, 15, 20, 30, 40, 60, 70, 80, 90]
    check_whole(layout.root, run.steps.tolist())
    assert "digest " in (layout.damaged / "1" / "repair.txt").read_text()


def test_torn_orphans_and_foreign_files_go_aside_and_temporaries_away(layout, tmp_path):
    layout.snapshot(15).write_bytes(b"torn")
    (layout.snapshots / "notes.txt").write_text("notes")
    (layout.root / "notes.txt").write_text("mine")
    layout.snapshot(20).with_suffix(".safetensors.tmp").write_bytes(b"half")
    (layout.root / "own.tmp").write_text("mine, too")
    write_tensors(layout.part("shared/00000055.safetensors"), {"a": torch.ones(2)})
    (layout.root / "linked").symlink_to(tmp_path)
    repair = repair_run(layout.root)
    assert [action.split(":")[0] for action in repair.actions] == [
        "Moved linked to damaged/1",
        "Moved snapshots/notes.txt to damaged/1",
        "Removed snapshots/00000020.safetensors.tmp, which was being written when its writer died",
        "Moved snapshots/00000015.safetensors to damaged/1",
        "Moved shared/00000055.safetensors to damaged/1",
    ]
    assert (layout.root / "notes.txt").read_text() == "mine"
    assert (layout.root / "own.tmp").read_text() == "mine, too"
    assert (repair.aside / "linked").is_symlink()
    check_whole(layout.root, list(range(0, 100, 10)))


def test_a_digest_that_was_damaged_in_the_index_is_written_anew(layout):
    writer = Writer(layout.database, durable=False)
    writer.write(
        lambda t: t._execute("UPDATE snapshots SET digest = substr(digest, 1, 31) || '0' WHERE step >= 50")
    )
    writer.close()
    assert not check_run(layout.root).ok
    (action,) = repair_run(layout.root).actions
    assert action.startswith("Wrote the digest of snapshot")
    check_whole(layout.root, list(range(0, 100, 10)))


def test_samples_and_checkpoint_go_aside(layout, flip):
    flip(layout.samples, 12, 9)
    layout.checkpoint.write_bytes(b"")
    assert [action.split(":")[0] for action in repair_run(layout.root).actions] == [
        "Moved samples.safetensors to damaged/1",
        "Took the samples out of run.json, as they are gone",
        "Moved resume.safetensors to damaged/1",
    ]
    assert len(check_whole(layout.root, list(range(0, 100, 10))).samples) == 0


def test_altered_samples_go_aside_and_may_be_put_back(layout, flip):
    recorded = cnnviz.open_run(layout.root).manifest.samples
    flip(layout.samples, -40, 20)
    assert repair_run(layout.root).actions == (
        "Moved samples.safetensors to damaged/1: does not hold what was recorded: its images or labels were altered",
        "Took the samples out of run.json, as they are gone",
    )
    assert f"2 samples, digest {recorded.digest}" in (layout.damaged / "1" / "repair.txt").read_text()
    check_whole(layout.root, list(range(0, 100, 10)))
    shutil.copy(layout.damaged / "1" / "samples.safetensors", layout.root)
    assert len(check_whole(layout.root, list(range(0, 100, 10))).samples) == 2


def test_samples_that_are_gone_are_not_missed_any_more(layout):
    layout.samples.unlink()
    assert repair_run(layout.root).actions == ("Took the samples out of run.json, as they are gone",)
    assert check_whole(layout.root, list(range(0, 100, 10))).manifest.samples is None


def test_the_note_of_what_is_missing_is_kept_unless_it_is_damaged(layout):
    lock = WriterLock(layout.lock)
    lock.leave_note(Missing(((3, 9, 2),), "No space left"), {})
    lock.release()
    layout.snapshot(10).unlink()
    repair_run(layout.root)
    assert cnnviz.open_run(layout.root).missing.spans == ((3, 9, 2),)
    layout.lock.write_bytes(b'{"missing"')
    (action,) = repair_run(layout.root).actions
    assert action.startswith("Emptied writer.lock")
    assert (layout.damaged / "2" / "writer.lock").read_bytes()[:10] == b'{"missing"'
    assert not cnnviz.open_run(layout.root).missing


def test_a_lock_that_is_a_link_goes_aside(layout, tmp_path):
    layout.lock.unlink()
    layout.lock.symlink_to(tmp_path / "target")
    repair_run(layout.root)
    assert not (tmp_path / "target").exists()
    check_whole(layout.root, list(range(0, 100, 10)))


@pytest.mark.parametrize("make", [lambda p: p.write_text("mine"), lambda p: p.symlink_to("elsewhere")])
def test_what_has_the_name_of_the_folder_for_damaged_things_goes_into_it(layout, make):
    make(layout.damaged)
    layout.snapshot(50).write_bytes(b"torn")
    repair = repair_run(layout.root)
    assert repair.aside == layout.damaged / "1"
    assert os.path.lexists(layout.damaged / "damaged")
    check_whole(layout.root, [step for step in range(0, 100, 10) if step != 50])


def test_run_json_is_made_anew_of_what_can_be_read_of_it(layout):
    text = layout.manifest.read_text()
    before = cnnviz.open_run(layout.root).manifest
    layout.manifest.write_text(text[: text.index('"data"')])
    action, lost = repair_run(layout.root).actions
    assert lost == (
        "Lost with the old run.json: the name of the data set, the names of the classes, the options of the training, "
        "its seed"
    )
    assert action.endswith(
        "of the old one id, created, class_name, parameters, layers, shapes, software, model, arguments could be read"
    )
    after = check_whole(layout.root, list(range(0, 100, 10))).manifest
    assert (after.id, after.layers, after.shapes) == (before.id, before.layers, before.shapes)
    assert (after.description.model, after.description.arguments) == ("convnet", {"model": 3})
    assert after.description.classes == ()
    assert (layout.damaged / "1" / "run.json").read_text() == text[: text.index('"data"')]


def test_run_json_with_one_field_that_no_reader_takes_keeps_the_others(layout):
    content = json.loads(layout.manifest.read_text())
    layout.manifest.write_text(json.dumps(content | {"layers": "none", "shapes": [1]}))
    repair_run(layout.root)
    manifest = cnnviz.open_run(layout.root).manifest
    assert manifest.id == "abc"
    assert manifest.description.classes == ("cat", "dog")
    assert manifest.layers == (("head", "Linear"), ("body", "Conv2d"))  # by the tensors of the first snapshot
    assert manifest.shapes == {}


def test_an_absent_run_json_is_made_of_the_snapshots(layout):
    samples = cnnviz.open_run(layout.root).manifest.samples
    os.utime(layout.snapshot(0), (1_000_000_000, 1_000_000_000))
    layout.manifest.unlink()
    action, lost, network = repair_run(layout.root).actions
    assert action.endswith("nothing of the old one could be read")
    assert lost.startswith("Lost with the old run.json: the name of the data set, ")
    assert network.startswith("What network it is of is lost, too: where a picture needs it")
    assert f"as in cnnviz plot feature_maps {layout.root} --model NAME" in network
    manifest = check_whole(layout.root, list(range(0, 100, 10))).manifest
    assert manifest.created == "2001-09-09T01:46:40+00:00"
    assert {layer.name: layer.kind for layer in manifest.layers} == {"body": "Conv2d", "head": "Linear"}
    assert manifest.parameters == 1200 + 200 + 5
    assert (manifest.description.model, manifest.layers_from) == (None, "tensor names")
    assert manifest.samples == samples  # from now on


def test_the_network_is_asked_for_where_run_json_does_not_name_it_any_more(layout):
    asked = []

    def guess(state, size):
        asked.append((sorted(state), size))
        return MANIFEST

    layout.manifest.unlink()
    assert repair_run(layout.root, guess=guess).actions[-1] == (
        "Named its network convnet, as its weights are of that one"
    )
    assert asked == [(sorted(state_at(0)), 4)]
    manifest = check_whole(layout.root, list(range(0, 100, 10))).manifest
    assert (manifest.class_name, manifest.layers, manifest.shapes) == (
        "Net",
        MANIFEST.layers,
        MANIFEST.shapes,
    )
    assert (manifest.description.model, manifest.description.arguments) == ("convnet", {"model": 3})
    assert (manifest.description.config, manifest.id == "abc") == ({}, False)


@pytest.mark.parametrize(
    ("old", "new"), [('"model": "convnet"', '"model": null'), ('"class_name": "Net"', '"class_name": "Own"')]
)
def test_a_network_that_the_old_run_json_rules_out_is_not_guessed(layout, old, new):
    text = layout.manifest.read_text().replace(old, new)
    end = '"arguments"' if "model" in old else '"description"'
    layout.manifest.write_text(text[: text.index(end)])
    repair_run(layout.root, guess=lambda state, size: MANIFEST)
    assert check_whole(layout.root, list(range(0, 100, 10))).manifest.description.model is None


def test_an_absent_database_is_made_of_the_snapshots(layout):
    layout.database.unlink()
    words = repair_run(layout.root).actions[0]
    assert words.endswith(
        "; nothing of the old one could be read: all metrics are gone, and what each example did; how the run ended "
        "is lost, too, so that it counts as interrupted"
    )
    run = check_whole(layout.root, list(range(0, 100, 10)))
    assert (run.metrics, run.status) == ([], "interrupted")
    (note,) = [note for note in check_run(layout.root).notes if note.kind == "interrupted"]
    assert note.words.endswith("counts as interrupted after step 90: how it ended was lost with its database")


@pytest.mark.parametrize(
    ("epochs", "images", "status"),
    [(3, 950, "finished"), (3, 960, "interrupted"), (4, 950, "interrupted"), ("3", 950, "interrupted")],
)
def test_a_last_batch_that_is_smaller_tells_that_the_training_was_complete(layout, epochs, images, status):
    config = {"epochs": epochs, "batch_size": 32}
    write_manifest(layout.manifest, replace(MANIFEST, description=Description(config=config)), durable=False)
    tally = {"losses": 30, "images": images}
    write_checkpoint(layout.root, {"weight": torch.zeros(3)}, {"step": 90, "tally": tally})
    layout.database.unlink()
    words = repair_run(layout.root).actions[0]
    assert ("by resume.safetensors the run is finished" in words) == (status == "finished")
    assert check_whole(layout.root, list(range(0, 100, 10))).status == status


def test_an_ending_that_only_the_note_tells_is_kept(layout):
    lock = WriterLock(layout.lock)
    lock.leave_note(Missing(((3, 3, 1),), "No space left"), {"status": "finished", "detail": "no room"})
    lock.release()
    layout.database.unlink()
    assert "interrupted" not in repair_run(layout.root).actions[0]
    run = cnnviz.open_run(layout.root)
    assert (run.status, run.detail) == ("finished", "no room")


def test_of_a_database_without_a_head_all_is_read(layout, flip):
    flip(layout.database, 0, 4096)
    old = layout.database.read_bytes()
    (action,) = repair_run(layout.root).actions
    assert action.endswith("20 values of metrics and the entries of 10 snapshots could be read")
    run = check_whole(layout.root, list(range(0, 100, 10)))
    assert run.metric("train/loss")[1].tolist() == [1 / (step + 1) for step in range(0, 100, 10)]
    assert run.metric("train/error")[1].tolist() != []
    assert run.status == "finished"
    assert Reader(layout.database).examples() == (passes(3), 90)
    assert (layout.damaged / "1" / "run.db").read_bytes() == old


def test_passes_over_the_examples_are_kept_up_to_the_damaged_one(layout):
    writer = Writer(layout.database, durable=False)
    writer.write(lambda t: t.examples({1: b"\xff"}, 90))
    writer.close()
    repair_run(layout.root)
    assert Reader(layout.database).examples() == ({0: passes(3)[0]}, 90)
    check_whole(layout.root, list(range(0, 100, 10)))


def test_the_log_of_a_writer_that_was_killed_is_read_too(tmp_path):
    alive, layout = Layout(tmp_path / "alive"), Layout(tmp_path / "r")
    writer = write(alive.root, range(0, 50, 10), close=False)
    shutil.copytree(alive.root, layout.root)  # as a kill leaves it: the newest lies in run.db-wal
    writer.close()
    layout.snapshot(10).unlink()
    data = bytearray(layout.database.read_bytes())
    layout.database.write_bytes(bytes(len(data)))
    repair_run(layout.root)
    run = check_whole(layout.root, [0, 20, 30, 40])
    assert (run.status, len(run.metric("train/loss")[0])) == ("interrupted", 5)


def test_a_living_writer_is_left_alone(tmp_path):
    writer = write(tmp_path / "r", range(0, 50, 10), close=False)
    with pytest.raises(RunError, match="is being written by another process"):
        repair_run(tmp_path / "r")
    writer.close()


def test_what_may_not_be_read_is_not_taken_for_damaged(layout, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != layout.snapshot(40))
    with pytest.raises(RunError, match=r"00000040.safetensors may not be read by this user"):
        repair_run(layout.root)
    assert not layout.damaged.exists()


def test_a_full_disk_is_told_and_the_rest_can_be_repaired_later(layout, monkeypatch):
    layout.snapshot(40).write_bytes(b"torn")
    layout.checkpoint.write_bytes(b"torn")

    def fail(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "move", fail)
        with pytest.raises(RunError, match=r"can't be repaired: .*No space left"):
            repair_run(layout.root)
    repair_run(layout.root)
    check_whole(layout.root, [step for step in range(0, 100, 10) if step != 40])


def test_snapshots_that_link_files_and_entries_that_are_put_back(layout, tmp_path):
    state = state_at(100)
    for name, tensor in state.items():
        write_tensors(tmp_path / f"{name}.st", {"x": tensor})
    writer = RunWriter(layout.root, resume=True)
    files = [tmp_path / f"{name}.st" for name in state]
    writer.link(100, {}, files, {name: (number, "x") for number, name in enumerate(state)})
    writer.close()
    reader = Reader(layout.database)
    steps = np.array([0, 50, 90, 100])
    before = reader.entries(steps)
    check_whole(layout.root, [*range(0, 100, 10), 100])
    change(layout.database, lambda transaction: transaction.drop(steps.tolist()))
    repair_run(layout.root)
    assert reader.entries(steps) == before
    files[0].write_bytes(files[0].read_bytes()[:-4] + b"abcd")  # in place: it is the same file
    assert [finding.kind for finding in check_run(layout.root).findings] == ["snapshot"]
    repair_run(layout.root)
    check_whole(layout.root, list(range(0, 100, 10)))
    assert files[0].exists()


def test_a_killed_run_gets_what_was_not_in_the_index_yet(tmp_path):
    layout = Layout(tmp_path / "r")
    write(layout.root, range(0, 50, 10))
    writer = Writer(layout.database, durable=False)
    writer.write(lambda t: t.state({"status": "running"}))
    writer.close()
    write_tensors(layout.snapshot(50), state_at(50))
    assert check_run(layout.root).ok
    repair_run(layout.root)
    assert check_whole(layout.root, [0, 10, 20, 30, 40, 50]).status == "interrupted"


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    path = tmp_path_factory.mktemp("template") / "r"
    write(path, range(0, 100, 10), codes=passes(3))
    write(path, range(100, 400, 10), resume=True)  # so that the database has some pages
    write_checkpoint(path, {"weight": torch.zeros(3)}, {"step": 90})
    return path


def truncate(path, chance):
    path.write_bytes(path.read_bytes()[: chance.randrange(path.stat().st_size)])


def overwrite(path, chance):
    data = bytearray(path.read_bytes())
    at = chance.randrange(len(data))
    data[at : at + chance.choice([1, 8, 500])] = chance.randbytes(chance.choice([1, 8, 500]))
    path.write_bytes(data)


def flip_bits(path, chance):
    data = bytearray(path.read_bytes())
    for _ in range(chance.choice([1, 5])):
        data[chance.randrange(len(data))] ^= 0x80 | chance.randrange(128)  # "format": 1 never becomes 9
    path.write_bytes(data)


def empty(path, chance):
    path.write_bytes(b"")


def remove(path, chance):
    path.unlink()


def link(path, chance):
    other = path.parent.parent.parent / f"other{chance.random()}"
    shutil.move(path, other)
    path.symlink_to(other)


def folder(path, chance):
    path.unlink()
    path.mkdir()


def leave_half(path, chance):
    path.with_name(path.name + ".tmp").write_bytes(b"half")


def leave_foreign(path, chance):
    path.with_name("foreign").write_bytes(b"foreign")


DAMAGES = [truncate, overwrite, flip_bits, empty, remove, link, folder, leave_half, leave_foreign]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.lists(st.sampled_from(DAMAGES), min_size=1, max_size=4))
def test_after_any_damage_a_repair_leaves_all_that_was_not_damaged(template, tmp_path_factory, seed, damages):
    layout = Layout(tmp_path_factory.mktemp("damaged") / "r")
    shutil.copytree(template, layout.root)
    chance = random.Random(seed)
    rare = [layout.database, layout.manifest, *layout.shared.iterdir()]
    for damage in damages:
        files = sorted(path for path in layout.root.rglob("*") if path.is_file() and not path.is_symlink())
        files = [path for path in files if path.stat().st_size]
        path = chance.choice(files if chance.random() < 0.5 else [p for p in rare if p in files] or files)
        damage(path, chance)
    untouched = [
        step
        for step in [*range(0, 100, 10), *range(100, 400, 10)]
        if all(
            part.is_file() and not part.is_symlink() and part.read_bytes() == original.read_bytes()
            for original, part in zip(files_of(Layout(template), step), files_of(layout, step), strict=True)
        )
    ]
    before = contents(layout.root)
    repair_run(layout.root)
    run = cnnviz.open_run(layout.root)
    assert set(untouched) <= set(run.steps.tolist())
    for step in untouched:
        check_state(run.at(step))
    report = check_run(layout.root)
    assert report.findings == ()
    assert {note.kind for note in report.notes} <= ALWAYS
    assert repair_run(layout.root).actions == ()
    before.pop(b"half", None)
    assert before <= contents(layout.root)


def files_of(layout, step):
    return [layout.snapshot(step), layout.part("shared/00000010.safetensors")]
