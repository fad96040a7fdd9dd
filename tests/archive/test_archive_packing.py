"""A packed run is the run, to the bit, whatever its tensors are; and appears whole or not at all."""

import itertools
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from runs_in_memory import DictStore, assert_same, bits, digest_of, same, walk

import cnnviz
from cnnviz.archive import is_archive, open_archive, pack
from cnnviz.archive.opening import archive_bytes
from cnnviz.errors import ConfigError, RunError, StepError
from cnnviz.recording.examples import Examples
from cnnviz.recording.run import Run
from cnnviz.recording.samples import Samples

TYPES = (
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2,
    torch.complex64, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint64, torch.uint32, torch.uint16, torch.uint8,
)  # fmt: skip


def test_a_packed_run_is_the_run(small_run, packed):
    run = cnnviz.open_run(packed)
    assert_same(small_run, run)
    assert run.name == "small.zarr"
    assert run.status == "finished"
    assert [digest_of(snapshot.state) for snapshot in run] == small_run.digests


def test_many_steps_at_once_in_any_order(small_run, packed):
    store = open_archive(packed)
    for steps in ([0], [149], [3, 70, 71, 149], [149, 3, 70, 3], list(range(150)), []):
        steps = np.array(steps, np.int64)
        (stack,) = store.stacked(steps, ["fc.weight"]).values()
        assert stack.shape == (len(steps), 5, 7)
        if len(steps):
            assert torch.equal(stack, small_run.store.stacked(steps, ["fc.weight"])["fc.weight"])


def test_what_is_not_there_is_named(packed):
    store = open_archive(packed)
    with pytest.raises(StepError, match="no snapshot at step 150; the nearest is 149"):
        store.tensors(150)
    with pytest.raises(RunError, match=r"no tensor 'nope'; it holds fc\.bias, fc\.weight"):
        store.tensors(3, ["nope"])
    assert store.entries(np.array([3, 999]))[0].step == 3
    assert len(store.entries(np.array([3, 999]))) == 1
    assert [len(part) for part in store.metric("nope")] == [0, 0]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 2)])
def test_every_bit_pattern_of_every_type(tmp_path, dtype, shape):
    """NaNs with a message, negative zeros and what no number has."""
    generator = np.random.default_rng(1)
    size = int(np.prod(shape)) * dtype.itemsize

    def wild():
        return torch.from_numpy(generator.integers(0, 256, size, np.uint8)).view(dtype).reshape(shape)

    states = {step: {"x": wild()} for step in range(70)}
    states[3]["x"] = torch.zeros(shape).neg().to(dtype)
    run = Run(DictStore(states))
    pack(run, tmp_path / "a.zarr")
    assert_same(run, cnnviz.open_run(tmp_path / "a.zarr"))


def test_truths_empty_tensors_and_names_that_lead_out(tmp_path):
    states = {
        step: {
            "mask": torch.arange(6).reshape(2, 3) % 2 == step % 2,
            "none": torch.empty(0, 3),
            "../../etc/passwd": torch.tensor(float(step)),
            "": torch.tensor([step]),
        }
        for step in range(4)
    }
    run = Run(DictStore(states))
    pack(run, tmp_path / "a.zarr")
    assert_same(run, cnnviz.open_run(tmp_path / "a.zarr"))


def test_tensors_that_come_and_go(tmp_path):
    states = walk((3, 2), 200)
    for step, state in states.items():
        if not 50 <= step < 120:
            state["head.weight"] = torch.full((4,), float(step))
        if step == 77:
            state["once"] = torch.tensor([1.5])
    run = Run(DictStore(states))
    pack(run, tmp_path / "a.zarr")
    packed = cnnviz.open_run(tmp_path / "a.zarr")
    assert_same(run, packed)
    with pytest.raises(RunError, match=r"no tensor 'head\.weight' at step 50"):
        packed.store.stacked(np.arange(40, 60), ["head.weight"])


@pytest.mark.parametrize("other", [torch.zeros(3), torch.zeros(2, dtype=torch.float64), torch.zeros(0)])
@pytest.mark.parametrize("step", [10, 64, 199])
def test_a_tensor_that_changes_its_shape_or_type_is_refused(tmp_path, other, step):
    states = {n: {"x": torch.zeros(2) if n < step else other} for n in range(200)}
    with pytest.raises(RunError, match="'x'"):
        pack(Run(DictStore(states)), tmp_path / "a.zarr")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_tensor_that_grows_is_refused(tmp_path):
    states = {n: {"x": torch.zeros(0 if n < 5 else 2)} for n in range(9)}
    with pytest.raises(RunError, match="'x'"):
        pack(Run(DictStore(states)), tmp_path / "a.zarr")


def test_some_snapshots_of_a_run(small_run, tmp_path):
    pack(small_run[10:100:7], tmp_path / "some.zarr")
    assert_same(small_run[10:100:7], cnnviz.open_run(tmp_path / "some.zarr"))


