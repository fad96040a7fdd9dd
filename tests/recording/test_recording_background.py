"""Writing in a thread of its own: all is there as it was at the call, in bounded memory, and errors are told."""

import contextlib
import errno
import functools
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from twin import bits, check_no_leftovers, check_states, copied

import cnnviz
from cnnviz.errors import ConfigError, ModelError, RecordingWarning, RunError
from cnnviz.recording import background as background_module
from cnnviz.recording import outage as outage_module
from cnnviz.recording import recorder as recorder_module
from cnnviz.recording import snapshot_writer
from cnnviz.recording.background import BackgroundWriter
from cnnviz.recording.bare import trains_elsewhere
from cnnviz.recording.writer import Record, RunWriter

THREAD = "cnnviz-recorder"
PATIENCE = 20  # seconds after which a test that waits gives up, instead of waiting for ever


class Gate:
    """Holds the thread up before each record until it is let through."""

    def __init__(self, monkeypatch):
        self._passes = threading.Semaphore(0)
        put = RunWriter.put

        def held(writer, record):
            if threading.current_thread().name == THREAD:
                assert self._passes.acquire(timeout=PATIENCE)
            put(writer, record)

        monkeypatch.setattr(RunWriter, "put", held)

    def let(self, records=100_000):
        self._passes.release(records)


@pytest.fixture
def gate(monkeypatch):
    return Gate(monkeypatch)


@pytest.fixture
def alive(monkeypatch):
    """Count the bytes of the copies that are in memory, by when they are really freed."""
    count, copy = {"now": 0, "most": 0}, background_module._copy

    def free(size):
        count["now"] -= size

    def counted(tensor):
        result = copy(tensor)
        count["now"] += result.nbytes
        count["most"] = max(count["most"], count["now"])
        weakref.finalize(result, free, result.nbytes)
        return result

    monkeypatch.setattr(background_module, "_copy", counted)
    return count


def start(path, model=None, **options):
    model = nn.Linear(2, 1) if model is None else model
    return cnnviz.Recorder(path, model, background=True, **{"snapshots": cnnviz.every(1), **options})


def limited(monkeypatch, most_bytes):
    """Let recorders from now on keep so many bytes waiting."""
    writer = functools.partial(BackgroundWriter, most_bytes=most_bytes)
    monkeypatch.setattr(recorder_module, "BackgroundWriter", writer)


def until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def idle(recorder):
    """Wait until the thread has written all, or tried to."""
    until(lambda: not recorder._background._bytes)


def in_thread(call):
    """Call in another thread; return it, and where its error will be."""
    errors = []

    def run():
        try:
            call()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, errors


def network():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 300))
    model.append(nn.Linear(300, 300)).append(nn.Linear(300, 3))
    model[4].weight = nn.Parameter(model[4].weight.detach(), requires_grad=False)  # frozen: stored once
    model.append(nn.Linear(3, 3))
    model.append(nn.Linear(3, 3))
    model[7].weight = model[6].weight
    return model


def train(model, steps):
    """Train in place, and yield each step before it."""
    torch.manual_seed(1)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1, momentum=0.9)
    for step in range(steps):
        yield step
        optimizer.zero_grad()
        functional.cross_entropy(model(torch.randn(4, 1, 8, 8)), torch.randint(3, (4,))).backward()
        optimizer.step()


# --- all of it, as it was


