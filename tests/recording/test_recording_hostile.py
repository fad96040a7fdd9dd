"""Runs that were damaged or made by an enemy: right values, or an error that names the file; see fuzzing.py."""

import ast
import json
import os
import sqlite3
import struct
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from fuzzing import Arena, Outcome, examine, observe, wrongs
from hostile_databases import SCHEMAS, TREES, write_bomb
from hostile_tensors import read_parts, write_parts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import KINDS
from small_runs import ARGUMENTS, STEPS

import cnnviz
import cnnviz.recording
from cnnviz.analysis.images import as_image
from cnnviz.errors import ConfigError, ImageError, LayerError, ModelError, RunError
from cnnviz.recording.checkpoint import read_checkpoint
from cnnviz.recording.manifest import read_manifest, write_manifest
from cnnviz.recording.samples import read_samples
from cnnviz.recording.tensors import read_tensors


@pytest.fixture(scope="module")
def arena(tmp_path_factory):
    return Arena(tmp_path_factory.mktemp("hostile"))


@pytest.fixture
def path(arena):
    """The folder of a whole run, to be damaged."""
    return arena.fresh("finished")


# --- many


@pytest.mark.parametrize("kind", KINDS)
def test_damage_of_every_kind(kind, arena):
    cases = {seed: arena.play(seed, [kind]) for seed in range(1 if kind == "bomb" else 12)}
    assert {seed: case for seed, case in cases.items() if case.wrongs} == {}


def _assert_names(error, file):
    assert file in str(error)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
_FAST = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)


@_FAST
@given(data=st.data())
def test_any_json_for_a_manifest(data, arena, tmp_path):
    content = json.loads((arena._whole / "finished" / "run.json").read_text())
    holder = content["description"] if data.draw(st.booleans()) else content
    holder[data.draw(st.sampled_from(sorted(holder)))] = data.draw(_JSON)
    file = tmp_path / "run.json"
    file.write_text(json.dumps(content))
    try:
        manifest = read_manifest(file)
    except RunError as error:
        _assert_names(error, "run.json")
        return
    assert all(isinstance(part, str) for layer in manifest.layers for part in layer)
    assert all(isinstance(n, int) and n >= 0 for shape in manifest.shapes.values() for n in shape)
    write_manifest(tmp_path / "again.json", manifest, durable=False)
    again = read_manifest(tmp_path / "again.json")
    assert repr(again) == repr(manifest)  # as NaN is not NaN


_NUMBERS = st.integers(0, 40) | st.sampled_from([2**31, 2**32, 2**62, 2**63, 2**64 - 1, 2**64, -1])
_ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(
            ["F32", "U8", "I64", "BOOL", "BF16", "C64", "F8_E4M3", "F4", "F6_E2M3", "x"]
        ),
        "shape": st.lists(_NUMBERS, max_size=4),
        "data_offsets": st.lists(_NUMBERS, min_size=2, max_size=2),
    }
)


@_FAST
@given(
    header=st.dictionaries(st.text(max_size=4), _ENTRIES | _JSON, max_size=3),
    size=st.integers(0, 40),
    whole=st.booleans(),
)
def test_any_header_of_tensors(header, size, whole, tmp_path):
    payload = bytes(range(size))
    if whole:  # most headers drawn blindly claim too much or too little: let these claim all there is
        header = {
            "a": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]},
            **{name: {} for name in header},
        }
        header = {name: header[name] or header["a"] for name in list(header)[: 1 + size % 2]}
    file = tmp_path / "x.safetensors"
    write_parts(file, json.dumps(header), payload)
    try:
        found = read_tensors(file)
    except RunError as error:
        _assert_names(error, "x.safetensors")
        return
    assert found.keys() == header.keys() - {"__metadata__"}
    for name, tensor in found.items():
        start, end = header[name]["data_offsets"]
        assert list(tensor.shape) == header[name]["shape"]
        assert tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() == payload[start:end]


# --- links and other things that are no files

FILES = [
    "run.json", "run.db", "samples.safetensors", "resume.safetensors", "writer.lock", "snapshots/00000000.safetensors",
    "shared/00000001.safetensors", "linked/00000007-0.safetensors",
]  # fmt: skip


