"""Distributed training: torchrun starts two real processes, of which rank 0 records."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import cnnviz

SCRIPT = Path(__file__).parent / "two_processes.py"
NAMES = ["plain", "compiled", "slow"]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("two_processes", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*torchrun, str(SCRIPT), str(folder)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def results(folder):
    return [torch.load(folder / f"results{rank}.pt", weights_only=True) for rank in (0, 1)]


def test_only_rank_0_writes(folder):
    names = {path.name for path in folder.iterdir()}
    assert names == {"plain0", "compiled0", "slow0", "results0.pt", "results1.pt"}


@pytest.mark.parametrize("name", NAMES)
def test_the_run_is_that_of_the_bare_network(name, folder, results, script):
    run = cnnviz.open_run(folder / f"{name}0", model=script.net)
    assert run.status == "finished"
    assert run.steps.tolist() == [0, 4]
    assert run.metric("train/loss")[0].tolist() == [1, 2, 3, 4]
    assert run.manifest.class_name == "Sequential"
    assert [layer.name for layer in run.layers] == ["0", "1", "2", "3", "4"]
    for snapshot in run:
        states = [ranks[name]["states"][snapshot.step] for ranks in results]
        prefix = "_orig_mod.module." if name == "compiled" else "module."
        assert {prefix + key for key in snapshot.state} == set(states[0])
        for key, value in snapshot.state.items():
            assert torch.equal(value, states[0][prefix + key])  # to the bit
            if "running" not in key:  # each rank has its own statistics of its own batches
                assert torch.equal(value, states[1][prefix + key])
    assert not torch.equal(run.first.state["0.weight"], run.last.state["0.weight"])
    assert run.last.model()(torch.zeros(1, 1, 8, 8)).shape == (1, 3)


def test_no_rank_waits_for_a_slow_disk(results, script):
    slow = [ranks["slow"] for ranks in results]
    assert slow[0]["close"] > script.SLOW_SECONDS  # the disk was slow, and the end of the run waited for it
    assert slow[1]["close"] < script.SLOW_SECONDS
    for rank in slow:  # one snapshot on the way to the disk, while four steps, each with all ranks, were made
        assert rank["loop"] < script.SLOW_SECONDS
