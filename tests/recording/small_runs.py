"""Small runs that hold all that a run can hold, to be damaged."""

import shutil

import torch

import cnnviz
from cnnviz.models import build
from cnnviz.recording.checkpoint import write_checkpoint
from cnnviz.recording.encoding import encode_tensors, raw_tensor
from cnnviz.recording.lock import WriterLock
from cnnviz.recording.store import Missing
from cnnviz.recording.writer import RunWriter

ARGUMENTS = {"channels": 1, "classes": 3, "image_size": 8, "depth": [2, 3], "kernel_size": 3, "hidden": 120}
STEPS = (0, 1, 2, 3, 7)


def make_runs(parent):
    """Make the runs "finished", "killed" (its log still beside the database) and "sibling" in `parent`."""
    _record(parent / "finished", 0)
    _record(parent / "sibling", 1)
    _record(parent / "whole", 0, copy=parent / "killed")
    shutil.rmtree(parent / "whole")


def _record(path, seed, copy=None):
    torch.manual_seed(seed)
    model = build("convnet", **ARGUMENTS)
    samples = torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8), torch.tensor([0, 1, 2, 0, 1])
    description = cnnviz.Description(
        model="convnet",
        arguments=ARGUMENTS,
        data="no data",
        classes=("a", "b", "c"),
        config={"lr": 0.1, "deep": {"er": [1]}},
        seed=seed,
    )
    recorder = cnnviz.Recorder(
        path, model, snapshots=cnnviz.every(1), samples=samples, description=description
    )
    for step in STEPS[:-1]:
        recorder.record(step, _metrics(step))
        recorder.record_examples(step, [0, 1, 2], [True, False, True], [0.1, 2.0, 0.3])
        for name, parameter in model.named_parameters():
            if not name.startswith(
                "fc1"
            ):  # fc1 is frozen: its weights lie in a file that the snapshots share
                parameter.data += 0.1 * torch.randn_like(parameter)
    recorder.flush()
    write_checkpoint(path, {"model/a": torch.arange(8.0), "random/cpu": torch.arange(9)}, {"step": 3})
    _link_last(recorder, path, model)
    if copy is not None:
        shutil.copytree(path, copy)
    recorder.close("finished", "well")
    lock = WriterLock(path / "writer.lock")
    lock.leave_note(Missing(((4, 6, 3),), "No space left on device"), {})
    lock.release()


def _link_last(recorder, path, model):
    """Make the last snapshot one of an imported file, as the importer does."""
    file = path.parent / "imported.safetensors"
    state = {f"net.{name}": raw_tensor(name, tensor) for name, tensor in model.state_dict().items()}
    file.write_bytes(b"".join(encode_tensors(state)))
    recorder.close()
    writer = RunWriter(path, resume=True)
    names = {name.removeprefix("net."): (0, name) for name in state}
    writer.link(STEPS[-1], _metrics(STEPS[-1]), [file], names)
    recorder._writer, recorder._closed = writer, False
    file.unlink()


def _metrics(step):
    return {"train/error": 1 / (step + 1), "validation/error": 0.9 / (step + 1), "odd": float("nan")}
