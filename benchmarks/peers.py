"""What recording costs a training, beside what others record: overhead, bytes a snapshot, and what can be had back.

Asked: at every 100 steps at most 1 % of the bare loop, for the convnet and for ResNet-18 at 64x64; at every step at
most 10 % (convnet). Those that are not installed are left out: `pip install tensorboard wandb aim trackio`.

For each, the training is run in turn with the bare loop, several times; the overhead is what the recorder's calls
took, as a share of the bare loop, and beside it what the whole loop took more, which also sees what goes on in other
threads and processes, but is as noisy as the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

import cnnviz
from cnnviz.models import build

Record = Callable[[int, torch.Tensor], None]


@dataclass(frozen=True)
class Peer:
    """A way to record.

    Attributes:
        name: What it is called.
        begin: A context manager over (folder, model, steps between records) that gives the function to call.
        exact: Whether the weights can be had back exactly.
        needs: The module that must be installed.
    """

    name: str
    begin: Callable[..., contextlib.AbstractContextManager[Record]]
    exact: str
    needs: str = "torch"


@contextmanager
def bare(folder: Path, model: nn.Module, every: int) -> Iterator[Record]:
    yield lambda step, loss: None


@contextmanager
def ours(folder: Path, model: nn.Module, every: int) -> Iterator[Record]:
    with cnnviz.Recorder(folder / "run", model, snapshots=cnnviz.every(every)) as recorder:
        yield lambda step, loss: recorder.record(step, {"loss": loss})


@contextmanager
def torch_save(folder: Path, model: nn.Module, every: int) -> Iterator[Record]:
    losses = []

    def record(step: int, loss: torch.Tensor) -> None:
        losses.append((step, float(loss)))
        torch.save(model.state_dict(), folder / f"{step:08d}.pt")

    yield record


@contextmanager
def tensorboard(folder: Path, model: nn.Module, every: int) -> Iterator[Record]:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:

        def record(step: int, loss: torch.Tensor) -> None:
            writer.add_scalar("loss", float(loss), step)
            for name, parameter in model.named_parameters():
                writer.add_histogram(name, parameter, step)
                if parameter.grad is not None:
                    writer.add_histogram(f"{name}.grad", parameter.grad, step)

        yield record


@contextmanager
def wandb_watch(folder: Path, model: nn.Module, every: int) -> Iterator[Record]:
    import wandb

    os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_CONSOLE": "off"}
    run = wandb.init(project="peers", dir=str(folder))
    run.watch(model, log="all", log_freq=every)
    try:
        yield lambda step, loss: run.log({"loss": float(loss)}, step=step)
    finally:
        run.finish()


@contextmanager
def aim(folder: Path, model: nn.Module, every: int) -> Iterator[Record]:
    from aim import Distribution, Run

    run = Run(repo=str(folder), system_tracking_interval=None, log_system_params=False)

    def record(step: int, loss: torch.Tensor) -> None:
        run.track(float(loss), name="loss", step=step)
        for name, parameter in model.named_parameters():
            run.track(Distribution(parameter.detach().flatten().numpy()), name=name, step=step)

    try:
        yield record
    finally:
        run.close()


PEERS = (
    Peer("cnnviz", ours, "yes"),
    Peer("torch.save", torch_save, "yes"),
    Peer("TensorBoard, histograms", tensorboard, "no", "tensorboard"),
    Peer('W&B offline, watch(log="all")', wandb_watch, "no", "wandb"),
    Peer("Aim, distributions", aim, "no", "aim"),
)


@dataclass(frozen=True)
class Task:
    """A training to record."""

    name: str
    make: Callable[[], nn.Module]
    image: tuple[int, int, int]
    batch: int
    steps: int
    every: int
    rounds: int


TASKS = (
    Task(
        "convnet, every 100 steps",
        lambda: build("convnet", channels=1, classes=10, image_size=28),
        (1, 28, 28),
        64,
        400,
        100,
        3,
    ),
    Task(
        "convnet, every step",
        lambda: build("convnet", channels=1, classes=10, image_size=28),
        (1, 28, 28),
        64,
        150,
        1,
        3,
    ),
    Task(
        "ResNet-18 at 64x64, every 100 steps",
        lambda: build("resnet18", channels=3, classes=10, image_size=64),
        (3, 64, 64),
        32,
        100,
        100,
        1,
    ),
)


def train(task: Task, peer: Peer, folder: Path) -> tuple[float, float, float, int]:
    """Train; return the seconds of the whole loop, of the steps, and of the recorder's calls, and how many calls."""
    torch.manual_seed(0)
    model = task.make()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    images = torch.rand(256, *task.image)
    labels = torch.randint(0, 10, (256,))
    inside, calls = 0.0, 0
    with peer.begin(folder, model, task.every) as record:
        started = time.perf_counter()
        for step in range(1, task.steps + 1):
            at = step * task.batch % (256 - task.batch + 1)
            loss = functional.cross_entropy(model(images[at : at + task.batch]), labels[at : at + task.batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % task.every == 0:
                begun = time.perf_counter()
                record(step, loss.detach())
                inside += time.perf_counter() - begun
                calls += 1
        whole = time.perf_counter() - started
    return whole, whole - inside, inside, calls


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def compare(task: Task) -> None:
    peers = [peer for peer in PEERS if importlib.util.find_spec(peer.needs)]
    nothing = Peer("bare", bare, "")
    results: dict[str, list[tuple[float, float, int]]] = {peer.name: [] for peer in peers}
    train(task, nothing, Path())  # warms up
    bares = []
    for _ in range(task.rounds):
        for peer in peers:
            folder = Path(tempfile.mkdtemp())
            bares.append(train(task, nothing, folder)[0])
            whole, _, inside, calls = train(task, peer, folder)
            results[peer.name].append((inside, whole / bares[-1] - 1, folder_bytes(folder) // calls))
            shutil.rmtree(folder, ignore_errors=True)
    loop = statistics.median(bares)
    print(f"\n{task.name}: the bare loop takes {loop / task.steps * 1e3:.2f} ms a step")
    print(f"{'':32} {'calls / bare loop':>18} {'whole loop':>11} {'kB a record':>12}  weights back")
    for peer in peers:
        inside, whole, size = (statistics.median(column) for column in zip(*results[peer.name], strict=True))
        print(
            f"{peer.name:32} {inside / loop:>17.2%} {whole:>+11.1%} {size / 1e3:>12,.0f}  {peer.exact}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, help="torch's threads; by default its own choice")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    for task in TASKS:
        compare(task)


if __name__ == "__main__":
    main()
