"""Plots of runs some of whose snapshots are damaged: those are left out, and that is said."""

import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest
import torch
from torch import nn

import cnnviz
from cnnviz import plots
from cnnviz.errors import DamageWarning, LayerError, SnapshotError, StepError
from cnnviz.plots.readable import from_what_can_be_read
from cnnviz.recording import snapshot_files


def damage(path, *steps, folder="snapshots"):
    for step in steps:
        (path / folder / f"{step:08d}.safetensors").write_bytes(b"\xff" * 100)


@pytest.fixture
def copy(run_path, tmp_path):
    """A run with snapshots at 0, 4, 8, 12, to be damaged."""
    shutil.copytree(run_path, tmp_path / "r")
    return tmp_path / "r"


@pytest.mark.parametrize("steps", [(4,), (0,), (12,), (0, 8), (0, 4, 12)])
@pytest.mark.parametrize("plot", [plots.filters, plots.feature_maps, plots.probabilities])
def test_the_others_are_drawn_as_ever(plot, steps, copy):
    whole = plot(cnnviz.open_run(copy))
    damage(copy, *steps)
    run = cnnviz.open_run(copy)
    with pytest.warns(DamageWarning, match=r"left out, as damaged: cnnviz check .*r says more") as warned:
        film = plot(run)
    assert len(warned) == 1
    kept = [step for step in (0, 4, 8, 12) if step not in steps]
    assert film.steps.tolist() == kept
    assert film.left_out == steps
    for step in kept:
        for panel, expected in zip(film.at(step).panels, whole.at(step).panels, strict=True):
            field = panel.step_field or "pixels"
            assert np.allclose(getattr(panel, field), getattr(expected, field), atol=1e-6)


def test_which_it_was_is_said(copy):
    damage(copy, 4)
    with pytest.warns(DamageWarning, match=r"the snapshot at step 4 is left out"):
        plots.filters(cnnviz.open_run(copy))
    damage(copy, 8)
    with pytest.warns(DamageWarning, match=r"the snapshots at steps 4, 8 are left out"):
        plots.filters(cnnviz.open_run(copy))


def test_nothing_is_left(copy):
    damage(copy, 0, 4, 8, 12)
    run = cnnviz.open_run(copy)
    with pytest.raises(SnapshotError, match=r"\.safetensors can't be read") as error:
        plots.filters(run)
    assert error.value.steps == (0, 4, 8, 12)
    with pytest.raises(SnapshotError, match=r"00000000\.safetensors .*; nor can 3 more") as error:
        run.series("conv1.weight")
    assert error.value.steps == (0, 4, 8, 12)
    with pytest.raises(SnapshotError, match=r"00000004\.safetensors can't be read"):
        plots.filters(run.at(4))


def test_a_shared_file_costs_those_that_share_it(tmp_path):
    model = nn.Sequential(nn.Conv2d(8, 16, 3), nn.Conv2d(16, 1, 1))
    with cnnviz.Recorder(tmp_path / "r", model, snapshots=cnnviz.every(1)) as recorder:
        for step in range(6):
            if step == 4:
                model[0].weight.data += 1
            model[1].weight.data += 1
            recorder.record(step)
    run = cnnviz.open_run(tmp_path / "r")
    whole = plots.filters(run, layer="0")
    damage(tmp_path / "r", 1, folder="shared")
    with pytest.warns(DamageWarning):
        film = plots.filters(run, layer="0")
    assert film.left_out == (0, 1, 2, 3)
    assert np.array_equal(film.at(5).panels[0].cells, whole.at(5).panels[0].cells)
    assert plots.filters(run, layer="1").left_out == ()  # whose weights lie elsewhere


def test_what_can_be_chosen_is_found_in_others(copy):
    choices = plots.filters.settle(cnnviz.open_run(copy), {})
    damage(copy, 0)
    assert plots.filters.settle(cnnviz.open_run(copy), {}) == choices == {"layer": "conv1", "channel": "0"}


def test_snapshots_that_only_the_index_has_are_not_tried_one_by_one(copy, monkeypatch):
    with closing(sqlite3.connect(copy / "run.db")) as database, database:
        rows = [(step, 1, "0" * 32) for step in range(100, 3100)]
        database.executemany("INSERT INTO snapshots VALUES (?, ?, ?)", rows)
    tried = []
    opened = snapshot_files.opened
    monkeypatch.setattr(
        snapshot_files, "opened", lambda path, *more: (tried.append(path), opened(path, *more))[1]
    )
    with pytest.warns(DamageWarning, match="2995 more are left out"):
        film = plots.probabilities(cnnviz.open_run(copy))
    assert film.steps.tolist() == [0, 4, 8, 12]
    assert film.left_out == tuple(range(100, 3100))
    assert len(tried) < 100


def test_other_errors_are_told_as_ever(copy):
    damage(copy, 4)
    with pytest.raises(LayerError, match="'nope' is not in the network"):
        plots.filters(cnnviz.open_run(copy), layer="nope")


def test_snapshots_that_are_thinned_out_meanwhile(tmp_path):
    model = nn.Sequential(nn.Conv2d(1, 64, 5))
    schedule = cnnviz.within("400 kB", cnnviz.every(1))
    with cnnviz.Recorder(tmp_path / "r", model, snapshots=schedule) as recorder:
        recorder.record(0)
        run = cnnviz.open_run(tmp_path / "r")
        held = None
        for step in range(1, 60):
            with torch.no_grad():
                model[0].weight.fill_(step)
            recorder.record(step)
            held = run[:] if step == 12 else held
    left = sorted(set(held.steps.tolist()) & set(run.steps.tolist()))
    assert 0 < len(left) < 13
    film, damaged = from_what_can_be_read(held, plots.filters.function)
    assert film.steps.tolist() == left
    assert damaged == ()
    assert film.at(left[-1]).panels[0].cells[3, 0, 0] == left[-1]
    with pytest.raises(StepError, match="thinned out"):
        held.series("0.weight")