@pytest.mark.parametrize("ahead", [0, 1, 15], ids=["step by step", "one ahead", "all waits"])
def test_values_are_those_of_the_call_however_far_the_training_is_ahead(ahead, gate, tmp_path):
    model, states = network(), {}
    with start(tmp_path / "r", model, snapshots=cnnviz.every(2)) as recorder:
        for step in train(model, 15):
            states[step] = copied(model.state_dict())
            recorder.record(step, {"a": step, "sum": model[0].weight.sum()})
            if step >= ahead:
                gate.let(1)
                until(lambda step=step: len(recorder._background._queue) <= ahead)
        with torch.no_grad():
            for tensor in model.state_dict().values():
                tensor.zero_()
        gate.let()
    run = cnnviz.open_run(tmp_path / "r")
    assert run.metric("a")[1].tolist() == list(range(15))
    assert run.metric("sum")[1].tolist() == [states[step]["0.weight"].sum().item() for step in range(15)]
    check_states(tmp_path / "r", {step: states[step] for step in range(0, 15, 2)})
    check_no_leftovers(tmp_path / "r")
    assert run.status == "finished"


def test_records_are_written_in_their_order(tmp_path, monkeypatch):
    written, put = [], RunWriter.put

    def noted(writer, record):
        written.append((threading.current_thread().name, record.step, dict(record.metrics)))
        put(writer, record)

    monkeypatch.setattr(RunWriter, "put", noted)
    with start(tmp_path / "r") as recorder:
        for step in range(50):
            recorder.record(step, {"a": 2 * step})
            recorder.record(step, {"b": 3 * step}, snapshot=False)
    kept = [(step, metrics) for thread, step, metrics in written if metrics]
    assert kept == [(step, metrics) for step in range(50) for metrics in ({"a": 2 * step}, {"b": 3 * step})]
    assert {thread for thread, *_ in written} == {THREAD}


def test_what_a_metric_was_does_not_change_with_its_tensor(gate, tmp_path):
    value = torch.tensor(1.5)
    with start(tmp_path / "r") as recorder:
        recorder.record(0, {"a": value})
        value.fill_(7)
        recorder.record(1, {"a": value})
        gate.let()
    assert cnnviz.open_run(tmp_path / "r").metric("a")[1].tolist() == [1.5, 7]


CALLS = st.lists(
    st.one_of(
        st.tuples(
            st.just("record"),
            st.integers(0, 2),  # how far the step goes on
            st.dictionaries(st.sampled_from("abc"), st.floats(), max_size=2),
            st.sampled_from([None, None, True, False]),
            st.sampled_from(["all", "head", "nothing", "grow"]),  # what changes before
        ),
        st.tuples(
            st.just("examples"), st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=4)
        ),
        st.sampled_from([("flush",), ("resume",)]),
    ),
    max_size=10,
)


class Alike:
    """The same training recorded twice: in place, and in the background."""

    def __init__(self, folder):
        self.paths, self.step = [folder / "in place", folder / "background"], 0
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(40, 40), nn.Linear(40, 2))
        self.recorders = []
        self.begin(resume=False)

    def begin(self, resume):
        options = {"snapshots": cnnviz.every(2), "resume": resume}
        self.recorders = [
            cnnviz.Recorder(path, self.model, background=background, **options)
            for path, background in zip(self.paths, (False, True), strict=True)
        ]

    def record(self, distance, metrics, snapshot, change):
        self.step += distance
        with torch.no_grad():
            if change == "all":
                self.model[0].weight += 1
            if change in ("all", "head"):
                self.model[1].weight += 1
        if change == "grow":
            self.model.append(nn.Linear(2, 2))
        for recorder in self.recorders:
            recorder.record(self.step, metrics, snapshot=snapshot)

    def examples(self, visits):
        indices, correct = zip(*visits, strict=True)
        for recorder in self.recorders:
            recorder.record_examples(self.step, indices, correct, [0.5] * len(visits))

    def flush(self):
        for recorder in self.recorders:
            recorder.flush()
        self.compare()

    def resume(self):
        self.close()
        self.begin(resume=True)

    def close(self):
        for recorder in self.recorders:
            recorder.close()
        self.compare()

    def compare(self):
        runs = [cnnviz.open_run(path) for path in self.paths]
        one, other = ([(e.step, e.bytes, e.digest) for e in run.entries()] for run in runs)
        assert one == other
        assert runs[0].metrics == runs[1].metrics
        for name in runs[0].metrics:
            for a, b in zip(runs[0].metric(name), runs[1].metric(name), strict=True):
                assert np.array_equal(a, b, equal_nan=True)
        assert runs[0].layers == runs[1].layers
        assert runs[0].status == runs[1].status
        assert np.array_equal(runs[0].examples.correct, runs[1].examples.correct)
        assert np.array_equal(runs[0].examples.loss, runs[1].examples.loss, equal_nan=True)
        for a, b in zip(*runs, strict=True):
            states = a.state.read(), b.state.read()
            assert states[0].keys() == states[1].keys()
            assert all(torch.equal(bits(states[0][name]), bits(states[1][name])) for name in states[0])


