"""Networks as trainings wrap them: compiled, in parallel, in low precision."""

import pytest
import torch
from torch import nn

import cnnviz


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 2, 3)
        self.head = nn.Linear(2 * 36, 3)

    def forward(self, images):
        return self.head(self.conv1(images).relu().flatten(1))


def compiled(model):
    return torch.compile(model, backend="eager")


def compiled_in_place(model):
    model.compile(backend="eager")
    return model


def compiled_inside(model):
    model.conv1 = compiled(model.conv1)
    return model


WRAPPERS = {
    "bare": lambda model: model,
    "compiled": compiled,
    "compiled in place": compiled_in_place,
    "compiled inside": compiled_inside,
    "parallel": nn.DataParallel,
    "compiled, then parallel": lambda model: nn.DataParallel(compiled(model)),
    "parallel, then compiled": lambda model: compiled(nn.DataParallel(model)),
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize("resume", [False, True])
def test_names_are_those_of_the_bare_network(wrap, resume, tmp_path):
    torch.manual_seed(0)
    model = Net()
    names, wrapped = list(model.state_dict()), wrap(model)
    samples = (torch.zeros(2, 1, 8, 8), torch.tensor([0, 1]))
    cnnviz.Recorder(tmp_path / "r", wrapped, samples=samples).close()
    recorder = (
        cnnviz.Recorder(tmp_path / "r", wrapped, resume=True)
        if resume
        else cnnviz.Recorder(tmp_path / "s", wrapped, samples=samples)
    )
    with recorder:
        recorder.record(0)
        wrapped(torch.randn(2, 1, 8, 8)).sum().backward()
        with torch.no_grad():
            for parameter in wrapped.parameters():
                parameter -= 0.1 * parameter.grad
        recorder.record(100)
    run = cnnviz.open_run(recorder.path, model=Net)
    assert run.steps.tolist() == [0, 100]
    assert run.manifest.class_name == "Net"
    assert [layer.name for layer in run.layers] == ["conv1", "relu", "head"]
    assert [layer.kind for layer in run.layers] == ["Conv2d", "relu", "Linear"]
    assert sorted(run.last.state) == sorted(names)
    assert torch.equal(run.last.state["head.weight"], model.head.weight)
    images = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(run.last.model()(images), model.eval()(images))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_keeps_its_type(dtype, tmp_path):
    torch.manual_seed(0)
    model = Net().to(dtype)
    with cnnviz.Recorder(tmp_path / "r", model, samples=(torch.zeros(2, 1, 8, 8), [0, 1])) as recorder:
        recorder.record(0, {"loss": torch.tensor(1.5, dtype=dtype)})
    run = cnnviz.open_run(tmp_path / "r", model=lambda: Net().to(dtype))
    for name, tensor in model.state_dict().items():
        assert run.last.state[name].dtype == dtype
        assert torch.equal(run.last.state[name], tensor)
        assert run.series(name).dtype == dtype
    assert next(run.last.model().parameters()).dtype == dtype
    assert run.metric("loss")[1].tolist() == [1.5]
    assert run.shapes["conv1"] == (2, 6, 6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_leaves_the_weights_their_type(dtype, tmp_path):
    model = Net()
    with cnnviz.Recorder(tmp_path / "r", model) as recorder, torch.autocast("cpu", dtype=dtype):
        loss = model(torch.randn(2, 1, 8, 8)).mean()
        recorder.record(0, {"loss": loss})
    run = cnnviz.open_run(tmp_path / "r", model=Net)
    assert loss.dtype == dtype
    assert {tensor.dtype for tensor in run.last.state.values()} == {torch.float32}
    assert run.metric("loss")[1].tolist() == [loss.item()]
