"""What does not change is stored once, and that never costs a bit of any snapshot."""

import contextlib

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from twin import (
    Bomb,
    Killed,
    as_killed,
    begin,
    check_no_leftovers,
    check_states,
    copied,
    disk_bytes,
    folder_bytes,
    same_states,
)

import cnnviz
from cnnviz.errors import RunError
from cnnviz.recording.writer import RunWriter


def ones(value, size=2048):
    return torch.full((size,), float(value))


def fine_tune(path, freeze, steps=100):
    """Train the last layer of a network alone; return the bytes of one whole snapshot and of what changes."""
    torch.manual_seed(0)
    body = [nn.Sequential(nn.Linear(400, 400), nn.ReLU()) for _ in range(4)]
    model = nn.Sequential(*body, nn.Linear(400, 5))
    if freeze:
        model.requires_grad_(False)
        model[-1].requires_grad_(True)
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1, momentum=0.9)
    else:
        optimizer = torch.optim.SGD(model[-1].parameters(), lr=0.1, momentum=0.9)
    states = {}
    with cnnviz.Recorder(path, model, snapshots=cnnviz.every(1)) as recorder:
        for step in range(steps):
            optimizer.zero_grad()
            functional.cross_entropy(model(torch.randn(4, 400)), torch.randint(5, (4,))).backward()
            optimizer.step()
            recorder.record(step, {"a": step})
            states[step] = copied(model.state_dict())
    sizes = {name: tensor.nbytes for name, tensor in model.state_dict().items()}
    return states, sum(sizes.values()), sizes["4.weight"] + sizes["4.bias"]


@pytest.mark.parametrize("freeze", [True, False])
def test_fine_tuning_the_last_layer(freeze, tmp_path):
    states, one, changing = fine_tune(tmp_path / "r", freeze)
    stored = sum(folder_bytes(tmp_path / "r" / folder) for folder in ("snapshots", "shared"))
    assert one + 100 * changing < stored < 1.2 * one + 100 * changing
    assert len(list((tmp_path / "r" / "shared").iterdir())) == 1
    run = cnnviz.open_run(tmp_path / "r")
    check_states(tmp_path / "r", states)
    sizes = [snapshot.bytes for snapshot in run]
    assert sizes == [file.stat().st_size for file in sorted((tmp_path / "r" / "snapshots").iterdir())]
    assert len(set(run.digests)) == 100
    stacked = run.stacked(["0.0.weight", "4.weight"])
    assert torch.equal(stacked["0.0.weight"], states[0]["0.0.weight"].expand(100, 400, 400))


def test_a_network_that_never_changes_is_stored_once(tmp_path):
    model = nn.Linear(300, 300)
    with cnnviz.Recorder(tmp_path / "r", model, snapshots=cnnviz.every(1)) as recorder:
        for step in range(50):
            recorder.record(step)
    whole = model.weight.nbytes
    assert folder_bytes(tmp_path / "r" / "shared") < 1.01 * whole + 2000
    assert folder_bytes(tmp_path / "r" / "snapshots") < 50 * 1000
    check_states(tmp_path / "r", dict.fromkeys(range(50), model.state_dict()))


def test_a_network_that_always_changes_shares_nothing(tmp_path):
    writer = begin(tmp_path / "r")
    for step in range(3):
        writer.write(step, {}, {"a": ones(step), "tiny": torch.zeros(3)})
    writer.close()
    assert not (tmp_path / "r" / "shared").exists()  # what never changes is too small to be worth it


def damage(file, how):
    if how == "gone":
        file.unlink()
    elif how == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    elif how == "noise":
        file.write_bytes(b"\x10" + bytes(7) + b"{" * 2000)
    else:
        file.write_bytes(b"")


@pytest.mark.parametrize("how", ["gone", "cut", "noise", "empty"])
@pytest.mark.parametrize("damaged", range(6))
def test_one_damaged_snapshot_costs_that_snapshot_only(damaged, how, tmp_path):
    writer, states = begin(tmp_path / "r"), {}
    # b never changes, a freezes after step 1, thaws at 4, and what is at step 3 is just as it was at step 2
    for step, (a, c) in enumerate([(0, 0), (1, 1), (1, 2), (1, 2), (2, 3), (2, 4)]):
        states[step] = {"a": ones(a), "b": ones(7), "c": ones(c)}
        writer.write(step, {}, states[step])
    writer.close()
    check_states(tmp_path / "r", states)
    damage(tmp_path / "r" / "snapshots" / f"{damaged:08d}.safetensors", how)
    run = cnnviz.open_run(tmp_path / "r")
    for snapshot in run:
        if snapshot.step == damaged:
            with pytest.raises(RunError, match=f"{damaged:08d}.safetensors"):
                snapshot.state.read()
        else:
            assert same_states(snapshot.state.read(), states[snapshot.step])


