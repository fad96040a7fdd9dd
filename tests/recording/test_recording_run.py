"""Reading a run: whole, sliced, growing, damaged, hostile."""

import fcntl
import json
import sys
import threading

import numpy as np
import pytest
import torch
from torch import nn

import cnnviz
from cnnviz.errors import ConfigError, ImageError, ModelError, RunError, StepError
from cnnviz.recording.layout import Layout


def record(path, steps=3, model=None, **keywords):
    model = nn.Linear(2, 1) if model is None else model
    with cnnviz.Recorder(path, model, snapshots=cnnviz.every(1), **keywords) as recorder:
        for step in range(steps):
            recorder.record(step, {"a": step / 2})
    return cnnviz.open_run(path)


@pytest.fixture
def path(tmp_path):
    record(tmp_path / "r", samples=(torch.zeros(1, 1, 1, 2), torch.tensor([0])))
    return tmp_path / "r"


# --- looking at a whole run


def test_the_names_of_the_readme(run):
    assert run.status == "finished"
    assert run.detail == ""
    assert run.steps.tolist() == [0, 4, 8, 12]
    assert [layer.name for layer in run.layers][:3] == ["conv1", "relu1", "pool1"]
    assert dict(run.layers)["conv1"] == "Conv2d"
    assert run.classes == tuple("0123456789")
    assert (run.first.step, run.last.step, run[-1].step, run[1].step, len(run)) == (0, 12, 12, 4, 4)
    assert run.at(8).step == 8
    assert [snapshot.step for snapshot in run] == [0, 4, 8, 12]
    assert run.series("conv1.weight").shape == (4, 4, 1, 5, 5)
    assert len(run.samples) == 100
    assert run.samples[3].image.shape == (1, 28, 28)
    assert run.digests == [snapshot.digest for snapshot in run]
    assert len(set(run.digests)) == 4
    assert repr(run).endswith("convnet, finished, 4 snapshots)")
    assert repr(run.last) == f"Snapshot(step=12, run={str(run.path)!r})"
    assert run.last.bytes == (run.path / "snapshots" / "00000012.safetensors").stat().st_size
    assert "conv1.weight" in repr(run.last.state)


def test_one_tensor_is_read_alone(run, monkeypatch):
    from cnnviz.recording import tensors

    read = []

    class Watched:
        def __init__(self, *arguments):
            self.file = original(*arguments)

        def __enter__(self):
            self.file.__enter__()
            return self

        def __exit__(self, *exception):
            return self.file.__exit__(*exception)

        def get_tensor(self, name):
            read.append(name)
            return self.file.get_tensor(name)

        def __getattr__(self, name):
            return getattr(self.file, name)

    original = tensors.safe_open
    monkeypatch.setattr(tensors, "safe_open", Watched)
    _ = run.last.state["conv1.bias"]
    assert read == ["conv1.bias"]
    assert "conv1.bias" in run.last.state
    assert "nope" not in run.last.state
    assert read == ["conv1.bias"]


@pytest.mark.parametrize(
    ("look", "error", "message"),
    [
        (lambda r: r.at(5), StepError, "has no snapshot at step 5; the nearest are 4 and 8"),
        (lambda r: r.at(-1), StepError, "the nearest is 0"),
        (lambda r: r.at(10**30), StepError, "the nearest is 12"),
        (lambda r: r[4], StepError, "has no snapshot number 4; it holds 4"),
        (lambda r: r[-5], StepError, "has no snapshot number -5"),
        (lambda r: r[::-1], ConfigError, "can't be reversed"),
        (
            lambda r: r.metric("nope"),
            RunError,
            "has no metric 'nope'; it has learning_rate, seconds, test/error",
        ),
        (lambda r: r.series("nope"), RunError, "holds no tensor 'nope'; it holds conv1.bias, conv1.weight"),
        (lambda r: r.last.state["nope"], RunError, r"00000012\.safetensors holds no tensor 'nope'"),
        (lambda r: r.samples[100], ImageError, "has no sample 100; it has 100, counted from 0"),
    ],
)
def test_what_is_not_there(run, look, error, message):
    # "it has " lists metrics in order of their names, gradient norms first
    message = message.replace("learning_rate, seconds, test/error", "gradient_norm/conv1, .*learning_rate")
    with pytest.raises(error, match=message):
        look(run)


def test_an_empty_run(tmp_path):
    run = record(tmp_path / "r", steps=0)
    assert (len(run), run.steps.tolist(), run.steps.dtype, run.metrics, run.digests) == (
        0,
        [],
        np.int64,
        [],
        [],
    )
    for look in (lambda: run.first, lambda: run.last, lambda: run.at(0), lambda: run.series("weight")):
        with pytest.raises(StepError):
            look()
    assert "none yet" in run._repr_html_()


