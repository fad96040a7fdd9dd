"""Make the run that every later cnnviz must open: once for each format of the layout, and never again.

python tests/recording/make_kept_run.py FOLDER
"""

import hashlib
import json
import shutil
import sys
import tempfile
from pathlib import Path

import torch
from small_runs import make_runs

import cnnviz
from cnnviz.archive import pack


def contents(run):
    """Return all that a run holds as JSON: of tensors their type, shape, first values and a digest of their bytes."""
    return {
        "name": run.manifest.network,
        "status": [run.status, run.detail],
        "missing": [list(span) for span in run.missing.spans],
        "layers": [list(layer) for layer in run.layers],
        "layers from": run.manifest.layers_from,
        "shapes": {name: list(shape) for name, shape in run.shapes.items()},
        "classes": list(run.classes),
        "config": dict(run.manifest.description.config),
        "digests": run.digests,
        "snapshots": {str(s.step): {n: tensor(t) for n, t in s.state.read().items()} for s in run},
        "metrics": {
            name: [values.tolist() for values in run.metric(name)] for name in run.metrics if name != "odd"
        },
        "odd": [str(value) for value in run.metric("odd")[1]],
        "samples": [tensor(run.samples.images), run.samples.labels.tolist()],
        "examples": [run.examples.correct.tolist(), run.examples.loss.tolist()],
        "logits": {str(s.step): s.model()(run.samples.images[:1]).detach().tolist() for s in run},
    }


def tensor(value):
    raw = value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    first = value.reshape(-1)[:3].tolist()
    return [str(value.dtype), list(value.shape), first, hashlib.sha256(raw).hexdigest()]


def main(folder):
    with tempfile.TemporaryDirectory() as temporary:
        make_runs(Path(temporary))
        run = cnnviz.open_run(Path(temporary) / "finished")
        text = json.dumps(contents(run), indent=1)
        pack(run, folder / "packed.zarr")
        shutil.copytree(run.path, folder / "run")
    (folder / "contents.json").write_text(text + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