@pytest.mark.parametrize("target", ["sibling", "/etc/passwd", "/dev/zero", "self", "fifo", "folder"])
@pytest.mark.parametrize("name", FILES)
def test_what_is_no_file_is_not_read(name, target, path, arena):
    file = path / name
    file.unlink()
    if target == "fifo":
        os.mkfifo(file)
    elif target == "folder":
        file.mkdir()
    else:
        places = {"sibling": arena._work / "sibling" / name, "self": file}
        file.symlink_to(places.get(target, target))
    case = arena.judge(path, name)
    assert (case.verdict, case.wrongs) == ("refused", [])


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize("target", ["sibling", "fifo", "outside"])
def test_what_sqlite_opens_unasked_is_looked_at_first(suffix, target, path, arena, tmp_path):
    beside = path / f"run.db{suffix}"
    outside = tmp_path / "outside"
    if target == "fifo":
        os.mkfifo(beside)
    else:
        beside.symlink_to(arena._work / "sibling" / "run.db" if target == "sibling" else outside)
    case = arena.judge(path, "run.db-")
    assert (case.verdict, case.wrongs) == ("refused", [])
    assert not outside.exists()  # SQLite would make it
    with pytest.raises(RunError, match=rf"run\.db{suffix} is damaged: it is a link, or no plain file"):
        _ = cnnviz.open_run(path).steps


@pytest.mark.parametrize("name", ["snapshots", "shared", "linked"])
@pytest.mark.parametrize("target", ["../sibling/{}", "hidden"])
def test_a_folder_that_is_a_link_is_not_followed(name, target, path, arena):
    (path / name).rename(path / "hidden")
    (path / name).symlink_to(target.format(name))
    case = arena.judge(path, name)
    assert (case.verdict, case.wrongs) == ("refused", [])


@pytest.mark.parametrize(
    "part",
    [
        "/etc/passwd", "../sibling/shared/00000001.safetensors", "shared/../shared/00000001.safetensors",
        "snapshots/00000000.safetensors", "resume.safetensors", "./shared/00000001.safetensors", "shared", "", "..",
        "shared/00000001.safetensors\n", "shared/00000001.safetensors\0", "shared//00000001.safetensors", "\ud800",
        "{}/shared/00000001.safetensors", "file:shared/00000001.safetensors", "shared/١٢٣٤٥٦٧٨.safetensors",
    ],
)  # fmt: skip
def test_a_snapshot_names_files_of_the_run_only(part, path, arena):
    file = path / "snapshots" / "00000001.safetensors"
    header, payload = read_parts(file)
    places = json.loads(header["__metadata__"]["cnnviz.elsewhere"])
    (names,) = places.values()
    header["__metadata__"]["cnnviz.elsewhere"] = json.dumps({part.format(path): names})
    write_parts(file, json.dumps(header), payload)
    with pytest.raises(RunError, match="damaged"):
        cnnviz.open_run(path).at(1).state.read()
    case = arena.judge(path, "snapshots/00000001.safetensors")
    assert (case.verdict, case.wrongs) == ("refused", [])


def test_a_name_in_two_places_is_one_tensor(path):
    file = path / "snapshots" / "00000001.safetensors"
    header, payload = read_parts(file)
    places = json.loads(header["__metadata__"]["cnnviz.elsewhere"])
    # copies: what is read is a view of the file, which is written over here
    before = {name: tensor.clone() for name, tensor in cnnviz.open_run(path).at(1).state.items()}
    next(iter(places.values()))["conv1.weight"] = "fc1.weight"
    header["__metadata__"]["cnnviz.elsewhere"] = json.dumps(places)
    write_parts(file, json.dumps(header), payload)
    state = cnnviz.open_run(path).at(1).state
    assert sorted(state) == sorted(before)
    assert torch.equal(state["conv1.weight"], before["conv1.weight"])


# --- what never ends, or claims to be large


@pytest.mark.parametrize("statement", [statement for statement in SCHEMAS if "RECURSIVE" in statement])
def test_views_without_end(statement, path, arena):
    with sqlite3.connect(path / "run.db") as connection:
        connection.executescript(statement)
    connection.close()
    with pytest.raises(
        RunError, match=r"run\.db can't be read: it holds a view '\w+' that cnnviz doesn't make"
    ):
        _ = cnnviz.open_run(path).steps
    case = arena.judge(path, "run.db")
    assert (case.verdict, case.wrongs) == ("refused", [])