def test_slices_do_not_grow_and_the_run_does(tmp_path):
    with cnnviz.Recorder(tmp_path / "r", nn.Linear(1, 1), snapshots=cnnviz.every(1)) as recorder:
        run = cnnviz.open_run(tmp_path / "r")
        assert len(run) == 0
        recorder.record(0)
        recorder.record(1)
        part, alone = run[:], run[1].alone()
        assert part.steps.tolist() == [0, 1]
        recorder.record(2)
        assert run.steps.tolist() == [0, 1, 2]
        assert part.steps.tolist() == [0, 1]
        assert alone.steps.tolist() == [1]
        assert part.series("weight").shape == (2, 1, 1)
        assert part[1:].steps.tolist() == [1]
        assert run[::2].steps.tolist() == [0, 2]
        with pytest.raises(StepError):
            part.at(2)


def test_many_threads_read_one_growing_run(tmp_path):
    steps, wrong = 200, []
    recorder = cnnviz.Recorder(tmp_path / "r", nn.Linear(1, 1), snapshots=cnnviz.every(1))
    recorder.record(0)
    run = cnnviz.open_run(tmp_path / "r")
    done = threading.Event()

    def read():
        while not done.is_set():
            found = run.steps.tolist()
            if found != list(range(len(found))):
                wrong.append(found)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for step in range(1, steps):
        recorder.record(step)
    done.set()
    for thread in threads:
        thread.join()
    recorder.close()
    assert wrong == []
    assert run.steps.tolist() == list(range(steps))


def test_reading_writes_nothing(path):
    def files():
        return {p.relative_to(path): p.stat().st_mtime_ns for p in path.rglob("*")}

    before = files()
    run = cnnviz.open_run(path)
    assert (run.status, run.metrics, len(run)) == ("finished", ["a"], 3)
    run.series("weight")
    _ = run.samples, run._repr_html_(), run.last.state["bias"], repr(run)
    assert files() == before


def test_a_copy_of_a_run_is_the_run(path, tmp_path):
    import shutil

    shutil.copytree(path, tmp_path / "other" / "name")
    copy = cnnviz.open_run(tmp_path / "other" / "name")
    assert (copy.name, copy.status, copy.steps.tolist()) == ("name", "finished", [0, 1, 2])
    assert torch.equal(copy.series("weight"), cnnviz.open_run(path).series("weight"))


# --- finding runs


def test_no_run(tmp_path, path):
    with pytest.raises(RunError, match=r"none is not a run; cnnviz\.list_runs\(root\) lists those under"):
        cnnviz.open_run(tmp_path / "none")
    with pytest.raises(RunError, match=r"is not a run; the runs in it are r$"):
        cnnviz.open_run(tmp_path)
    with pytest.raises(RunError, match="none is not a folder; train first"):
        cnnviz.list_runs(tmp_path / "none")


def test_runs_are_listed_newest_first(tmp_path):
    for name, created in {
        "b": "2026-01-02T00:00:00+00:00",
        "a": "2026-01-01T00:00:00+00:00",
        "c": None,
    }.items():
        record(tmp_path / name, steps=0)
        if created:
            change(tmp_path / name, created=created)
    (tmp_path / "no run").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "run.json").write_text("{")
    assert [run.name for run in cnnviz.list_runs(tmp_path)] == ["c", "b", "a"]


# --- damage


def change(path, **values):
    file = path / "run.json"
    content = json.loads(file.read_text()) | values
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not ...}))


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b"3", b"\xff\xfe", b"{}", b'{"format": 1}', b'{"format": "one"}',
        b'{"format": 1e999}', b"[" * 100_000, b'{"format": null}',
    ],
)  # fmt: skip
def test_a_damaged_manifest(content, path):
    (path / "run.json").write_bytes(content)
    with pytest.raises(RunError, match=r"run\.json"):
        cnnviz.open_run(path)


@pytest.mark.parametrize(
    "values",
    [
        {"created": "yesterday"}, {"created": 3}, {"layers": [["a"]]}, {"layers": 3}, {"layers": ...},
        {"shapes": []}, {"shapes": {"a": 3}}, {"software": []}, {"parameters": "many"},
        {"parameters": float("inf")}, {"description": None}, {"description": {"model": 3}},
        {"description": {"model": None, "arguments": [], "data": None, "classes": [], "config": {}, "seed": 0}},
        {"description": {"model": 3, "arguments": {}, "data": None, "classes": [], "config": {}, "seed": 0}},
        {"description": {"model": None, "arguments": {}, "data": [], "classes": [], "config": {}, "seed": 0}},
        {"description": {"model": None, "arguments": {}, "data": None, "classes": [], "config": {}, "x": 0}},
    ],
)  # fmt: skip
def test_a_manifest_of_wrong_types(values, path):
    change(path, **values)
    with pytest.raises(RunError, match=r"run\.json is damaged"):
        cnnviz.open_run(path)


