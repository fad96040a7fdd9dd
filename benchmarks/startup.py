"""How long the command and the import take. Asked: `cnnviz --help` 0.35 s, `import cnnviz` 0.15 s without torch."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path


def median_seconds(command: list[str], rounds: int = 11) -> float:
    """Return the median seconds of `command` as a whole process, the first time left out."""
    times = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - begun)
    return statistics.median(times[1:])


def main() -> None:
    python = sys.executable
    command = str(Path(python).parent / "cnnviz")
    bare = median_seconds([python, "-c", "pass"])
    imported = median_seconds([python, "-c", "import cnnviz"])
    torch = median_seconds([python, "-c", "import torch"], 3)
    rows = [
        ("python -c pass", bare, ""),
        ("python -c 'import cnnviz'", imported, "0.15 s"),
        ("cnnviz --help", median_seconds([command, "--help"]), "0.35 s"),
        ("python -c 'import torch'", torch, ""),
    ]
    print(f"{'process':30} {'median':>8}   asked")
    for name, seconds, asked in rows:
        print(f"{name:30} {seconds:6.3f} s   {asked}")


if __name__ == "__main__":
    main()