def test_a_run_without_snapshots_and_one_with_nothing(tmp_path):
    for name, metrics in {"a": {"loss": (np.array([1]), np.array([2.0]))}, "b": {}}.items():
        run = Run(DictStore({}, metrics))
        pack(run, tmp_path / name)
        packed = cnnviz.open_run(tmp_path / name)
        assert_same(run, packed)
        assert len(packed) == 0


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_samples_come_back(tmp_path, dtype):
    images = torch.arange(5 * 3 * 4 * 4).reshape(5, 3, 4, 4).to(torch.uint8)
    store = DictStore(walk((2, 2), 3))
    kept = images / 255 if dtype == torch.uint8 else images / 255 - 0.1307
    store.kept = Samples(kept, torch.arange(5))
    pack(Run(store), tmp_path / "a.zarr")
    samples = open_archive(tmp_path / "a.zarr").samples()
    assert torch.equal(bits(samples.images), bits(kept))
    assert samples.labels.tolist() == [0, 1, 2, 3, 4]
    import zarr

    stored = zarr.open_group(tmp_path / "a.zarr", mode="r")["samples/images"]
    assert stored.dtype == ("uint8" if dtype == torch.uint8 else "float32")


def test_examples_come_back(tmp_path):
    store = DictStore(walk((2, 2), 3))
    correct = np.array([[1, 0, -1], [1, 1, 0]], np.int8)
    loss = np.array([[0.5, np.nan, -0.0], [1, 2, 3]], np.float32)
    store.done = Examples(correct, loss)
    pack(Run(store), tmp_path / "a.zarr")
    examples = open_archive(tmp_path / "a.zarr").examples()
    assert examples.correct.tolist() == correct.tolist()
    assert examples.loss.tobytes() == loss.tobytes()


@pytest.fixture(scope="module")
def trained():
    """The states of the convnet at every step of a real, quick training: to compress well they may not be made up."""
    from torch.nn import functional

    data = cnnviz.data.load("mnist-mini").train
    torch.manual_seed(0)
    model = cnnviz.models.build("convnet", channels=1, classes=10, image_size=28)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    states = {}
    for step, (images, labels) in enumerate(data.batches(torch.arange(len(data)), 32, "cpu")):
        states[step] = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        optimizer.zero_grad()
        functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
        if step == 127:
            break
    return states


def test_a_convnet_at_every_step_takes_less_than_half(trained, tmp_path):
    run = Run(DictStore(trained))
    pack(run, tmp_path / "a.zarr")
    raw = sum(tensor.nbytes for state in trained.values() for tensor in state.values())
    assert archive_bytes(tmp_path / "a.zarr") / raw < 0.45
    assert sum(1 for path in (tmp_path / "a.zarr").rglob("*") if path.is_file()) < 40
    assert_same(run, cnnviz.open_run(tmp_path / "a.zarr"))


def test_what_never_changes_costs_next_to_nothing(tmp_path):
    frozen = torch.randn(200, 200)
    pack(Run(DictStore(same(128, frozen=frozen))), tmp_path / "a.zarr")
    assert archive_bytes(tmp_path / "a.zarr") < 0.02 * 128 * frozen.nbytes


def test_zeros_are_no_bomb(tmp_path):
    run = Run(DictStore(same(128, zeros=torch.zeros(700, 1000))))
    pack(run, tmp_path / "a.zarr")
    stack = open_archive(tmp_path / "a.zarr").stacked(run.steps, ["zeros"])["zeros"]
    assert stack.shape == (128, 700, 1000)
    assert not stack.any()


def test_many_constant_metrics_are_no_bomb(tmp_path):
    metrics = {"lr": (np.arange(300_000), np.full(300_000, 1e-3)), "a": (np.array([1]), np.array([2.0]))}
    pack(Run(DictStore({}, metrics)), tmp_path / "a.zarr")
    store = open_archive(tmp_path / "a.zarr")
    assert np.array_equal(store.metric("lr")[0], np.arange(300_000))
    assert set(store.metric("lr")[1]) == {1e-3}
    assert store.metric("a")[1].tolist() == [2.0]


def test_zarr_reads_the_same_bits(small_run, packed):
    import zarr

    import cnnviz.archive.zarr_codec  # noqa: F401 - as the entry point does

    group = zarr.open_group(packed, mode="r")
    assert group.metadata.zarr_format == 3
    assert group["steps"][:].tolist() == list(range(150))
    arrays = {array.attrs["name"]: array for _, array in group["state"].arrays()}
    weight = small_run.store.stacked(small_run.steps, ["fc.weight"])["fc.weight"]
    values = arrays["fc.weight"][:].T.copy().view(np.float32).reshape(150, 5, 7)
    assert values.tobytes() == weight.numpy().tobytes()
    codec = arrays["fc.weight"].metadata.codecs[0].codecs[2]
    assert (codec.cname.value, codec.shuffle.value, codec.typesize) == ("zstd", "shuffle", 4)