@pytest.mark.parametrize("values", [{"format": 2}, {"format": 99, "software": ..., "layers": ...}])
def test_a_newer_format(values, path):
    change(path, **values)
    with pytest.raises(
        RunError, match=rf"written in format {values['format']}, but .* up to 1: install a newer"
    ):
        cnnviz.open_run(path)


@pytest.mark.parametrize("length", [0, 4, 8, 40, -1])
def test_a_truncated_snapshot_costs_only_itself(length, path):
    file = Layout(path).snapshot(1)
    file.write_bytes(file.read_bytes()[:length])
    run = cnnviz.open_run(path)
    for look in (
        lambda: run.at(1).state["weight"],
        lambda: list(run.at(1).state),
        lambda: len(run.at(1).state),
        lambda: run.series("weight"),
    ):
        with pytest.raises(RunError, match=r"00000001\.safetensors"):
            look()
    assert run.at(0).state["weight"].shape == (1, 2)
    assert run[::2].series("weight").shape == (2, 1, 2)


def test_a_missing_snapshot(path):
    Layout(path).snapshot(1).unlink()
    run = cnnviz.open_run(path)
    with pytest.raises(RunError, match=r"00000001\.safetensors"):
        _ = run.at(1).state["weight"]
    with pytest.raises(RunError, match=r"00000001\.safetensors"):
        run.series("weight")


def test_a_tensor_of_another_shape_or_type(tmp_path):
    class Changing(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Parameter(torch.zeros(2, dtype=torch.float16))
            self.b = nn.Parameter(torch.zeros(2))

    model = Changing()
    with cnnviz.Recorder(tmp_path / "r", model, snapshots=cnnviz.every(1)) as recorder:
        recorder.record(0)
        model.a = nn.Parameter(torch.full((2,), 0.1))
        model.b = nn.Parameter(torch.zeros(3))
        recorder.record(1)
    run = cnnviz.open_run(tmp_path / "r")
    for name in ("a", "b"):
        with pytest.raises(RunError, match=f"'{name}' has another shape or type than at the first step"):
            run.series(name)
    assert run[1:].series("a")[0].tolist() == pytest.approx([0.1, 0.1])


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0" + bytes(200), b"no database" * 400, None])
def test_a_damaged_database(content, path):
    file = path / "run.db"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    run = cnnviz.open_run(path)
    for look in (
        lambda: run.status,
        lambda: run.metrics,
        lambda: run.steps,
        lambda: run.metric("a"),
        lambda: repr(run),
    ):
        with pytest.raises(RunError, match=r"run\.db (can't be read|is not there)"):
            look()


def test_a_database_cut_in_the_middle(path):
    file = path / "run.db"
    content = file.read_bytes()
    for length in (100, 1000, 4096, len(content) - 4096):
        file.write_bytes(content[:length])
        with pytest.raises(RunError, match=r"run\.db can't be read"):
            _ = cnnviz.open_run(path).metric("a"), cnnviz.open_run(path).steps


def test_damaged_samples(path):
    file = path / "samples.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(RunError, match=r"samples\.safetensors can't be read"):
        _ = cnnviz.open_run(path).samples


# --- networks


@pytest.mark.parametrize(
    "name", ["os:system", "trap_of_a_run:go", "trap_of_a_run", "../trap_of_a_run", "", "convnet "]
)
def test_a_hostile_run_imports_nothing(name, path, tmp_path, monkeypatch):
    trap = tmp_path / "trap_of_a_run.py"
    trap.write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')\ndef go(**k): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    description = {
        "model": name,
        "arguments": {"channels": 1, "classes": 2, "image_size": 4, "command": "touch sprung"},
        "data": "trap_of_a_run:go",
        "classes": ["<script>"],
        "config": {"model": name, "data": "trap_of_a_run:go"},
        "seed": 0,
    }
    change(path, description=description, class_name="trap_of_a_run:go")
    run = cnnviz.open_run(path)
    with pytest.raises(ModelError, match=r"cnnviz\.open_run\(path, model=\.\.\.\)"):
        run.last.model()
    _ = repr(run), run._repr_html_(), cnnviz.list_runs(tmp_path), run.layers, run.status
    assert not (tmp_path / "sprung").exists()
    assert "trap_of_a_run" not in sys.modules


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"channels": 1},
        {"channels": "x", "classes": 2, "image_size": 4},
        {"self": 1},
        {"name": "os:system"},
    ],
)
def test_wrong_arguments_of_a_known_model(arguments, path):
    description = {
        "model": "convnet",
        "arguments": arguments,
        "data": None,
        "classes": [],
        "config": {},
        "seed": 0,
    }
    change(path, description=description)
    with pytest.raises(ModelError):
        cnnviz.open_run(path).last.model()