@pytest.mark.parametrize("tree", TREES)
def test_trees_without_end(tree, path):
    write_bomb(path / "run.db", 8, tree)
    run = cnnviz.open_run(path)
    refused = 0
    looks = [lambda: run.steps, run.entries, lambda: run.metrics, lambda: run.metric("d"), lambda: run.status]
    for look in [*looks, lambda: run.examples]:
        started = time.process_time()
        try:
            look()
        except RunError as error:
            _assert_names(error, "run.db")
            refused += 1
        assert time.process_time() - started < 2
    assert refused == len(looks) + 1 if tree == "sqlite_master" else refused >= 1


def test_one_long_text_that_is_found_without_end(path, arena):
    write_bomb(path / "run.db", 8, "state", "x" * 1900)
    with pytest.raises(RunError, match=r"run\.db can't be read: it claims to hold more than it has room for"):
        _ = cnnviz.open_run(path).status
    found, _ = examine(path, "run.db", {})
    assert [wrong for wrong in found if "MB" in wrong] == []


@pytest.mark.parametrize("depth", [150, 900, 10**6])
@pytest.mark.parametrize("place", ["config", "arguments", "whole"])
def test_a_deep_manifest(depth, place, path):
    deep = "[" * depth + "]" * depth
    content = json.loads((path / "run.json").read_text())
    if place != "whole":
        content["description"][place] = {"a": "MARK"}
    text = deep if place == "whole" else json.dumps(content).replace('"MARK"', deep)
    (path / "run.json").write_text(text)
    with pytest.raises(RunError, match=r"run\.json"):
        cnnviz.open_run(path)


def test_what_is_nested_too_deeply_is_not_written_either(path, tmp_path):
    deep = []
    for _ in range(200):
        deep = [deep]
    with pytest.raises(ConfigError, match="nested more than 100 levels deep"):
        cnnviz.Recorder(
            tmp_path / "r", torch.nn.Linear(1, 1), description=cnnviz.Description(config={"a": deep})
        )


def test_names_that_are_no_text_can_be_recorded_and_shown(tmp_path):
    name = os.fsdecode(b"caf\xe9")  # a folder of images, named on an old system
    with cnnviz.Recorder(
        tmp_path / "r", torch.nn.Linear(1, 1), description=cnnviz.Description(classes=(name, "b"))
    ):
        pass
    run = cnnviz.open_run(tmp_path / "r")
    assert run.classes == ("caf?", "b")
    run._repr_html_().encode()


@pytest.mark.parametrize("shape", [[-1], [2**63], [1] * 65, [1.5, "x"], ["9" * 5000], [float("inf")]])
def test_shapes_that_no_output_has(shape, path):
    content = json.loads((path / "run.json").read_text())
    content["shapes"]["conv1"] = shape
    (path / "run.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=r"run\.json is damaged"):
        cnnviz.open_run(path)


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        ("convnet", {"hidden": 10**9}),
        ("convnet", {"hidden": 10**30}),
        ("convnet", {"depth": [10**6, 10**6]}),
        ("convnet", {"depth": [2, 3] * 10**5}),
        ("convnet", {"image_size": 10**9}),
        ("convnet", {"kernel_size": 10**9 + 1}),
        ("convnet", {"classes": 2**63 - 1}),
        ("convnet", {"dropout": float("nan")}),
        ("convnet", {"bomb": 1}),
        ("densenet121", {"block_config": [10**7]}),
        ("mobilenet_v2", {"inverted_residual_setting": [[1, 8, 10**9, 1]]}),
        ("vit_b_32", {"image_size": 32 * 10**6}),
        ("resnet18", {"width_per_group": 10**9}),
        ("resnet18", {"norm_layer": "os.system"}),
        ("resnet18", {"image_size": 224}),
        ("maxvit_t", {"image_size": 10**9}),
    ],
)
def test_networks_that_the_weights_do_not_fill(model, arguments, path):
    content = json.loads((path / "run.json").read_text())
    fitting = {key: ARGUMENTS[key] for key in ("channels", "classes", "image_size")}
    content["description"]["model"] = model
    content["description"]["arguments"] = (ARGUMENTS if model == "convnet" else fitting) | arguments
    (path / "run.json").write_text(json.dumps(content))
    started = time.process_time()
    before = _resident()
    with pytest.raises(ModelError, match=r"run\.json"):
        cnnviz.open_run(path).last.model()
    assert _resident() - before < 200
    assert time.process_time() - started < 4  # torchvision's largest networks take their time as they are


