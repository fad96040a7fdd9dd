"""What it costs to record what each training example did, as a share of a training of the ConvNet on MNIST.

    python benchmarks/examples.py --data-root DATA      a torchvision root that holds MNIST

Asked: at most 1 % of the training, and a byte an example an epoch on the disk.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

from cnnviz import Recorder, TrainConfig, fit


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-root", type=Path, required=True, help="torchvision root that holds MNIST")
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    record_examples = Recorder.record_examples
    spent = 0.0

    def timed(self: Recorder, *arguments: Any) -> None:
        nonlocal spent
        started = time.perf_counter()
        record_examples(self, *arguments)
        spent += time.perf_counter() - started

    config = TrainConfig(data="mnist", data_root=str(options.data_root), epochs=options.epochs, device="cpu")
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(Recorder, "record_examples", timed):
        run = fit(config, Path(folder) / "run")
        seconds = float(run.metric("seconds")[1][-1])
        with closing(sqlite3.connect(Path(folder) / "run" / "run.db")) as database:
            (stored,) = database.execute("SELECT sum(length(codes)) FROM examples").fetchone()
        visits = int((run.examples.correct >= 0).sum())
    print(f"{'':28}{'measured':>12}{'asked':>10}")
    print(f"{'share of the training':28}{spent / seconds:>12.2%}{1.0:>9.0f}%")
    print(f"{'bytes an example and epoch':28}{stored / visits:>12.3f}{1.0:>10.0f}")
    print(f"({spent:.3f} s of {seconds:.1f} s, {visits:,} visits)")


if __name__ == "__main__":
    main()