@pytest.mark.parametrize("damaged", [0, 2])
def test_going_on_after_a_damaged_snapshot(damaged, tmp_path):
    states = {step: {"a": ones(1), "b": ones(step)} for step in range(6)}
    writer = begin(tmp_path / "r")
    for step in range(3):
        writer.write(step, {}, states[step])
    writer.close()
    damage(tmp_path / "r" / "snapshots" / f"{damaged:08d}.safetensors", "noise")
    writer = RunWriter(tmp_path / "r", resume=True)
    for step in range(3, 6):
        writer.write(step, {}, states[step])
    writer.close()
    run = cnnviz.open_run(tmp_path / "r")
    assert run.steps.tolist() == [0, 1, 2, 3, 4, 5]
    for step in set(range(6)) - {damaged}:
        assert same_states(run.at(step).state.read(), states[step])


def test_a_snapshot_that_was_lost_while_training_costs_itself_only(tmp_path):
    states = {step: {"a": ones(1), "b": ones(step)} for step in range(3)}
    writer = begin(tmp_path / "r")
    writer.write(0, {}, states[0])
    (tmp_path / "r" / "snapshots" / "00000000.safetensors").unlink()
    writer.write(1, {}, states[1])  # finds a unchanged, and would take it out of the first one
    writer.write(2, {}, states[2])
    writer.close()
    run = cnnviz.open_run(tmp_path / "r")
    assert all(same_states(run.at(step).state.read(), states[step]) for step in (1, 2))
    assert not run.missing


def test_tied_weights_are_shared_under_both_names(tmp_path):
    model = nn.Sequential(nn.Linear(60, 60), nn.Linear(60, 60), nn.Linear(60, 2))
    model[1].weight = model[0].weight
    states = {}
    with cnnviz.Recorder(tmp_path / "r", model, snapshots=cnnviz.every(1)) as recorder:
        for step in range(6):
            with torch.no_grad():
                model[2].weight += 1
                if step == 4:
                    model[0].weight += 1
            states[step] = copied(model.state_dict())
            recorder.record(step)
    check_states(tmp_path / "r", states)


def test_the_same_bytes_of_another_type_or_shape_are_another_tensor(tmp_path):
    zeros = [torch.zeros(2048), torch.zeros(2048, dtype=torch.int32), torch.zeros(64, 32), torch.zeros(2048)]
    zeros += [torch.zeros(2048), torch.zeros(1024, dtype=torch.float64), torch.full((2048,), -0.0)]
    states = {step: {"a": tensor} for step, tensor in enumerate(zeros)}
    writer = begin(tmp_path / "r")
    for step, state in states.items():
        writer.write(step, {}, state)
    writer.close()
    check_states(tmp_path / "r", states)


def test_a_step_that_has_a_snapshot_keeps_it(tmp_path):
    writer = begin(tmp_path / "r")
    writer.write(3, {}, {"a": ones(1)})
    for step in (3, 2):
        with pytest.raises(RunError, match=f"has a snapshot at step 3: one at step {step} can't follow it"):
            writer.write(step, {}, {"a": ones(2)})
    writer.write(3, {"m": 1})
    writer.close()
    with pytest.raises(RunError, match="is closed"):
        writer.write(4, {})
    check_states(tmp_path / "r", {3: {"a": ones(1)}})


# --- against a dictionary, whatever comes

VALUE = st.sampled_from(["keep"] * 4 + [0, 1, 2, "gone", "int", "tiny"])
CHANGES = st.fixed_dictionaries(dict.fromkeys("abc", VALUE))
OPERATIONS = st.lists(st.tuples(CHANGES, st.sampled_from(["go on"] * 4 + ["resume"])), max_size=14)


