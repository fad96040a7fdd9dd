"""A run of 1,000 snapshots packed into an archive: its size, what packing costs, and what reading costs from it.

Asked: at most 0.45 of the raw size. Beside it the run's own folder, and a plain Zarr array with blosc's byte-shuffle
and zstd, chunks of 64 steps, time first as it comes: what is gained by putting time last, and by the prediction.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

import cnnviz
from cnnviz.archive import open_archive, pack
from cnnviz.archive.opening import archive_bytes
from reading import median_ms
from thousand import record_every_step

if TYPE_CHECKING:
    from cnnviz.recording.store import Store

LARGE, SMALL = "fc1.weight", "conv1.weight"


def seconds(action) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def plain_share(run: cnnviz.Run, time_last: bool) -> float:
    """Return the size of the large layer, compressed without a prediction, as a share of its raw size."""
    from numcodecs.blosc import SHUFFLE, Blosc

    codec, raw, packed = Blosc("zstd", 3, SHUFFLE), 0, 0
    for start in range(0, len(run), 256):
        steps = run.steps[start : start + 64]
        block = run.store.stacked(steps, [LARGE])[LARGE].reshape(len(steps), -1)[:, :16384].numpy()
        raw += block.nbytes
        packed += len(codec.encode(np.ascontiguousarray(block.T if time_last else block)))
    return packed / raw


def reading_rows(store: Store, steps: list[int]) -> list[float]:
    """Return the milliseconds of: the large layer at one step far away, and beside; the small one at all steps."""
    far = itertools.cycle(steps[::97] + steps[13::89])
    near = itertools.cycle(steps[500:520])
    everywhere = np.array(steps)
    return [
        median_ms(lambda: store.tensors(next(far), [LARGE]), 11),
        median_ms(lambda: store.tensors(next(near), [LARGE]), 11),
        median_ms(lambda: store.stacked(everywhere, [SMALL]), 11),
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=Path, help="a recorded run; by default one is made")
    folder = Path(tempfile.mkdtemp())
    path = parser.parse_args().run or folder / "thousand"
    run = cnnviz.open_run(path) if path.exists() else record_every_step(path)
    torch.set_num_threads(1)
    count = len(run)
    raw = count * sum(tensor.nbytes for tensor in run.last.state.values())
    plain = seconds(lambda: pack(run, folder / "plain.zarr", verify=False))
    checked = seconds(lambda: pack(run, folder / "packed.zarr"))
    files = sum(1 for file in (folder / "packed.zarr").rglob("*") if file.is_file())
    print(f"{count} snapshots, {raw / 1e6:.0f} MB, in {files} files")
    print(f"{archive_bytes(folder / 'packed.zarr') / raw:.3f} of the raw size (asked: 0.45)")
    print(
        f"{plain_share(run, True):.3f} without the prediction, {plain_share(run, False):.3f} with time first, too"
    )
    print(f"{plain / count * 1e3:.1f} ms a step to pack, {checked / count * 1e3:.1f} ms with verifying\n")
    archive = open_archive(folder / "packed.zarr")
    names = (f"{LARGE} at one step", f"{LARGE} at the step beside", f"{SMALL} at {count} steps")
    steps = run.steps.tolist()
    print(f"{'what':32} {'archive':>11} {'folder':>11}")
    for name, ours, theirs in zip(
        names, reading_rows(archive, steps), reading_rows(run.store, steps), strict=True
    ):
        print(f"{name:32} {ours:8.1f} ms {theirs:8.1f} ms")


if __name__ == "__main__":
    main()
