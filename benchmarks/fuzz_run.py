"""Damage runs in thousands of ways and look at them: what comes out are right values or errors that name the file.

    python benchmarks/fuzz_run.py                    10,000 cases, a table of what became of them
    python benchmarks/fuzz_run.py --case 1234        one case alone, in this process

The rule and the ways of damage are those of tests/recording/fuzzing.py and mutations.py. Cases are played in child
processes, with a bound on their memory and a watchdog, so that a crash or a hang is one failed case more.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "recording")]

HANGS = 60  # seconds, of a wall clock, for the thirty looks of one case on a busy machine
BYTES = 4 << 30
VERDICTS = ("unharmed", "other values", "refused", "WRONG")


def work(first: int, last: int) -> None:
    """Play the cases from `first` to before `last`, a line of JSON each."""
    import torch
    from fuzzing import Arena

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        arena = Arena(Path(folder))
        resource.setrlimit(resource.RLIMIT_AS, (BYTES, resource.RLIM_INFINITY))
        for seed in range(first, last):
            print(json.dumps({"begun": seed}), flush=True)
            faulthandler.dump_traceback_later(HANGS, exit=True)
            case = arena.play(seed)
            faulthandler.cancel_dump_traceback_later()
            print(json.dumps({"seed": seed, **case._asdict()}), flush=True)


def batch(first: int, last: int, found: list[dict[str, object]]) -> None:
    """Play a batch of cases in a child process, and those after one that killed it in another."""
    while first < last:
        command = [sys.executable, __file__, "--work", str(first), str(last)]
        child = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = [json.loads(line) for line in child.stdout.splitlines()]
        found += [line for line in lines if "seed" in line]
        if child.returncode == 0:
            return
        if not lines:
            raise SystemExit(f"no case could be played:\n{child.stderr}")
        seed = lines[-1].get("begun", lines[-1].get("seed"))
        reason = f"killed its process ({child.returncode}): {child.stderr[-2000:]}"
        found.append(
            {"seed": seed, "kind": kind_of(seed), "what": "?", "verdict": "WRONG", "wrongs": [reason]}
        )
        first = seed + 1


def kind_of(seed: int) -> str:
    from mutations import KINDS

    return list(KINDS)[seed % len(KINDS)]


def play_all(first: int, count: int, processes: int, size: int) -> list[dict[str, object]]:
    """Play `count` cases from `first` on in batches, several at once, telling how far it is."""
    starts = list(range(first, first + count, size))[::-1]
    found: list[dict[str, object]] = []
    begun = time.perf_counter()

    def run() -> None:
        while starts:
            start = starts.pop()
            batch(start, min(start + size, first + count), found)
            print(
                f"\r{len(found):,} of {count:,}, {time.perf_counter() - begun:.0f} s", end="", file=sys.stderr
            )

    threads = [threading.Thread(target=run) for _ in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(file=sys.stderr)
    return found


def report(found: list[dict[str, object]]) -> None:
    """Print the table of outcomes, and what is needed to play each failed case again."""
    counts = Counter((line["kind"], line["verdict"]) for line in found)
    kinds = sorted({kind for kind, _ in counts})
    print(f"{'':16}" + "".join(f"{verdict:>14}" for verdict in VERDICTS))
    for kind in kinds:
        print(f"{kind:16}" + "".join(f"{counts[kind, verdict]:14,}" for verdict in VERDICTS))
    print(f"{'all':16}" + "".join(f"{sum(counts[k, v] for k in kinds):14,}" for v in VERDICTS))
    for line in sorted((line for line in found if line["verdict"] == "WRONG"), key=lambda line: line["seed"]):
        print(f"\n--case {line['seed']}: {line['kind']}, {str(line['what'])[:300]}")
        for wrong in line["wrongs"]:
            print(f"    {wrong[:2000]}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="the number of the first case")
    parser.add_argument("--case", type=int, help="play this case alone")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--batch", type=int, default=250, help="cases in one child process")
    parser.add_argument("--work", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(*options.work)
        return 0
    if options.case is not None:
        work(options.case, options.case + 1)
        return 0
    found = play_all(options.seed, options.cases, options.processes, options.batch)
    report(found)
    return 1 if any(line["verdict"] == "WRONG" for line in found) else 0


if __name__ == "__main__":
    sys.exit(main())
