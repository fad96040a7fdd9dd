"""Reading a run at full speed while it is written: no poll may see a wrong value, or part of one.

Every snapshot's weights and metrics hold their step, so that right can be told from wrong. Asked: 1,000 polls without
one wrong value; each way of writing gets as many.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import cnnviz
from cnnviz.errors import StepError

if TYPE_CHECKING:
    import torch

WAYS = {"every tensor changes": "every(1)", "a frozen layer": "every(1)", "thinned out": "within(20_000_000)"}
WRITER = """
import sys
import time
import torch
from torch import nn
import cnnviz
torch.set_num_threads(1)
model = nn.Sequential(nn.Linear(300, 40), nn.Linear(40, 30))
frozen = sys.argv[2] == "a frozen layer"
model[0].weight.data.fill_(0)
with cnnviz.Recorder(sys.argv[1], model, snapshots=cnnviz.{schedule}) as recorder:
    for step in range(10**9):
        with torch.no_grad():
            for parameter in model[1:].parameters() if frozen else model.parameters():
                parameter.fill_(step % 1000)
        recorder.record(step, {{"a": step, "b": -step}})
        time.sleep(0.001)  # else a poll reads ever more rows, and there are fewer polls at the beginning
"""


def right(state: dict[str, torch.Tensor], step: int, *, frozen: bool) -> bool:
    return len(state) == 4 and all(
        bool((tensor == (0 if frozen and name == "0.weight" else step % 1000)).all())
        for name, tensor in state.items()
        if not (frozen and name == "0.bias")
    )


def poll(run: cnnviz.Run, rng: random.Random, *, frozen: bool) -> list[str]:
    """Look at the run as a dashboard does; return what is wrong."""
    steps = run.steps.tolist()
    if not steps:
        return []
    found = [] if steps == sorted(set(steps)) else ["steps do not rise"]
    for step in {steps[0], steps[-1], rng.choice(steps)}:
        with suppress(StepError):  # it was thinned out between the two looks, and that is said
            if not right(run.at(step).state.read(), step, frozen=frozen):
                found.append(f"wrong weights at step {step}")
    some = run[-20:]
    with suppress(StepError):
        series = some.series("1.bias")[:, 0].tolist()
        if series != [step % 1000 for step in some.steps.tolist()]:
            found.append(f"a wrong series: {series}")
    for name, sign in (("a", 1), ("b", -1)):
        at, values = run.metric(name)
        if at.tolist() != list(range(len(at))) or (values != sign * at).any() or at[-1] < steps[-1]:
            found.append(f"wrong values of metric {name}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--polls", type=int, default=1000)
    polls = parser.parse_args().polls
    failed = 0
    print(f"{'':24}{'polls':>8}{'faults':>8}{'snapshots at the end':>24}{'steps meanwhile':>18}")
    for way, schedule in WAYS.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "run"
            code = WRITER.format(schedule=schedule)
            writer = subprocess.Popen([sys.executable, "-c", code, str(path), way])
            while not (path / "run.json").exists():
                time.sleep(0.01)
            run, rng, faults = cnnviz.open_run(path), random.Random(0), []
            for number in range(polls):
                # Half of the looks are those of one that just opened the run.
                looked = run if number % 2 else cnnviz.open_run(path)
                try:
                    faults += poll(looked, rng, frozen=way == "a frozen layer")
                except Exception as error:  # any is a fault here
                    faults.append(repr(error))
            alive = writer.poll() is None
            writer.kill()
            writer.wait()
            faults += [] if alive else ["the writer died"]
            last = run.metric("a")[0][-1]
            print(f"{way:24}{polls:8,}{len(faults):8,}{len(run):24,}{last:18,}")
            for fault in faults[:5]:
                print(f"    {fault}")
            failed += len(faults)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
