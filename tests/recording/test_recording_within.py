"""A run that must stay within a size: it does at every step, its snapshots lie evenly, and readers are told."""

import math
import re
import threading
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from twin import check_no_leftovers, check_states, check_these, copied, disk_bytes, same_states

import cnnviz
from cnnviz.errors import ConfigError, RecordingWarning, RunError, StepError
from cnnviz.recording.retention import _SPARE
from cnnviz.recording.schedule import at, epochs, every, log_spaced, within

BLOCK = 4096


def in_blocks(path):
    """Return what the folder takes, by the length of its files: a slow twin of what retention counts."""
    return sum(-(-p.lstat().st_size // BLOCK) * BLOCK for p in [path, *path.rglob("*")])


def files(path):
    return {file.name: file.read_bytes() for file in path.rglob("*") if file.is_file()}


class Changes:
    """Networks whose tensors change in one way or another; each gives a new state a step."""

    @staticmethod
    def all_of_it(step, model):
        for parameter in model.parameters():
            parameter += 1

    @staticmethod
    def the_head(step, model):
        model[-1].weight += 1

    @staticmethod
    def all_until_it_freezes(step, model):
        (Changes.all_of_it if step < 30 else Changes.the_head)(step, model)

    @staticmethod
    def one_part_after_the_other(step, model):
        model[step // 10 % 3].weight += 1

    @staticmethod
    def one_part_and_then_the_next(step, model):
        model[step % 3].weight += 1

    @staticmethod
    def all_of_it_and_it_grows(step, model):
        Changes.all_of_it(step, model)
        if step in (20, 21):
            model.append(nn.Linear(40, 40))


CHANGES = [
    Changes.all_of_it,
    Changes.the_head,
    Changes.all_until_it_freezes,
    Changes.one_part_after_the_other,
    Changes.one_part_and_then_the_next,
    Changes.all_of_it_and_it_grows,
]


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(40, 40), nn.Linear(40, 40), nn.Linear(40, 10))


def slow_drop(steps, count, axis=lambda step: step):
    """Return the steps that stay when so many go, looking at all of them before each."""
    kept = list(steps)
    for _ in range(count):
        gaps = [axis(kept[i + 1]) - axis(kept[i - 1]) for i in range(1, len(kept) - 1)]
        kept.pop(1 + gaps.index(min(gaps)))
    return kept


# --- the size, and what stays


@pytest.mark.parametrize("size", [380_000, 480_000])
@pytest.mark.parametrize("change", CHANGES, ids=[change.__name__ for change in CHANGES])
def test_it_never_takes_more_than_its_size(change, size, tmp_path):
    model, states, before, thinned = network(), {}, [], 0
    samples = (torch.zeros(3, 1, 5, 8), torch.arange(3))
    with cnnviz.Recorder(
        tmp_path / "r", model, snapshots=within(size, every(1)), samples=samples
    ) as recorder:
        run = cnnviz.open_run(tmp_path / "r")
        for step in range(80):
            with torch.no_grad():
                change(step, model)
            states[step] = copied(model.state_dict())
            recorder.record(step, {"a": step, "b": -step})
            assert disk_bytes(tmp_path / "r") <= size, step
            assert in_blocks(tmp_path / "r") <= size, step
            kept = run.steps.tolist()
            assert (kept[0], kept[-1]) == (0, step)
            gone = len(before) + 1 - len(kept)
            assert kept == slow_drop([*before, step], gone)
            thinned += gone
            before = kept
    assert disk_bytes(tmp_path / "r") <= size
    assert thinned > 10
    gaps = np.diff(kept)
    # Where later snapshots take less, there is room for more, and these lie closer together than the first.
    assert gaps.max() <= (2 if change in (Changes.all_of_it, Changes.the_head) else 2.5) * gaps.mean()
    run = cnnviz.open_run(tmp_path / "r")
    assert run.steps.tolist() == kept
    assert run.metric("a")[1].tolist() == list(range(80))
    assert run.metric("b")[1].tolist() == [-step for step in range(80)]
    check_states(tmp_path / "r", {step: states[step] for step in kept})
    check_no_leftovers(tmp_path / "r")


@pytest.mark.parametrize("change", CHANGES[:-1], ids=[change.__name__ for change in CHANGES[:-1]])
def test_no_more_goes_than_must(change, tmp_path):
    """The folder is made smaller by a 32nd; not more than by the last snapshot that goes, and what it alone shared."""
    model, size, before, times = network(), 520_000, 0, 0
    last = 2 * 5 * BLOCK  # the whole network takes 14,760 bytes, and some for names
    with cnnviz.Recorder(tmp_path / "r", model, snapshots=within(size, every(1))) as recorder:
        run = cnnviz.open_run(tmp_path / "r")
        for step in range(120):
            with torch.no_grad():
                change(step, model)
            recorder.record(step, {"a": step})
            if len(run) <= before:
                times += 1
                assert in_blocks(tmp_path / "r") > size * 31 / 32 - last - _SPARE
            before = len(run)
    assert times > 10


def test_what_lies_in_the_folder_counts(tmp_path):
    """A checkpoint of the training leaves less room for snapshots, and is never touched."""
    model, size = nn.Linear(60, 60), 700_000
    counts = []
    with cnnviz.Recorder(tmp_path / "r", model, snapshots=within(size, every(1))) as recorder:
        for step in range(60):
            if step == 40:
                (tmp_path / "r" / "resume.safetensors").write_bytes(bytes(250_000))
            with torch.no_grad():
                model.weight += 1
            recorder.record(step)
            assert disk_bytes(tmp_path / "r") <= size
            counts.append(len(cnnviz.open_run(tmp_path / "r")))
    assert counts[39] - counts[40] >= 250_000 // (4 * BLOCK) - 1
    assert (tmp_path / "r" / "resume.safetensors").stat().st_size == 250_000
    gaps = np.diff(cnnviz.open_run(tmp_path / "r").steps)
    assert gaps.max() <= 2 * gaps.mean()


@pytest.mark.parametrize("background", [False, True])
def test_metrics_alone_thin_as_well(background, tmp_path):
    """Metrics are never thinned: what they need, snapshots give."""
    model, size = nn.Linear(60, 60), 400_000
    options = {"snapshots": within(size, lambda step: step < 20), "background": background}
    with cnnviz.Recorder(tmp_path / "r", model, **options) as recorder:
        for step in range(20):
            with torch.no_grad():
                model.weight += 1
            recorder.record(step)
        recorder.flush()
        before = len(cnnviz.open_run(tmp_path / "r"))
        for step in range(20, 300):
            recorder.record(step, {f"metric {k}": step for k in range(8)})
            if step % 10 == 0:
                recorder.flush()
                assert disk_bytes(tmp_path / "r") <= size
    run = cnnviz.open_run(tmp_path / "r")
    assert 2 < len(run) < before
    assert (run.steps[0], run.steps[-1]) == (0, 19)
    assert len(run.metric("metric 7")[0]) == 280


# --- evenly


def record_due(path, schedule, stop, **options):
    """Record a network that changes at every step of the schedule below `stop`; return all these steps."""
    model = nn.Linear(50, 50)
    due = []
    with cnnviz.Recorder(path, model, snapshots=schedule, **options) as recorder:
        wanted = recorder._schedule
        for step in range(stop):
            if wanted(step):
                with torch.no_grad():
                    model.weight.fill_(step)
                    model.bias.fill_(step)
                recorder.record(step)
                due.append(step)
    return due


@pytest.mark.parametrize(
    ("schedule", "stop"),
    [
        (within("420 kB", every(3)), 450),
        (within("420 kB", every(4, per_epoch=10)), 400),
        (within("420 kB", epochs(2)), 1400),
        (within("420 kB", log_spaced(60)), 3000),
        (within("420 kB", log_spaced(25)) | at(5, 77), 30_000),
    ],
    ids=str,
)
def test_snapshots_lie_evenly_along_their_schedule(schedule, stop, tmp_path):
    due = record_due(tmp_path / "r", schedule, stop, steps_per_epoch=5)
    run = cnnviz.open_run(tmp_path / "r")
    kept = run.steps.tolist()
    assert 8 < len(kept) < len(due) / 2
    assert (kept[0], kept[-1]) == (due[0], due[-1])
    assert set(kept) <= set(due)
    # Counted in what the schedule wanted, so that log-spaced ones stay so.
    gaps = np.diff([due.index(step) for step in kept])
    assert gaps.max() <= 2 * gaps.mean() + 1
    if "log_spaced" not in str(schedule):
        gaps = np.diff(kept)
        assert gaps.max() <= 2 * gaps.mean()
    else:
        late = np.log10([step for step in kept if step >= 30])
        assert np.diff(late).max() <= 2.2 * np.diff(late).mean()
    check_these(run, {step: {"weight": torch.full((50, 50), float(step)),
                             "bias": torch.full((50,), float(step))} for step in kept})  # fmt: skip
    assert disk_bytes(tmp_path / "r") <= 420_000


def test_the_evenness_does_not_depend_on_what_snapshots_take(tmp_path):
    """Every tenth is three times as large; large and small ones stay as their place has it."""
    small, large = nn.Linear(40, 40), nn.Linear(70, 70)
    with cnnviz.Recorder(
        tmp_path / "r", nn.ModuleList([small, large]), snapshots=within(600_000, every(1))
    ) as recorder:
        for step in range(120):
            with torch.no_grad():
                small.weight += 1
                if step % 10 == 0:
                    large.weight += 1
            recorder.record(step)
            assert disk_bytes(tmp_path / "r") <= 600_000
    gaps = np.diff(cnnviz.open_run(tmp_path / "r").steps)
    assert len(gaps) > 8
    assert gaps.max() <= 2 * gaps.mean()


# --- too small


def told(error):
    """Return the sizes that a message tells, of which the last is the one that is needed."""
    return [int(number.replace(",", "")) for number in re.findall(r"([\d,]{4,}) bytes|some ([\d,]+)", str(error))
            for number in number if number]  # fmt: skip


def attempt(path, size, steps=2):
    model = nn.Linear(100, 100)
    with cnnviz.Recorder(path, model, snapshots=within(size, every(1))) as recorder:
        for step in range(steps):
            with torch.no_grad():
                model.weight += 1
            recorder.record(step, {"a": step})


def test_a_size_too_small_for_anything(tmp_path):
    message = r"within\(1000\): the run's files take [\d,]+ bytes before its first snapshot; allow more"
    with pytest.raises(ConfigError, match=message):
        attempt(tmp_path / "r", 1000)
    assert not list(tmp_path.glob("r/*"))  # the name is free


def test_a_size_too_small_for_two_snapshots_says_how_much_is_needed(tmp_path):
    one = 10 * BLOCK  # 40,400 bytes and the header
    with pytest.raises(ConfigError, match=r"within\(120000\): .* first snapshot .* allow more") as caught:
        attempt(tmp_path / "a", 120_000)
    alone, both = told(caught.value)
    assert both - alone == one
    assert 120_000 < alone <= disk_bytes(tmp_path / "a") + 20 * BLOCK
    run = cnnviz.open_run(tmp_path / "a")
    assert run.status == "failed"
    assert "allow more" in run.detail
    with pytest.raises(ConfigError, match=r"first and last snapshot and its other files take") as caught:
        attempt(tmp_path / "b", alone + one // 2)
    (both,) = told(caught.value)
    assert both > alone + one // 2
    # The database grows in steps, and its log until it is folded: that comes on top of what was told.
    attempt(tmp_path / "c", both + 200_000, steps=30)
    run = cnnviz.open_run(tmp_path / "c")
    assert run.status == "finished"
    assert {0, 29} <= set(run.steps.tolist())


def test_metrics_that_outgrow_the_size_end_no_training(tmp_path):
    model = nn.Linear(50, 50)
    snapshots = within(250_000, lambda step: step < 3)
    with (
        warnings.catch_warnings(record=True) as found,
        cnnviz.Recorder(tmp_path / "r", model, snapshots=snapshots) as recorder,
    ):
        warnings.simplefilter("always")
        for step in range(250):
            recorder.record(step, {f"metric {k}": math.pi * step for k in range(40)})
            with torch.no_grad():
                model.weight += 1
    (warning,) = found
    assert warning.category is RecordingWarning
    assert re.match(r"within\(250000\): .* allow more", str(warning.message))
    run = cnnviz.open_run(tmp_path / "r")
    assert run.steps.tolist() == [0, 2]
    assert len(run.metric("metric 3")[0]) == 250


# --- going on


def go_on(path, size, **options):
    schedule = every(1) if size is None else within(size, every(1))
    return cnnviz.Recorder(path, nn.Linear(50, 50), snapshots=schedule, resume=True, **options)


@pytest.fixture
def forty(tmp_path):
    """A finished run of 40 snapshots, and its states."""
    model, states = nn.Linear(50, 50), {}
    with cnnviz.Recorder(tmp_path / "r", model, snapshots=every(1)) as recorder:
        for step in range(40):
            with torch.no_grad():
                model.weight += 1  # the bias, which is small, stays as it is
            states[step] = copied(model.state_dict())
            recorder.record(step, {"a": step})
    return states


def test_going_on_with_a_smaller_size_thins_at_once(forty, tmp_path):
    lengths = []
    for size in (None, 10**6, 400_000, 300_000, 10**6):
        with go_on(tmp_path / "r", size):
            run = cnnviz.open_run(tmp_path / "r")
            assert run.status == "running"
            if size is not None:
                assert disk_bytes(tmp_path / "r") <= size
            steps = run.steps
            assert (steps[0], steps[-1]) == (0, 39)
            gaps = np.diff(steps)
            assert gaps.max() <= 2 * gaps.mean()
            lengths.append(len(steps))
        if size is not None:
            assert disk_bytes(tmp_path / "r") <= size
    assert lengths[:2] == [40, 40]
    assert 40 > lengths[2] > lengths[3] >= lengths[4] > 3
    run = cnnviz.open_run(tmp_path / "r")
    assert run.metric("a")[1].tolist() == list(range(40))
    check_states(tmp_path / "r", {step: forty[step] for step in run.steps.tolist()})
    check_no_leftovers(tmp_path / "r")


def test_going_on_stays_within_the_size(forty, tmp_path):
    with go_on(tmp_path / "r", 350_000) as recorder:
        for step in range(40, 80):
            with torch.no_grad():
                recorder._model.weight.fill_(step)
            recorder.record(step, {"a": step})
            assert disk_bytes(tmp_path / "r") <= 350_000
    run = cnnviz.open_run(tmp_path / "r")
    gaps = np.diff(run.steps)
    assert (run.steps[0], run.steps[-1]) == (0, 79)
    assert gaps.max() <= 2 * gaps.mean()
    assert run.metric("a")[1].tolist() == list(range(80))


def test_going_on_with_too_small_a_size_deletes_nothing(forty, tmp_path):
    before = files(tmp_path / "r" / "snapshots")
    with pytest.raises(ConfigError, match=r"within\(90000\): .* first and last .* allow more") as caught:
        go_on(tmp_path / "r", 90_000)
    assert files(tmp_path / "r" / "snapshots") == before
    run = cnnviz.open_run(tmp_path / "r")
    assert (run.status, len(run)) == ("finished", 40)
    check_states(tmp_path / "r", forty)
    (least,) = told(caught.value)
    with pytest.warns(RecordingWarning) if least < 150_000 else pytest.MonkeyPatch.context():
        go_on(tmp_path / "r", least).close()  # the log needs room, too, while it is written
    assert cnnviz.open_run(tmp_path / "r").steps.tolist() == [0, 39]


def test_going_on_with_shared_files(tmp_path):
    """What the first and last snapshot share stays; what only others shared goes with the last of them."""
    model, states = nn.Sequential(nn.Linear(60, 60), nn.Linear(60, 60)), {}
    with cnnviz.Recorder(tmp_path / "r", model, snapshots=every(1)) as recorder:
        for step in range(30):
            with torch.no_grad():
                model[0].weight.fill_(step // 5)
                model[1].weight.fill_(step)
            states[step] = copied(model.state_dict())
            recorder.record(step)
    assert len(list((tmp_path / "r" / "shared").iterdir())) == 6
    sizes = (700_000, 330_000)
    for size in sizes:
        with cnnviz.Recorder(tmp_path / "r", model, snapshots=within(size, every(1)), resume=True):
            assert disk_bytes(tmp_path / "r") <= size
        steps = cnnviz.open_run(tmp_path / "r").steps.tolist()
        check_states(tmp_path / "r", {step: states[step] for step in steps})
        check_no_leftovers(tmp_path / "r")
    assert len(list((tmp_path / "r" / "shared").iterdir())) < 6


# --- readers


def test_who_holds_what_is_thinned_out_is_told_so(forty, tmp_path):
    run = cnnviz.open_run(tmp_path / "r", model=lambda: nn.Linear(50, 50))
    view, snapshots = run[:], list(run)
    with go_on(tmp_path / "r", 300_000):
        pass
    kept = run.steps.tolist()
    assert view.steps.tolist() == list(range(40))
    gone = next(step for step in range(40) if step not in kept)
    message = f"the snapshot at step {gone} of .*r is gone: it was thinned out"
    looks = (
        lambda snapshot: snapshot.state.read(), lambda snapshot: snapshot.state["weight"], lambda s: list(s.state),
        lambda snapshot: snapshot.model(), lambda s: s.digest, lambda s: s.bytes, lambda s: "weight" in s.state,
        lambda snapshot: snapshot.alone().series("weight"), lambda _: view.series("weight"),
    )  # fmt: skip
    for look in looks:
        with pytest.raises(StepError, match=message):
            look(snapshots[gone])
    with pytest.raises(StepError, match=rf"has no snapshot at step {gone}; the nearest"):
        run.at(gone)
    for step in kept:
        assert same_states(snapshots[step].state.read(), forty[step])
        assert torch.equal(snapshots[step].model().weight, forty[step]["weight"])
    assert run.series("weight").shape == (len(kept), 50, 50)
    # What is damaged was not thinned out, and says so.
    (tmp_path / "r" / "snapshots" / "00000039.safetensors").write_bytes(b"")
    with pytest.raises(RunError, match=r"00000039\.safetensors") as caught:
        snapshots[39].state.read()
    assert not isinstance(caught.value, StepError)


def test_reading_while_snapshots_go(tmp_path):
    """Whoever reads meanwhile gets what was recorded, or is told that it was thinned out."""
    model, done = nn.Sequential(nn.Linear(50, 50), nn.Linear(50, 50)), threading.Event()
    found, problems = {"read": 0}, []

    def read(run):
        try:
            while not done.wait(0.002):  # the log can't be folded while it is read all the time
                for snapshot in run[:]:
                    try:
                        state = snapshot.state.read()
                    except StepError as error:
                        found[str(error).partition(" is gone: ")[2]] = snapshot.step
                        continue
                    assert (state["0.weight"] == snapshot.step // 10).all()
                    assert (state["1.weight"] == snapshot.step).all()
                    found["read"] += 1
        except BaseException as error:
            problems.append(error)

    with cnnviz.Recorder(tmp_path / "r", model, snapshots=within(500_000, every(1))) as recorder:
        thread = threading.Thread(target=read, args=[cnnviz.open_run(tmp_path / "r")])
        thread.start()
        for step in range(150):
            model[0].weight.data.fill_(step // 10)
            model[1].weight.data.fill_(step)
            recorder.record(step, {"a": step})
        done.set()
        thread.join()
    assert problems == []
    assert found["read"] > 20
    assert set(found) <= {"read", "it was thinned out"}
