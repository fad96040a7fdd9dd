"""What importing costs: checkpoints of ResNet-18 in files of torch.save, beside torch.load and writing them again.

Asked: no slower than torch.load plus writing. The number of files may be given; each is 45 MB, and lies there twice.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from cnnviz.importing import ImportOptions, import_checkpoints
from cnnviz.models import build

FILES = 100
ROUNDS = 3


def make_files(folder: Path, count: int) -> list[Path]:
    """Save as many states, all different, as a training script would."""
    folder.mkdir()
    network = build("resnet18", channels=3, classes=1000, image_size=224)
    paths = []
    for step in range(count):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(1e-3)
        paths.append(folder / f"step_{step}.pt")
        torch.save({"state_dict": network.state_dict(), "global_step": step}, paths[-1])
    return paths


def timed(work) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def load_and_write(paths: list[Path], into: Path) -> None:
    into.mkdir()
    for path in paths:
        state = torch.load(path, weights_only=True)["state_dict"]
        save_file(state, into / f"{path.stem}.safetensors")


def load_and_save(paths: list[Path], into: Path) -> None:
    into.mkdir()
    for path in paths:
        torch.save(torch.load(path, weights_only=True)["state_dict"], into / path.name)


def main() -> None:
    torch.set_num_threads(1)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else FILES
    folder = Path(tempfile.mkdtemp())
    try:
        paths = make_files(folder / "saved", count)
        out = folder / "out"
        works = {
            "import, weights and names": lambda: import_checkpoints(paths, out),
            "import, --model resnet18": lambda: import_checkpoints(
                paths, out, model="resnet18", options=ImportOptions(image_size=224)
            ),
            "torch.load and safetensors' save_file": lambda: load_and_write(paths, out),
            "torch.load and torch.save": lambda: load_and_save(paths, out),
        }
        seconds: dict[str, list[float]] = {name: [] for name in works}
        import_checkpoints(paths[:1], out)  # warms up
        shutil.rmtree(out)
        for _ in range(ROUNDS):  # in turn, as the machine's speed drifts
            for name, work in works.items():
                seconds[name].append(timed(work))
                shutil.rmtree(out)
        print(f"{f'{count} files of ResNet-18':40} {'median':>8} {'best':>8}")
        for name, values in seconds.items():
            print(f"{name:40} {statistics.median(values):6.2f} s {min(values):6.2f} s")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
