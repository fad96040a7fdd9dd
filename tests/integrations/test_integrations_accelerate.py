"""Accelerate: the plain recorder in its loop records what it should, so that there is nothing to integrate."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import cnnviz

accelerate = pytest.importorskip("accelerate")


def net():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(2 * 36, 3))


@pytest.fixture(autouse=True)
def a_fresh_accelerator():
    yield
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    accelerate.state.GradientState._reset_state()


def train(path, **options):
    """Train with gradients of two batches each; return the losses and the prepared network."""
    torch.manual_seed(0)
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2, **options)
    generator = torch.Generator().manual_seed(5)
    images, labels = (
        torch.randn(24, 1, 8, 8, generator=generator),
        torch.randint(3, (24,), generator=generator),
    )
    model = net()
    model, optimizer, loader = accelerator.prepare(
        model,
        torch.optim.SGD(model.parameters(), lr=0.1),
        torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, labels), 4),
    )
    samples = (torch.zeros(2, 1, 8, 8), torch.tensor([0, 1]))
    recorder = cnnviz.Recorder(path, model, snapshots=cnnviz.every(1), samples=samples) if path else None
    losses, step = [], 0
    if recorder:
        recorder.record(0)
    for batch, target in loader:
        with accelerator.accumulate(model):
            loss = functional.cross_entropy(model(batch), target)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
        if accelerator.sync_gradients:
            step += 1
            if recorder:
                recorder.record(step, {"train/loss": accelerator.gather(loss.detach()).mean()})
    if recorder:
        recorder.close()
    return losses, accelerator.unwrap_model(model)


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_the_plain_recorder_is_enough(precision, tmp_path):
    losses, bare = train(None, mixed_precision=precision)
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    recorded_losses, recorded = train(tmp_path / "r", mixed_precision=precision)
    assert losses == recorded_losses
    run = cnnviz.open_run(tmp_path / "r", model=net)
    assert run.steps.tolist() == [0, 1, 2, 3]
    assert run.metric("train/loss")[1].tolist() == recorded_losses[1::2]
    assert [layer.name for layer in run.layers] == ["0", "1", "2", "3", "4"]
    for name, tensor in recorded.state_dict().items():
        assert torch.equal(run.last.state[name], tensor)
        assert torch.equal(bare.state_dict()[name], tensor)
        assert run.last.state[name].dtype == torch.float32
    images = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(run.last.model()(images), rebuilt(recorded)(images))


def rebuilt(model):
    """Return the network without what Accelerate puts around its forward pass."""
    plain = net()
    plain.load_state_dict(model.state_dict())
    return plain.eval()


def test_compiled_names_are_bare(tmp_path):
    plugin = accelerate.utils.TorchDynamoPlugin(backend="eager")
    train(tmp_path / "r", dynamo_plugin=plugin)
    run = cnnviz.open_run(tmp_path / "r", model=net)
    assert set(run.last.state) == {"0.weight", "0.bias", "4.weight", "4.bias"}
    assert run.manifest.class_name == "Sequential"