@pytest.mark.filterwarnings("ignore:.* holds no snapshot")
@given(calls=CALLS)
@settings(
    max_examples=12,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_calls_give_the_run_that_writing_in_place_gives(calls, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorder_module, "_EXAMPLES_SECONDS", 0.0)
        alike = Alike(tmp_path_factory.mktemp("any"))
        for name, *arguments in calls:
            getattr(alike, name)(*arguments)
        alike.close()


@pytest.mark.parametrize("seconds", [0.0, 5.0], ids=["at every step", "at the end"])
def test_examples_through_the_thread(seconds, gate, tmp_path, monkeypatch):
    monkeypatch.setattr(recorder_module, "_EXAMPLES_SECONDS", seconds)
    with start(tmp_path / "r") as recorder:
        for step in range(6):
            indices = torch.tensor([step % 3, 3])
            correct, loss = torch.tensor([step > 2, step % 2 == 0]), torch.tensor([0.5, 2.0])
            recorder.record_examples(step, indices, correct, loss)
            recorder.record(step)
            indices.zero_(), correct.zero_(), loss.zero_()  # who trains may use them again
        gate.let()
    examples = cnnviz.open_run(tmp_path / "r").examples
    assert examples.correct.tolist() == [
        [0, 0, 0, 1], [1, 1, 1, 0],
        [-1, -1, -1, 1], [-1, -1, -1, 0], [-1, -1, -1, 1], [-1, -1, -1, 0],
    ]  # fmt: skip
    assert np.abs(examples.loss[:2] / [[0.5, 0.5, 0.5, 2]] - 1).max() < 0.08


# --- bounded memory


def square(model_bytes=40_000):
    return nn.Linear(100, model_bytes // 400, bias=False)


def test_it_waits_for_room_and_takes_no_memory_before(gate, alive, tmp_path, monkeypatch):
    limited(monkeypatch, 130_000)  # three snapshots of 40,000 bytes, and what is around them
    model = square()
    recorder = start(tmp_path / "r", model)
    for step in range(3):
        model.weight.data.fill_(step)
        recorder.record(step)
    assert alive["now"] == 120_000
    model.weight.data.fill_(3)
    thread, errors = in_thread(lambda: recorder.record(3))
    thread.join(0.15)
    assert thread.is_alive()
    assert alive["now"] == 120_000  # what waits for room is not copied yet
    gate.let(1)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    until(lambda: alive["now"] == 120_000)
    gate.let()
    recorder.close()
    assert (errors, alive["now"]) == ([], 0)
    check_states(tmp_path / "r", {k: {"weight": torch.full((100, 100), float(k))} for k in range(4)})


@pytest.mark.parametrize(
    ("bound", "most"), [(10, 40_000), (60_000, 40_000), (100_000, 80_000), (450_000, 400_000)]
)
def test_a_slow_disk_never_makes_more_wait_than_the_bound(bound, most, alive, tmp_path, monkeypatch):
    limited(monkeypatch, bound)
    write_whole = snapshot_writer.write_whole

    def slowly(path, parts, *, durable):
        time.sleep(0.004)
        write_whole(path, parts, durable=durable)

    monkeypatch.setattr(snapshot_writer, "write_whole", slowly)
    model, counts = square(), []
    started = time.perf_counter()
    with start(tmp_path / "r", model) as recorder:
        for step in range(25):
            model.weight.data.fill_(step)
            recorder.record(step, {"a": step})
            counts.append(alive["now"])
        took = time.perf_counter() - started
    # As many as there is room for; one, however large, is always taken.
    assert alive["most"] == max(counts) == most
    assert took > (25 - most // 40_000 - 1) * 0.004
    assert alive["now"] == 0
    run = cnnviz.open_run(tmp_path / "r")
    assert run.series("weight")[:, 0, 0].tolist() == list(range(25))


def test_many_metrics_do_not_fill_the_memory_either(gate, tmp_path, monkeypatch):
    limited(monkeypatch, 100_000)
    recorder, taken = start(tmp_path / "r", snapshots=lambda step: False), []

    def record():
        for step in range(1000):
            recorder.record(step, {"a": step, "b": step})
            taken.append(step)

    thread, errors = in_thread(record)
    until(lambda: len(taken) > 20)
    thread.join(0.15)
    assert 20 < len(taken) < 200
    gate.let()
    thread.join(PATIENCE)
    recorder.close()
    assert errors == []
    assert cnnviz.open_run(tmp_path / "r").metric("b")[1].tolist() == list(range(1000))


# --- what goes wrong


def spoil(model):
    model.register_buffer("wrong", torch.eye(2).to_sparse())


@pytest.mark.parametrize("background", [False, True])
def test_what_cannot_be_recorded_is_told_once_and_costs_itself_only(background, tmp_path):
    model, told = nn.Linear(2, 1), []
    recorder = cnnviz.Recorder(tmp_path / "r", model, snapshots=cnnviz.every(1), background=background)
    for step in range(6):
        if step == 2:
            spoil(model)
        try:
            recorder.record(step, {"a": step})
        except ModelError as error:
            told.append((step, str(error)))
        if background:
            idle(recorder)
        if step == 2:
            del model.wrong
    recorder.close()
    assert [step for step, _ in told] == [3 if background else 2]
    assert "'wrong' can't be recorded: it is a tensor of torch.float32, torch.sparse_coo" in told[0][1]
    run = cnnviz.open_run(tmp_path / "r")
    assert run.steps.tolist() == run.metric("a")[0].tolist() == [0, 1, 3, 4, 5]
    assert run.status == "finished"  # the caller knew, and went on


@pytest.mark.filterwarnings("ignore:.* holds no snapshot")
@pytest.mark.parametrize("background", [False, True])
def test_examples_that_are_due_come_with_the_next_record(background, tmp_path, monkeypatch):
    monkeypatch.setattr(recorder_module, "_EXAMPLES_SECONDS", 3600.0)
    with cnnviz.Recorder(tmp_path / "r", nn.Linear(2, 1), background=background) as recorder:
        recorder.record_examples(1, [0, 1], [True, False], [0.1, 0.2])
        recorder._examples_due = 0.0  # as an hour later
        recorder.record(2, {"a": 1})
        if background:
            idle(recorder)
        assert cnnviz.open_run(tmp_path / "r").examples.correct.tolist() == [[1, 0]]


@pytest.mark.parametrize("background", [False, True])
def test_examples_outlive_a_step_that_cannot_be_recorded(background, tmp_path, monkeypatch):
    monkeypatch.setattr(recorder_module, "_EXAMPLES_SECONDS", 3600.0)
    model = nn.Linear(2, 1)
    recorder = cnnviz.Recorder(tmp_path / "r", model, snapshots=cnnviz.every(1), background=background)
    recorder.record_examples(0, [0, 1], [True, False], [0.1, 0.2])
    recorder._examples_due = 0.0
    spoil(model)
    with pytest.raises(ModelError):  # noqa: PT012 - in the background the second call
        recorder.record(0)
        recorder.flush()
    del model.wrong
    recorder.record_examples(1, [0, 1], [True, True], [0.1, 0.2])
    recorder.record(1)
    recorder.close()
    assert cnnviz.open_run(tmp_path / "r").examples.correct.tolist() == [[1, 0], [1, 1]]


@pytest.mark.parametrize("how", ["flush", "close", "with"])
def test_an_error_of_the_last_step_reaches_the_caller(how, gate, tmp_path):
    model = nn.Linear(2, 1)
    recorder = start(tmp_path / "r", model)
    recorder.record(0, {"a": 0})
    spoil(model)
    recorder.record(1, {"a": 1})
    gate.let()
    with pytest.raises(ModelError, match="'wrong' can't be recorded"):  # noqa: PT012 - one of three ways
        if how == "with":
            with recorder:
                pass
        getattr(recorder, how, None)()
    recorder.close()
    run = cnnviz.open_run(tmp_path / "r")
    assert run.steps.tolist() == run.metric("a")[0].tolist() == [0]
    if how == "flush":
        assert run.status == "finished"
    else:  # as where it is written in place, and `record` itself raises within the block
        assert (run.status, run.detail.partition(":")[0]) == ("failed", "ModelError")


def test_an_error_in_the_block_and_one_in_the_thread_are_both_told(gate, tmp_path):
    model = nn.Linear(2, 1)
    spoil(model)
    with pytest.raises(ModelError) as caught, start(tmp_path / "r", model) as recorder:  # noqa: PT012 - a block fails
        recorder.record(0)
        gate.let()
        raise ValueError("bad luck")
    assert repr(caught.value.__context__) == "ValueError('bad luck')"
    run = cnnviz.open_run(tmp_path / "r")
    assert (run.status, run.detail) == ("failed", "ValueError: bad luck")


def test_a_size_that_is_too_small_is_told(tmp_path):
    schedule = cnnviz.within(120_000, cnnviz.every(1))
    recorder = start(tmp_path / "r", nn.Linear(100, 100), snapshots=schedule)
    recorder.record(0)
    with pytest.raises(ConfigError, match=r"within\(120000\): .* allow more"):
        recorder.close()
    assert cnnviz.open_run(tmp_path / "r").status == "failed"


def test_a_full_disk_where_warnings_are_errors(tmp_path, monkeypatch):
    monkeypatch.setattr(outage_module, "_PATIENCE", 0.0)
    is_full, write_whole = [False], snapshot_writer.write_whole

    def write(path, parts, *, durable):
        if is_full[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write_whole(path, parts, durable=durable)

    monkeypatch.setattr(snapshot_writer, "write_whole", write)
    told = []
    with start(tmp_path / "r") as recorder:
        for step in range(9):
            is_full[0] = 3 <= step < 6
            try:
                recorder.record(step, {"a": step})
                recorder.flush()
            except RecordingWarning as warning:
                told.append(str(warning))
    assert ["No space left on device" in message for message in told] == [True]
    run = cnnviz.open_run(tmp_path / "r")
    assert run.steps.tolist() == [0, 1, 2, 6, 7, 8]
    # As in place, where the warning ends the call before its metrics.
    assert run.metric("a")[0].tolist() == [0, 1, 2, 4, 5, 6, 7, 8]
    assert run.status == "finished"


def test_a_thread_that_is_dead_is_told_and_not_waited_for(tmp_path, monkeypatch):
    def die(writer, record):
        raise SystemExit

    recorder = start(tmp_path / "r")
    recorder.record(0)
    idle(recorder)
    with monkeypatch.context() as patch:
        patch.setattr(threading, "excepthook", lambda _: None)
        patch.setattr(RunWriter, "put", die)
        recorder.record(1)
        recorder._background._thread.join(PATIENCE)
    for call in (lambda: recorder.record(2), recorder.flush, recorder.close):
        with pytest.raises(RunError, match="is not written any more: its thread has ended"):
            call()
    recorder.close()
    run = cnnviz.open_run(tmp_path / "r")
    assert (run.status, run.steps.tolist()) == ("failed", [0])
    start(tmp_path / "r", resume=True).close()  # its lock was given back


# --- the end


def test_closing_waits_for_all(gate, tmp_path):
    recorder = start(tmp_path / "r")
    for step in range(20):
        recorder.record(step, {"a": step})
    thread, errors = in_thread(recorder.close)
    thread.join(0.1)
    assert thread.is_alive()
    run = cnnviz.open_run(tmp_path / "r")
    assert (run.status, len(run)) == ("running", 0)
    gate.let()
    thread.join(PATIENCE)
    assert (errors, run.status) == ([], "finished")
    assert run.steps.tolist() == run.metric("a")[0].tolist() == list(range(20))
    assert not recorder._background._thread.is_alive()


@pytest.mark.parametrize("background", [False, True])
def test_after_the_end(background, tmp_path):
    recorder = cnnviz.Recorder(tmp_path / "r", nn.Linear(2, 1), background=background)
    recorder.record(0, {"a": 1})
    recorder.close("stopped", "enough")
    recorder.close("failed", "twice")
    recorder.flush()  # all is written
    for call in (lambda: recorder.record(1), lambda: recorder.record_examples(1, [0], [True], [0.1])):
        with pytest.raises(RunError, match="is closed; nothing more can be recorded"):
            call()
    run = cnnviz.open_run(tmp_path / "r")
    assert (run.status, run.detail, run.steps.tolist()) == ("stopped", "enough", [0])


@pytest.mark.parametrize(
    ("exception", "status"), [(ValueError("no"), "failed"), (KeyboardInterrupt(), "stopped")]
)
def test_an_exception_loses_nothing_of_what_came_before(exception, status, gate, tmp_path):
    model, states = nn.Linear(30, 30), {}
    with contextlib.suppress(type(exception)), start(tmp_path / "r", model) as recorder:
        for step in range(10):
            model.weight.data.fill_(step)
            states[step] = copied(model.state_dict())
            recorder.record(step, {"a": step})
        gate.let()
        raise exception
    run = cnnviz.open_run(tmp_path / "r")
    assert run.status == status
    assert run.metric("a")[1].tolist() == list(range(10))
    check_states(tmp_path / "r", states)


# --- others meanwhile


def test_a_reader_sees_a_prefix_and_never_part_of_a_step(tmp_path, monkeypatch):
    write_whole = snapshot_writer.write_whole

    def slowly(path, parts, *, durable):
        time.sleep(0.003)
        write_whole(path, parts, durable=durable)
        time.sleep(0.003)  # the file is there, the index has no row of it yet

    monkeypatch.setattr(snapshot_writer, "write_whole", slowly)
    model = nn.Linear(20, 20)
    recorder = start(tmp_path / "r", model)
    run, counts = cnnviz.open_run(tmp_path / "r"), []
    for step in range(40):
        model.weight.data.fill_(step)
        model.bias.data.fill_(step)
        recorder.record(step, {"a": step, "b": -step})
    thread, errors = in_thread(recorder.close)
    while thread.is_alive():
        count = len(run)
        steps = run.steps.tolist()
        assert steps == list(range(len(steps)))
        assert run.metric("a")[1][: len(steps)].tolist() == steps if steps else True
        assert (-run.metric("b")[1][: len(steps)]).tolist() == steps if steps else True
        for tensor in run[-1].state.read().values() if steps else ():
            assert (tensor >= steps[-1]).all()
            assert len(tensor.unique()) == 1
        counts.append(count)
    thread.join()
    assert errors == []
    assert counts == sorted(counts)
    assert len(set(counts)) > 5  # it was looked at on the way
    assert len(run) == 40


# A training that forks, as loaders of data do, and that nobody closes. Its disk is slow, so that much waits.
FORKS = """
    import os, sys, threading, time
    import torch
    from torch import nn
    import cnnviz
    from cnnviz.recording.writer import RunWriter
    put = RunWriter.put
    def slowly(writer, record):
        time.sleep(0.01)
        put(writer, record)
    RunWriter.put = slowly
    model = nn.Linear(3, 3)
    recorder = cnnviz.Recorder(sys.argv[1], model, snapshots=cnnviz.every(1), background=True)
    def train(steps):
        for step in steps:
            model.weight.data.fill_(step)
            recorder.record(step, {"a": step})
    def fork(work):
        child = os.fork()
        if child == 0:
            work()
            sys.exit(0)
        end = time.monotonic() + 20
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            assert time.monotonic() < end, "the forked process hangs"
            time.sleep(0.01)
    def record():
        try:
            recorder.record(1000)
        except cnnviz.CnnvizError as error:
            print(error, flush=True)
    train(range(10))
    recorder.flush()
    fork(record)  # it has no such thread
    train(range(10, 30))
    held, free = threading.Event(), threading.Event()
    def hold():
        with recorder._background._changed:  # as its thread may just then
            held.set()
            free.wait(30)
    threading.Thread(target=hold).start()
    held.wait()
    fork(lambda: None)
    free.set()
    train(range(30, 60))
"""


def test_forked_processes_and_an_end_without_close(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(FORKS), str(tmp_path / "r")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"{tmp_path / 'r'} is not written any more: its thread has ended"]
    run = cnnviz.open_run(tmp_path / "r")
    assert run.steps.tolist() == run.metric("a")[1].tolist() == list(range(60))
    assert run.series("weight")[:, 0, 0].tolist() == list(range(60))
    assert run.status == "interrupted"


# --- where it is used


class On:
    """As much of a network as is asked."""

    def __init__(self, *devices):
        self.devices = devices

    def parameters(self):
        return [type("Parameter", (), {"device": torch.device(device)}) for device in self.devices]


def test_which_trainings_are_written_in_the_background(tmp_path, monkeypatch):
    for devices, elsewhere in (
        ([], False), (["cpu"], False), (["cpu", "meta"], False),
        (["cuda"], True), (["cpu", "cuda:1"], True), (["mps"], True), (["xpu"], True),
    ):  # fmt: skip
        assert trains_elsewhere(On(*devices)) == elsewhere
    with cnnviz.Recorder(tmp_path / "here", nn.Linear(1, 1)) as recorder:
        assert recorder._background is None
    monkeypatch.setattr(recorder_module, "trains_elsewhere", lambda model: True)
    with cnnviz.Recorder(tmp_path / "there", nn.Linear(1, 1)) as recorder:
        assert recorder._background is not None
    with cnnviz.Recorder(tmp_path / "told", nn.Linear(1, 1), background=False) as recorder:
        assert recorder._background is None


def test_no_thread_stays_of_a_run_that_cannot_begin(tmp_path):
    before = threading.active_count()
    start(tmp_path / "r").close()
    for _ in range(2):
        with pytest.raises(RunError, match="exists already"):
            start(tmp_path / "r")
    assert threading.active_count() == before


def test_the_queue_alone(tmp_path):
    """Metrics that are computed later are read when they are there, and join those that are known."""

    class Notes:
        def __init__(self):
            self.records, self.ended = [], None

        def put(self, record):
            self.records.append((record.step, dict(record.metrics)))

        def close(self, status, detail):
            self.ended = status, detail

    notes, loss = Notes(), torch.tensor([3.0])
    writer = BackgroundWriter(notes)
    writer.put(Record(1, {"a": 1.0}), {"loss": loss})
    loss.zero_()
    writer.put(Record(2), {"loss": loss})
    writer.flush()
    assert notes.records == [(1, {"a": 1.0, "loss": 3.0}), (2, {"loss": 0.0})]
    writer.close("diverged", "so")
    assert notes.ended == ("diverged", "so")