def test_weights_that_do_not_fit_name_the_layers(path):
    with pytest.raises(
        ModelError, match=r"(?s)r at step 2 don't fit Linear: .*weight is 1×2, where the model has 1×3"
    ):
        cnnviz.open_run(path, model=nn.Linear(3, 1)).last.model()
    with pytest.raises(ModelError, match=r"(?s)0\.weight is not in the run"):
        cnnviz.open_run(path, model=nn.Sequential(nn.Linear(2, 1))).last.model()


def factory(size=2):
    return nn.Linear(size, 1)


@pytest.mark.parametrize("source", [factory, lambda: nn.Linear(2, 1), nn.Linear(2, 1)])
def test_a_users_own_network(source, path):
    run = cnnviz.open_run(path, model=source)
    model = run[:].at(1).model()
    assert torch.equal(model.weight, run.at(1).state["weight"])
    assert not model.training
    assert model is not source


def test_a_users_own_network_by_name(path, tmp_path, monkeypatch):
    (tmp_path / "own_net_for_run.py").write_text(
        "from torch import nn\ndef make(channels=2, classes=1): return nn.Linear(channels, classes)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        run = cnnviz.open_run(path, model="own_net_for_run:make")
        assert torch.equal(run.last.model().weight, run.last.state["weight"])
    finally:
        sys.modules.pop("own_net_for_run", None)
    with pytest.raises(cnnviz.CnnvizError, match="can't be imported"):
        cnnviz.open_run(path, model="no_such_module:make").last.model()


@pytest.mark.parametrize(
    ("source", "problem"),
    [(nn.Linear, "can't make the network without arguments"), (dict, "returned dict, not a torch.nn.Module")],
)
def test_what_makes_no_network(source, problem, path):
    with pytest.raises(ModelError, match=problem):
        cnnviz.open_run(path, model=source).last.model()


def test_loading_into_a_network(run):
    model = run.first.model()
    assert run.load(run.last, into=model) is model
    assert torch.equal(model.conv1.weight, run.last.state["conv1.weight"])


# --- the card


def test_the_card(run):
    card = run._repr_html_()
    assert run.name in card
    assert "finished" in card
    assert "convnet, 207,258 parameters" in card
    assert "4 (steps 0 to 12)" in card
    assert f"{run.metric('validation/error')[1][-1]:.2%}" in card
    assert card.count("<polyline") == 1


def test_the_card_escapes(tmp_path):
    evil = "<img src=x onerror=alert(1)>\"'&"
    description = cnnviz.Description(model=evil, data=evil)
    recorder = cnnviz.Recorder(tmp_path / "<b>&'\"", nn.Linear(1, 1), description=description)
    recorder.record(0, {"validation/error": float("nan")})
    recorder.close("failed", evil)
    card = cnnviz.open_run(tmp_path / "<b>&'\"")._repr_html_()
    assert "<img" not in card
    assert "<b>" not in card
    assert card.count("&lt;img src=x onerror=alert(1)&gt;&quot;&#x27;&amp;") == 3
    assert "&lt;b&gt;&amp;&#x27;&quot;" in card
    assert "nan%" in card
    assert "<polyline" not in card


def test_sparklines():
    from cnnviz.recording.card import sparkline_points

    assert sparkline_points(np.array([1.0, 0.0]), 20, 10) == "2.0,2.0 18.0,8.0"
    assert sparkline_points(np.array([1.0, np.nan, 0.5, np.inf, 0.0]), 20, 10) == "2.0,2.0 10.0,5.0 18.0,8.0"
    assert sparkline_points(np.array([3.0, 3.0, 3.0]), 20, 10) == "2.0,8.0 10.0,8.0 18.0,8.0"
    assert sparkline_points(np.array([1.0, np.nan]), 20, 10) == ""
    assert len(sparkline_points(np.arange(5000.0), 160, 36).split()) == 160


def test_status_right_after_the_end_is_never_interrupted(tmp_path, monkeypatch):
    recorder = cnnviz.Recorder(tmp_path / "r", nn.Linear(1, 1))
    run = cnnviz.open_run(tmp_path / "r")
    from cnnviz.recording import folder_store as module

    def ends_meanwhile(path):
        recorder.close()
        return False

    monkeypatch.setattr(module, "writer_lives", ends_meanwhile)
    assert run.status == "finished"


def test_a_reader_that_asks_does_not_keep_a_writer_out(path):
    with (path / "writer.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        timer = threading.Timer(0.03, fcntl.flock, (lock, fcntl.LOCK_UN))
        timer.start()
        cnnviz.Recorder(path, nn.Linear(2, 1), resume=True).close()
        timer.join()
    assert cnnviz.open_run(path).status == "finished"
