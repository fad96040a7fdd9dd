"""Runs that were recorded long ago: format 1, whose files lie here, opens for ever."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from make_kept_run import contents

import cnnviz
from cnnviz.checking.check import check_run

KEPT = Path(__file__).parent / "kept" / "format-1"


@pytest.fixture(params=["run", "packed.zarr"])
def kept(request):
    return KEPT / request.param


def plain(run):
    """Return what a run holds as JSON gives it back, its networks' outputs apart."""
    found = json.loads(json.dumps(contents(run)))
    return found, found.pop("logits")


def test_format_1_opens_with_every_value_as_it_was(kept):
    expected = json.loads((KEPT / "contents.json").read_text())
    logits = expected.pop("logits")
    found, computed = plain(cnnviz.open_run(kept))
    assert found == expected
    assert computed.keys() == logits.keys()
    for step, values in logits.items():  # computed on another machine
        assert np.allclose(computed[step], values, rtol=1e-4, atol=1e-5)


def test_reading_changes_no_file(kept):
    def digests():
        return {
            path.relative_to(kept): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in kept.rglob("*")
            if path.is_file()
        }

    before = digests()
    contents(cnnviz.open_run(kept))
    assert digests() == before


def test_format_1_is_whole_and_can_be_gone_on_with(tmp_path):
    path = Path(shutil.copytree(KEPT / "run", tmp_path / "run"))
    assert check_run(path).ok
    run = cnnviz.open_run(path)
    model = run.last.model()
    with cnnviz.Recorder(path, model, snapshots=cnnviz.every(1), resume=True) as recorder:
        recorder.record(8, {"train/error": 0.5})
    assert run.steps.tolist() == [0, 1, 2, 3, 7, 8]
    assert run.digests[-1] == run.digests[-2]
    assert check_run(path).ok
