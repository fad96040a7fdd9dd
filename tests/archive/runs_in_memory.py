"""Runs that lie in memory, without a recorder, so that they can hold whatever is hard to keep."""

import numpy as np
import torch

from cnnviz.errors import RunError
from cnnviz.recording.digest import state_digest, tensor_digest
from cnnviz.recording.examples import Examples
from cnnviz.recording.manifest import Description, Layer, Manifest
from cnnviz.recording.samples import Samples
from cnnviz.recording.store import Entry, Missing


class DictStore:
    """A store that holds states in a dict, from step to name to tensor."""

    def __init__(self, states, metrics=None, status="finished"):
        self.location = "runs/memory"
        self.states = dict(sorted(states.items()))
        self.metrics = metrics or {}
        self.status = status
        self.kept = Samples(torch.empty(0, 0, 0, 0), torch.empty(0, dtype=torch.int64))
        self.done = Examples(np.empty((0, 0), np.int8), np.empty((0, 0), np.float32))
        self.digests = {step: digest_of(state) for step, state in self.states.items()}

    def manifest(self):
        return Manifest(
            id="1f" * 16,
            created="2026-01-02T03:04:05+00:00",
            class_name="Net",
            parameters=7,
            layers=(Layer("conv.1", "Conv2d"),),
            shapes={"conv.1": (4, 28, 28)},
            software={"torch": "2"},
            description=Description(model="convnet", arguments={"depth": [1, 2]}, classes=("a", "b"), seed=3),
        )

    def state(self):
        return {"status": self.status, "detail": "of boredom", "ended": "2026-01-02T04:04:05+00:00"}

    def missing(self):
        return Missing(((3, 5, 2),), "No space left on device")

    def steps(self):
        return np.array(list(self.states), np.int64)

    def entries(self, steps):
        known = [step for step in steps.tolist() if step in self.states]
        return [Entry(step, 100 + step, self.digests[step]) for step in known]

    def metric_names(self):
        return sorted(self.metrics)

    def metric(self, name):
        return self.metrics.get(name, (np.empty(0, np.int64), np.empty(0, np.float64)))

    def tensor_names(self, step):
        return list(self.states[step])

    def tensors(self, step, names=None):
        return {name: self.states[step][name] for name in (self.states[step] if names is None else names)}

    def stacked(self, steps, names):
        found = {}
        for name in names:
            parts = [self.states[step][name] for step in steps.tolist()]
            if len({(part.shape, part.dtype) for part in parts}) > 1:
                raise RunError(f"{name!r} has another shape or type than at the first step")
            found[name] = torch.stack(parts)
        return found

    def samples(self):
        return self.kept

    def examples(self):
        return self.done


def digest_of(state):
    return state_digest({name: tensor_digest(tensor) for name, tensor in state.items()})


def bits(tensor):
    """Return the bytes of a tensor, which equal those of another only if it is the same to the bit."""
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def walk(shape, count, seed=0):
    """Return states like those of a training with momentum: step to tensors."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(shape, generator=generator) * 0.05
    change = torch.zeros(shape)
    states = {}
    for step in range(count):
        states[step] = {"fc.weight": weight.clone(), "fc.bias": weight[..., 0].clone()}
        change = 0.9 * change + 1e-3 * torch.randn(shape, generator=generator)
        weight = weight + 0.02 * change
    return states


def same(count, **state):
    """Return states that never change."""
    return dict.fromkeys(range(count), state)


def assert_same(run, other):
    """Compare all that a store tells."""
    one, two = run.store, other.store
    assert two.manifest() == one.manifest()
    assert two.state() == one.state()
    assert two.missing() == one.missing()
    assert other.steps.tolist() == run.steps.tolist()
    assert two.entries(run.steps) == one.entries(run.steps)
    assert two.metric_names() == one.metric_names()
    for name in one.metric_names():
        for a, b in zip(one.metric(name), two.metric(name), strict=True):
            assert (a.dtype, a.tobytes()) == (b.dtype, b.tobytes())
    for step in run.steps.tolist():
        state, packed = one.tensors(step), two.tensors(step)
        assert sorted(two.tensor_names(step)) == sorted(packed) == sorted(state)
        for name, tensor in state.items():
            assert (packed[name].shape, packed[name].dtype) == (tensor.shape, tensor.dtype)
            assert torch.equal(bits(packed[name]), bits(tensor)), (step, name)
