"""What the distributed tests start with torchrun: a training with DDP that every process records for its part."""

import sys
import time
from pathlib import Path

import torch
from torch import distributed, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

import cnnviz

STEPS = 5
SLOW_SECONDS = 1.5


def net():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 36, 3))


def slow_down_snapshots():
    """Let every snapshot take its time to come to the disk."""
    replace = Path.replace

    def slowly(self, target):
        if Path(target).parent.name == "snapshots":
            time.sleep(SLOW_SECONDS)
        return replace(self, target)

    Path.replace = slowly


def train(folder, *, name, wrap):
    """Train and record; return the states by step, and how long the loop took and the end of the recording."""
    rank = distributed.get_rank()
    torch.manual_seed(rank)  # DDP gives all ranks the weights of rank 0
    model = wrap(net())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    samples = (torch.zeros(2, 1, 8, 8), torch.tensor([0, 1]))
    states = {}
    distributed.barrier()
    recorder = cnnviz.Recorder(folder / f"{name}{rank}", model, snapshots=cnnviz.every(4), samples=samples)
    start = time.perf_counter()
    with recorder:
        for step in range(STEPS):
            if step:
                loss = functional.cross_entropy(model(torch.randn(4, 1, 8, 8)), torch.randint(3, (4,)))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                recorder.record(step, {"train/loss": loss})
            else:
                recorder.record(0)
            states[step] = {key: value.clone() for key, value in model.state_dict().items()}
        end = time.perf_counter()
    return {"states": states, "loop": end - start, "close": time.perf_counter() - end}


def main(folder):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    results = {"plain": train(folder, name="plain", wrap=DistributedDataParallel)}
    results["compiled"] = train(
        folder,
        name="compiled",
        wrap=lambda model: torch.compile(DistributedDataParallel(model), backend="eager"),
    )
    slow_down_snapshots()
    results["slow"] = train(folder, name="slow", wrap=DistributedDataParallel)
    torch.save(results, folder / f"results{distributed.get_rank()}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