def changed(state, changes):
    state = dict(state)
    for name, value in changes.items():
        if value == "gone":
            state.pop(name, None)
        elif value == "int":
            state[name] = torch.zeros(1500, dtype=torch.int64)
        elif value == "tiny":
            state[name] = torch.ones(3)
        elif value != "keep":
            state[name] = ones(value, 1500)
    return state


@given(operations=OPERATIONS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_sequence_of_changes_against_a_dictionary(operations, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "r"
    writer, state, states = begin(path), {}, {}
    for step, (changes, how) in enumerate(operations):
        state = changed(state, changes)
        states[step] = state
        writer.write(step, {"a": step}, state)
        if how == "resume":
            writer.close()
            writer = RunWriter(path, resume=True)
    writer.close()
    check_states(path, states)
    check_no_leftovers(path)


# --- killed between any two writes

PLAN = ["aab", "aac", "aad", "abe", "bbf", "bbf", "bcf", "acg", "adh", "adi"]  # the values of three tensors


def plan_states():
    return {
        step: {name: ones(ord(letter), 8192) for name, letter in zip("xyz", letters, strict=True)}
        for step, letters in enumerate(PLAN)
    }


def write_plan(writer, states, acknowledged):
    for step, state in states.items():
        writer.write(step, {"a": step}, state)
        acknowledged.append(step)


@pytest.mark.parametrize("limit", [None, 500_000])
def test_killed_between_any_two_writes(limit, tmp_path, monkeypatch):
    states, bomb, killed = plan_states(), None, 0
    while bomb is None or bomb.went_off:
        killed += 1
        path, acknowledged = tmp_path / f"{killed}" / "r", []
        path.parent.mkdir()
        writer, bomb = begin(path, limit=limit), Bomb(killed)
        with monkeypatch.context() as patch:
            bomb.plant(patch)
            with contextlib.suppress(Killed):
                write_plan(writer, states, acknowledged)
        path = as_killed(writer, path, tmp_path / f"{killed}" / "copy")
        check_what_is_there(path, states, acknowledged, thinned=limit is not None)
        assert cnnviz.open_run(path).status == "interrupted"
        go_on(path, states, max(acknowledged, default=0), limit)
    assert killed > 60
    assert acknowledged == list(states)


def check_what_is_there(path, states, acknowledged, *, thinned):
    run = cnnviz.open_run(path)
    steps = run.steps.tolist()
    if thinned:  # the first stays, and the last until a later one is there
        assert not acknowledged or (steps[0] == acknowledged[0] and steps[-1] >= acknowledged[-1])
    else:
        assert set(acknowledged) <= set(steps)
    assert len(steps) <= len(acknowledged) + 1
    assert not run.missing
    if acknowledged:
        assert set(acknowledged) <= set(run.metric("a")[0].tolist())
    check_states(path, {step: states[step] for step in steps})


def go_on(path, states, checkpoint, limit):
    """Resume from a checkpoint of some steps ago, as a training does."""
    writer = RunWriter(path, resume=True, limit=limit)
    for step in [step for step in states if step >= max(0, checkpoint - 2)]:
        writer.write(step, {"a": step}, states[step] if step > writer.last_snapshot else None)
    writer.close()
    run = cnnviz.open_run(path)
    assert run.status == "finished"
    assert run.metric("a")[0].tolist() == list(states)
    steps = run.steps.tolist()
    assert steps == list(states) if limit is None else {0, 9} <= set(steps)
    check_states(path, {step: states[step] for step in steps})
    check_no_leftovers(path)
    if limit is not None:
        assert disk_bytes(path) <= limit


@pytest.mark.parametrize("folder", ["shared", "linked", "snapshots"])
def test_a_folder_that_is_a_link_is_not_written(folder, tmp_path):
    writer = begin(tmp_path / "r")
    writer.write(0, {}, {"a": ones(0)})
    writer.close()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "00000009.safetensors").write_bytes(b"precious")
    if folder == "snapshots":
        (tmp_path / "r" / folder).rename(tmp_path / "away")
    (tmp_path / "r" / folder).symlink_to(elsewhere)
    with pytest.raises(RunError, match=f"{folder} is damaged: it is a link"):
        RunWriter(tmp_path / "r", resume=True, limit=10**7)
    assert [file.read_bytes() for file in elsewhere.iterdir()] == [b"precious"]
