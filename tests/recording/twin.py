"""A dictionary beside a run: what was written, to compare with what is read."""

import contextlib
import hashlib
import os
import shutil

import torch
from torch import nn

import cnnviz
from cnnviz.recording.describing import make_manifest
from cnnviz.recording.layout import Layout
from cnnviz.recording.manifest import Description
from cnnviz.recording.writer import RunWriter


def begin(path, **options):
    """Return a writer of a new run, of which nothing is known but that it is one."""
    writer = RunWriter(path, **options)
    writer.describe(make_manifest(nn.Linear(1, 1), None, Description()), None)
    return writer


def bits(tensor):
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(bits(a), bits(b))


def same_states(a, b):
    return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)


def content(state):
    """Return what is the same for equal states only."""
    known = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name]
        known.update(
            f"{name!r} {tensor.dtype} {tuple(tensor.shape)}".encode() + bits(tensor).numpy().tobytes()
        )
    return known.hexdigest()


def copied(state):
    return {name: tensor.clone() for name, tensor in state.items()}


def check_states(path, states):
    """Check that the run holds just these states, step to state, to the bit, whatever way they are read."""
    run = cnnviz.open_run(path)
    assert run.steps.tolist() == sorted(states)
    check_these(run, states)


def check_these(run, states):
    """Check the states of the run's snapshots, which must be among `states`; equal states have equal digests."""
    digests = {}
    for snapshot in run:
        expected = states[snapshot.step]
        assert same_states(snapshot.state.read(), expected), snapshot.step
        assert set(snapshot.state) == set(expected)
        for name in expected:
            assert same(snapshot.state[name], expected[name]), (snapshot.step, name)
        digests[snapshot.step] = snapshot.digest
    pairs = {(digest, content(states[step])) for step, digest in digests.items()}
    assert len(pairs) == len({digest for digest, _ in pairs}) == len({known for _, known in pairs})
    for name in set().union(*(states[step] for step in digests)) if digests else ():
        steps = [step for step in digests if name in states[step]]
        kinds = {(states[step][name].dtype, states[step][name].shape) for step in steps}
        if len(steps) == len(digests) and len(kinds) == 1:
            stacked = run.series(name)
            assert all(same(row, states[step][name]) for row, step in zip(stacked, steps, strict=True))


def check_no_leftovers(path):
    """Check that the folder holds nothing that its index does not need."""
    layout = Layout(path)
    run = cnnviz.open_run(path)
    assert [file.name for file in path.rglob("*.tmp")] == []
    assert {layout.snapshot(int(step)).name for step in run.steps} == {
        f.name for f in layout.snapshots.iterdir()
    }
    needed = set()
    for step in run.steps.tolist():
        needed |= {part for part, _ in run.store._files.places(step).values()}
    parts = [f for folder in (layout.shared, layout.linked) if folder.exists() for f in folder.iterdir()]
    assert {str(f.relative_to(path)) for f in parts} == needed


def folder_bytes(path):
    """Return the bytes of all files in a folder, each once."""
    return sum(file.lstat().st_size for file in path.rglob("*") if not file.is_dir())


def disk_bytes(path):
    """Return what du says of a folder: blocks, with those of the folders."""
    return sum(p.lstat().st_blocks * 512 for p in [path, *path.rglob("*")])


class Killed(BaseException):
    """Stands for kill -9: nothing of ours may catch it."""


class Bomb:
    """Raises at the n-th moment at which something was or will be written, or deleted."""

    def __init__(self, at, error=Killed, times=1):
        self.at, self.error, self.times = at, error, times
        self.moments = 0

    @property
    def went_off(self):
        return self.moments >= self.at

    def tick(self, what):
        self.moments += 1
        if self.at <= self.moments < self.at + self.times:
            raise self.error(what)

    def plant(self, monkeypatch):
        """Put it into whatever changes a run's folder."""
        from pathlib import Path

        from cnnviz.recording import manifest, snapshot_writer
        from cnnviz.recording.database import Writer

        write_whole, write, unlink = snapshot_writer.write_whole, Writer.write, Path.unlink

        def half_written(path, parts, *, durable):
            parts = list(parts)
            self.tick(f"before {path.name}")
            half = path.with_name(path.name + ".tmp")
            half.write_bytes(bytes(parts[0])[: len(parts[0]) // 2])
            try:
                self.tick(f"within {path.name}")
            except OSError:
                unlink(half)  # as the real one does
                raise
            write_whole(path, parts, durable=durable)
            if self.error is Killed:  # no error comes once a file is there
                self.tick(f"behind {path.name}")

        def commit(writer, fill):
            self.tick("before a commit")
            write(writer, fill)
            if self.error is Killed:
                self.tick("behind a commit")

        def remove(path, missing_ok=False):
            if path.suffix == ".tmp":
                return unlink(path, missing_ok)
            self.tick(f"before {path.name} goes")
            unlink(path, missing_ok)
            if self.error is Killed:
                self.tick(f"behind {path.name} went")
            return None

        monkeypatch.setattr(snapshot_writer, "write_whole", half_written)
        monkeypatch.setattr(manifest, "write_whole", half_written)
        monkeypatch.setattr(Writer, "write", commit)
        monkeypatch.setattr(Path, "unlink", remove)


def as_killed(writer, path, copy):
    """Copy the folder as it is now, with nobody writing it, and let the writer go."""
    shutil.copytree(path, copy)
    with contextlib.suppress(OSError):
        os.close(writer._lock._handle)
    writer._database._disconnect()
    return copy