def _resident():
    """Return how many megabytes of memory this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.parametrize(
    ("channels", "size"),
    [
        (1, 10**9),
        (10**9, 8),
        (1, 0),
        (-1, 8),
        (1.0, 8),
        ("1", 8),
        (True, 8),
        (1, None),
        (1, 10**400),
        (1, [8]),
    ],
)
def test_images_are_made_no_larger_than_the_run_may_say(channels, size, path):
    (path / "samples.safetensors").unlink()
    content = json.loads((path / "run.json").read_text())
    content["description"]["arguments"] |= {"channels": channels, "image_size": size}
    (path / "run.json").write_text(json.dumps(content))
    with pytest.raises(ImageError, match=r"run\.json tells of images with"):
        as_image(cnnviz.open_run(path), np.zeros((8, 8), np.float32))


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 2**63]},
        {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]},
        {"dtype": "F32", "shape": [2**32, 2**32], "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]},
        {"dtype": "U8", "shape": [0, 10**18, 4, 4], "data_offsets": [0, 0]},
        {"dtype": "U8", "shape": [5, 0, 0, 0], "data_offsets": [0, 0]},
        {"dtype": "U8", "shape": [1] * 5000, "data_offsets": [0, 1]},
    ],
)
def test_samples_that_claim_to_be_large(entry, path, arena):
    count = entry["data_offsets"][1]
    labels = {"dtype": "I64", "shape": [5], "data_offsets": [count, count + 40]}
    write_parts(path / "samples.safetensors", json.dumps({"images": entry, "labels": labels}), bytes(60))
    with pytest.raises(RunError, match=r"samples\.safetensors"):
        read_samples(path / "samples.safetensors")
    case = arena.judge(path, "samples.safetensors")
    assert (case.verdict, case.wrongs) == ("refused", [])


@pytest.mark.parametrize("dtype", ["F4", "F8_E8M0"])
def test_types_that_are_never_recorded(dtype, path):
    """The library knows them, but torch can hardly compute with them."""
    file = path / "snapshots" / "00000000.safetensors"
    header, payload = read_parts(file)
    header["conv1.bias"].update(dtype=dtype, shape=[8 if dtype == "F8_E8M0" else 16])
    write_parts(file, json.dumps(header), payload)
    with pytest.raises(RunError, match=r"00000000\.safetensors is damaged: 'conv1\.bias' is of torch\."):
        cnnviz.open_run(path).first.state.read()


@pytest.mark.parametrize("length", [1, 100_000_001, 2**32, 2**63, 2**64 - 1])
def test_headers_that_claim_to_be_long(length, path, arena):
    file = path / "snapshots" / "00000000.safetensors"
    file.write_bytes(struct.pack("<Q", length) + file.read_bytes()[8:])
    case = arena.judge(path, "snapshots/00000000.safetensors")
    assert (case.verdict, case.wrongs) == ("refused", [])


@pytest.mark.parametrize("text", ["[" * 10**5, "3", "[]", "null", "{", ""])
def test_a_checkpoint_that_tells_nothing(text, path):
    file = path / "resume.safetensors"
    header, payload = read_parts(file)
    header["__metadata__"] = {"cnnviz": text}
    write_parts(file, json.dumps(header), payload)
    with pytest.raises(RunError, match=r"resume\.safetensors is damaged"):
        read_checkpoint(path)


# --- what the index says


@pytest.mark.parametrize(
    ("statement", "look"),
    [
        ("UPDATE snapshots SET digest = 'd'", "entries"),
        ("UPDATE snapshots SET digest = upper(digest)", "entries"),
        ("UPDATE snapshots SET digest = digest || char(10)", "entries"),
        ("UPDATE snapshots SET bytes = -1", "entries"),
        ("UPDATE snapshots SET bytes = 'many'", "entries"),
        ("UPDATE snapshots SET bytes = 0.5", "entries"),
        ("UPDATE metrics SET value = 'x'", "metric"),
        ("UPDATE metrics SET value = x'00'", "metric"),
        ("UPDATE metrics SET step = 'x' WHERE step = 1", "metric"),
        ("UPDATE metrics SET step = 1.5 WHERE step = 1", "metric"),
        ("UPDATE metrics SET step = -1 WHERE step = 1", "metric"),
        ("UPDATE state SET value = x'00'", "state"),
        ("UPDATE names SET name = x'00' WHERE id = 1", "metric_names"),
        ("UPDATE examples SET codes = 'x'", "examples"),
    ],
)
def test_values_of_wrong_kinds(statement, look, path):
    with sqlite3.connect(path / "run.db") as connection:
        assert connection.execute(statement).rowcount > 0
    connection.close()
    run = cnnviz.open_run(path)
    looks = {"entries": run.entries, "metric": lambda: run.metric("odd")}
    with pytest.raises(RunError, match=r"run\.db (can't be read|is damaged)"):
        looks.get(look, getattr(run.store, look, None))()


def test_a_negative_step_is_none(path):
    with sqlite3.connect(path / "run.db") as connection:
        connection.execute("UPDATE snapshots SET step = -5 WHERE step = 0")
    connection.close()
    assert cnnviz.open_run(path).steps.tolist() == list(STEPS[1:])


# --- no code


def test_reading_never_executes():
    forbidden = {
        "eval",
        "exec",
        "compile",
        "__import__",
        "torch.load",
        "torch.jit.load",
        "torch.hub.load",
        "os.system",
    }
    calls = set()
    folder = Path(cnnviz.recording.__file__).parent
    for file in folder.glob("*.py"):
        tree = ast.parse(file.read_text())
        names = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        calls |= names
        assert not names & forbidden, file
        assert not any("pickle" in name.lower() or "subprocess" in name for name in names), file
        imported = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
        assert not imported & {"pickle", "marshal", "shelve", "dill", "joblib", "subprocess", "ctypes"}, file
    assert "safe_open" in calls


# --- the verdict itself


def test_the_verdict_sees(path, arena, tmp_path):
    before = arena._before["finished"]

    def found(name, outcome, changed):
        return wrongs(path, changed, before, before | {name: outcome})

    told = RunError(f"{path}/run.db is damaged")
    assert found("steps", Outcome(None, told), "run.db") == []
    assert "what it reads is whole" in found("steps", Outcome(None, told), "samples.safetensors")[0]
    assert "ValueError" in found("steps", Outcome(None, ValueError(f"{path}")), "run.db")[0]
    assert "names neither" in found("steps", Outcome(None, RunError("it is damaged")), "run.db")[0]
    assert found("filters", Outcome(None, LayerError("no layer 'x'")), "run.json") == []
    assert "nothing to do with it" in found("status", Outcome(["stopped", ""]), "samples.safetensors")[0]
    assert found("status", Outcome(["stopped", ""]), "run.db") == []
    falling = np.array([3, 1])
    assert "steps: " in found("steps", Outcome((str(falling.dtype), (2,), falling.tobytes())), "run.db")[0]
    order = Outcome(before["state 0"].value[::-1])
    assert "same digest" in found("state 0", order, "snapshots/00000000.safetensors")[0]
    assert "open: failed" in found("open", Outcome(None, told), "run.db")[0]


def test_the_guard_sees(path, arena, tmp_path, monkeypatch):
    secret = tmp_path / "secret"
    secret.write_text("x")

    def hostile(_):
        secret.read_text()
        subprocess.run(["true"], check=True)
        (path / "new").write_text("x")
        return {}

    monkeypatch.setattr("fuzzing.observe", lambda p: hostile(p) or {"open": Outcome("x")})
    found, _ = examine(path, "run.db", {})
    assert any(str(secret) in wrong for wrong in found)
    assert any("subprocess.Popen" in wrong for wrong in found)
    assert any(str(path / "new") in wrong for wrong in found)


def test_the_clock_and_the_scales_see(path, monkeypatch):
    def greedy(_):
        return {"open": Outcome(len(bytearray(300 * 2**20)), seconds=3.0)}

    monkeypatch.setattr("fuzzing.observe", greedy)
    found, _ = examine(path, "run.db", {})
    assert any("took 3.0 s" in wrong for wrong in found)
    assert any("MB" in wrong for wrong in found)


def test_an_unreadable_file(path, arena):
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    (path / "run.db").chmod(0)
    case = arena.judge(path, "run.db")
    assert (case.verdict, case.wrongs) == ("refused", [])


def test_the_whole_runs_are_unharmed(arena):
    for base in ("finished", "killed"):
        assert arena.judge(arena.fresh(base), "nothing").verdict == "unharmed"
        assert observe(arena.fresh(base)).keys() == arena._before[base].keys()
