"""kill -9 at random moments of trainings that snapshot every step: nothing that was acknowledged is lost or wrong.

    python benchmarks/kill.py                200 kills, and a table
    python benchmarks/kill.py --kills 20     fewer

Trainings by `cnnviz train` are killed, at any moment from just before there is a run to their end, and resumed until
they end, so that kills fall into resumed ones, too. After each kill the run must open and say that it was interrupted;
it must hold every step that `record` returned for, each with the weights, to the bit, and the metrics of the same
training that nobody killed; and `cnnviz check` must find nothing wrong. At its end it must be as if it had never been
killed.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import torch

import cnnviz
import cnnviz.cli
from cnnviz.checking.check import check_run
from cnnviz.recording.digest import state_digest, tensor_digest
from cnnviz.recording.layout import is_run
from cnnviz.recording.recorder import Recorder
from cnnviz.training import loop

DATA = ("--data", "kill:images")
OPTIONS = (
    *("--every", "1", "--batch-size", "10", "--epochs", "3", "--lr", "0.01"),
    *("--device", "cpu", "--quiet"),
)
# Often, so that resumed trainings begin at a checkpoint as well as at the beginning.
CHECKPOINT_SECONDS = 0.2
# After so many a training is left to end.
KILLS_EACH = 4
METRICS = ("train/loss", "train/error", "validation/loss", "validation/error")


def images() -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
    """Return a training and a validation set that are small, so that a training is short."""
    generator = torch.Generator().manual_seed(0)
    return tuple(
        (
            torch.randint(0, 256, (count, 1, 28, 28), dtype=torch.uint8, generator=generator),
            torch.randint(0, 10, (count,), generator=generator),
        )
        for count in (300, 50)
    )


class Twin(NamedTuple):
    """What the training that nobody killed came to: by step, the digest of its weights and its metrics."""

    digests: dict[int, str]
    metrics: dict[int, tuple[float, ...]]


def digests_of(snapshot: cnnviz.Snapshot) -> dict[str, bytes]:
    return {name: tensor_digest(tensor) for name, tensor in snapshot.state.read().items()}


def known(run: cnnviz.Run) -> Twin:
    """Return what a run holds, read from the weights themselves, not from the index."""
    digests = {snapshot.step: state_digest(digests_of(snapshot)) for snapshot in run}
    series = [dict(zip(*map(list, run.metric(name)), strict=True)) for name in METRICS if name in run.metrics]
    steps = series[0] if len(series) == len(METRICS) else {}
    return Twin(digests, {int(step): tuple(values[step] for values in series) for step in steps})


def train(root: Path, name: str, *, resume: bool) -> tuple[int, int]:
    """Begin a training, or go on with it, in a process of its own.

    Returns:
        The process, and the pipe into which it writes each step that is recorded.
    """
    reading, writing = os.pipe()
    process = os.fork()
    if process:
        os.close(writing)
        return process, reading
    record = Recorder.record

    def acknowledging(self: Recorder, step: int, *arguments: object, **keywords: object) -> None:
        record(self, step, *arguments, **keywords)
        os.write(writing, f"{step}\n".encode())

    Recorder.record = acknowledging
    loop._CHECKPOINT_SECONDS = CHECKPOINT_SECONDS
    where = ("--root", str(root), "--name", name)
    sys.argv = ["cnnviz", "train", *where, *DATA, *(("--resume", "--quiet") if resume else OPTIONS)]
    torch.set_num_threads(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        cnnviz.cli.main()
        os._exit(0)
    except SystemExit as end:
        os._exit(end.code if isinstance(end.code, int) else 1)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(70)


def until_end(process: int, pipe: int, seconds: float) -> tuple[int | None, set[int]]:
    """Wait for the end of a process, but kill it after so many seconds.

    Returns:
        Its exit code, None if it was killed; and the steps that it acknowledged.
    """
    ends = time.perf_counter() + seconds
    code = None
    while code is None and time.perf_counter() < ends:
        found, status = os.waitpid(process, os.WNOHANG)
        code = os.waitstatus_to_exitcode(status) if found else None
        time.sleep(0.0005)
    if code is None:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    with os.fdopen(pipe) as lines:
        return code, {int(line) for line in lines}


def faults(path: Path, acknowledged: set[int], twin: Twin) -> list[str]:
    """Return what is wrong with a run whose training was just killed."""
    if not is_run(path):
        return [f"not a run, after step {max(acknowledged)}"] if acknowledged else []
    try:
        run = cnnviz.open_run(path)
        now, status, report = known(run), run.status, check_run(path)
    except Exception as error:
        return [f"it does not open: {error!r}"]
    # Between its end and that of its process there is a moment, too.
    ended = status == "finished" and now == twin
    found = [] if status == "interrupted" or ended else [f"its status is {status}"]
    found += [finding.words for finding in report.findings]
    for step in sorted(acknowledged - now.digests.keys()):
        found.append(f"step {step} was acknowledged, and is not there")
    for step, digest in now.digests.items():
        if digest != twin.digests[step]:
            found.append(f"step {step} has other weights")
    wanted = acknowledged & twin.metrics.keys()
    found += [f"step {step} has no metrics" for step in sorted(wanted - now.metrics.keys())]
    found += [f"step {s} has other metrics" for s in sorted(now.metrics) if now.metrics[s] != twin.metrics[s]]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        started = time.perf_counter()
        process = train(root, "whole", resume=False)
        while not is_run(root / "whole"):
            time.sleep(0.001)
        begins = time.perf_counter() - started  # before that there is nothing to lose
        code, _ = until_end(*process, seconds=600)
        whole = time.perf_counter() - started
        if code != 0:
            return 1
        twin = known(cnnviz.open_run(root / "whole"))
        print(f"a whole training: {len(twin.digests)} steps, {whole:.1f} s")
        while counts["kills"] < options.kills:
            counts["trainings"] += 1
            path = root / f"run{counts['trainings']}"
            acknowledged: set[int] = set()
            kills = 0
            while True:
                resume = is_run(path)
                # A resumed training is shorter, by what it need not do again: it may end before it is killed.
                seconds = rng.uniform(0.9 * begins, whole) if kills < KILLS_EACH else 600
                code, steps = until_end(*train(root, path.name, resume=resume), seconds)
                acknowledged |= steps
                if code is not None:
                    break
                kills += 1
                counts["kills"] += 1
                counts["kills of a resumed training"] += resume
                counts["kills before it was a run"] += not is_run(path)
                counts["acknowledged steps, looked at after each kill"] += len(acknowledged)
                bad = faults(path, acknowledged, twin)
                wrong += [f"{path.name}, kill {counts['kills']}: {fault}" for fault in bad]
                for fault in wrong[len(wrong) - len(bad) :]:
                    print(f"\n{fault}", file=sys.stderr)
                print(f"\r{counts['kills']} of {options.kills}, {len(wrong)} faults", end="", file=sys.stderr)
            run = cnnviz.open_run(path) if is_run(path) else None
            if code != 0 or run is None or run.status != "finished" or known(run) != twin:
                wrong.append(f"{path.name}: it could not be resumed to the same end (exit code {code})")
                print(f"\n{wrong[-1]}", file=sys.stderr)
    print(file=sys.stderr)
    for what, count in counts.items():
        print(f"{count:8,}  {what}")
    print(f"{len(wrong):8,}  faults")
    for line in wrong[:50]:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