def test_threads_read_together(small_run, packed):
    from concurrent.futures import ThreadPoolExecutor

    store = open_archive(packed)
    with ThreadPoolExecutor(8) as executor:
        found = list(executor.map(store.tensors, [step % 150 for step in range(0, 900, 7)]))
    for step, state in zip(range(0, 900, 7), found, strict=True):
        assert digest_of(state) == small_run.digests[step % 150]


def test_a_store_can_be_sent_to_another_process(small_run, packed):
    import copy

    store = copy.deepcopy(open_archive(packed))
    assert digest_of(store.tensors(7)) == small_run.digests[7]


def test_what_is_kept_is_bounded(packed):
    from cnnviz.archive.recent import Recent

    recent = Recent(1000)
    for number in range(50):
        recent.put(number, np.zeros(100, np.uint8))
        recent.get(0)
    assert recent.bytes == 1000
    assert recent.get(0) is not None
    assert recent.get(5) is None
    recent.put("large", np.zeros(2000, np.uint8))
    assert recent.get("large") is None


def test_a_running_run_is_refused(tmp_path):
    run = Run(DictStore(walk((2, 2), 3), status="running"))
    with pytest.raises(RunError, match="still being written"):
        pack(run, tmp_path / "a.zarr")
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_never_touched(small_run, tmp_path):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("a.zarr", "link"):
        with pytest.raises(RunError, match="exists already"):
            pack(small_run, tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "link"]
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="can't be written"):
        pack(small_run, tmp_path / "file" / "a.zarr")


@pytest.mark.parametrize("verify", [True, False])
def test_a_run_that_is_not_what_was_recorded_is_not_packed(small_run, tmp_path, verify):
    small_run.store.states[77]["fc.bias"][2] += 1
    if verify:
        with pytest.raises(RunError, match="at step 77 is not what was recorded"):
            pack(small_run, tmp_path / "a.zarr")
        assert list(tmp_path.iterdir()) == []
    else:
        pack(small_run, tmp_path / "a.zarr", verify=False)


def test_snapshots_that_go_away_meanwhile(small_run, tmp_path):
    view = small_run[:]
    del small_run.store.states[5]
    with pytest.raises(RunError, match="lost snapshots meanwhile"):
        pack(view, tmp_path / "a.zarr")


def test_progress_rises_to_one(small_run, tmp_path):
    told = []
    pack(small_run, tmp_path / "a.zarr", tell=told.append)
    assert all(a < b for a, b in itertools.pairwise(told))
    assert told[-1] == 1


def test_nothing_is_left_after_an_error(small_run, tmp_path):
    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(small_run, tmp_path / "a.zarr", tell=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_packing_leaves_no_archive(tmp_path):
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from runs_in_memory import DictStore, walk
from cnnviz.archive import pack
from cnnviz.recording.run import Run
def kill(_):
    os.kill(os.getpid(), signal.SIGKILL)
pack(Run(DictStore(walk((50, 70), 150))), {str(tmp_path / "a.zarr")!r}, tell=kill)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "a.zarr").exists()
    (left,) = tmp_path.iterdir()
    assert not is_archive(left)  # not under its own name either
    shutil.rmtree(left)


@pytest.mark.parametrize("library", ["zarr.storage", "numcodecs.blosc", "google_crc32c"])
def test_libraries_that_are_not_installed_are_named(small_run, packed, tmp_path, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    if library.startswith("zarr"):
        with pytest.raises(ConfigError, match=r"pip install 'cnnviz\[archive\]'"):
            pack(small_run, tmp_path / "a.zarr")
        assert digest_of(open_archive(packed).tensors(3)) == small_run.digests[3]  # reading needs none of it
    else:
        with pytest.raises(ConfigError, match=r"pip install 'cnnviz\[archive\]'"):
            open_archive(packed)


def test_what_is_an_archive(packed, tmp_path):
    assert is_archive(packed)
    assert is_archive(str(packed))
    assert is_archive(packed.as_uri())
    assert is_archive("s3://bucket/run")
    assert not is_archive(tmp_path)
    assert not is_archive(tmp_path / "nope")
    assert not is_archive("C:/runs/first")
    (tmp_path / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    assert not is_archive(tmp_path)


def test_a_real_training_reads_alike(run_path, tmp_path):
    run = cnnviz.open_run(run_path)
    pack(run, tmp_path / "real.zarr")
    packed = cnnviz.open_run(tmp_path / "real.zarr")
    assert_same(run, packed)
    assert torch.equal(packed.samples.images, run.samples.images)
    with torch.no_grad():
        assert torch.equal(packed.last.model()(run.samples.images), run.last.model()(run.samples.images))
    films = [cnnviz.plots.filters(source).panels[0].cells for source in (run, packed)]
    assert np.array_equal(*films)
    assert np.array_equal(packed.examples.correct, run.examples.correct)
