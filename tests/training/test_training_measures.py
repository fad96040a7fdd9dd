"""Evaluation, layer statistics, the tally and the optimizers, against hand-computed numbers and slow twins."""

import math

import pytest
import torch
from torch import nn

from cnnviz import TrainConfig
from cnnviz.data.tensor_split import TensorSplit
from cnnviz.training.config import OPTIMIZERS
from cnnviz.training.evaluate import evaluate
from cnnviz.training.optimizers import make_optimizer, optimizer_tensors, restore_optimizer
from cnnviz.training.statistics import LayerStatistics
from cnnviz.training.tally import Diverged, Tally

CPU = torch.device("cpu")


def split(count=613):
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, 1, 6, 6), dtype=torch.uint8, generator=generator)
    return TensorSplit(images, torch.randint(0, 4, (count,), generator=generator))


@pytest.mark.parametrize("batch_size", [1, 64, 1000])
def test_evaluation_against_the_slow_twin(batch_size):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 4))
    data = split()
    score = evaluate(model, data, batch_size=batch_size, device=CPU)
    model.eval()
    wrong, loss = 0, 0.0
    with torch.no_grad():
        for image, label in zip(data.images, data.labels.tolist(), strict=True):
            logits = model(image[None] / 255)[0].double()
            wrong += int(logits.argmax()) != label
            loss += math.log(sum(math.exp(x) for x in logits.tolist())) - logits[label].item()
    assert score.error == wrong / 613
    assert score.loss == pytest.approx(loss / 613, rel=1e-5)


def test_evaluation_puts_each_modules_mode_back():
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(36), nn.Dropout(), nn.Linear(36, 4))
    model[1].eval()
    buffers = model[1].running_mean.clone()
    random = torch.get_rng_state()
    evaluate(model, split(), batch_size=64, device=CPU)
    assert [module.training for module in model] == [True, False, True, True]
    assert model.training
    assert torch.equal(model[1].running_mean, buffers)
    assert torch.equal(torch.get_rng_state(), random)


def test_the_mode_is_put_back_after_an_error():
    model = nn.Sequential(nn.Flatten(), nn.Linear(35, 4))
    with pytest.raises(RuntimeError):
        evaluate(model, split(), batch_size=64, device=CPU)
    assert model.training


def test_layer_statistics_of_known_numbers():
    model = nn.Sequential(nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 2, bias=False), nn.Linear(1, 1))
    for parameter in model[3].parameters():
        parameter.requires_grad_(False)
    statistics = LayerStatistics(model)
    statistics.before()
    model[0].weight.grad = torch.tensor([[1.0, 2.0]])
    model[0].bias.grad = torch.tensor([2.0])
    with torch.no_grad():
        model[0].weight += torch.tensor([[0.0, 3.0]])
        model[0].bias -= 4
    found = statistics.after()
    assert list(found) == ["gradient_norm/0", "update_size/0", "gradient_norm/2", "update_size/2"]
    assert list(found.values()) == pytest.approx([3.0, 5.0, 0.0, 0.0], abs=1e-6)


def test_layer_statistics_of_parameters_of_the_network_itself():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor([3.0, 4.0]))

    model = Scale()
    statistics = LayerStatistics(model)
    statistics.before()
    with torch.no_grad():
        model.scale.zero_()
    assert statistics.after() == {"gradient_norm/Scale": 0.0, "update_size/Scale": 5.0}


def test_the_tally_of_an_epoch():
    tally = Tally(CPU)
    assert all(math.isnan(value) for value in tally.means())
    tally.add(1, torch.tensor(0.5), torch.tensor([True, False]))
    tally.add(2, torch.tensor(1.0), torch.tensor([True]))
    assert tally.means() == (0.75, 1 / 3)
    other = Tally(CPU)
    other.restore(tally.to_json())
    assert other.means() == (0.75, 1 / 3)
    assert other.images == 3


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_the_tally_sees_divergence(loss):
    tally = Tally(CPU)
    right = torch.tensor([True])
    tally.add(7, torch.tensor(1.0), right)
    with pytest.raises(Diverged, match="the loss of update 8 is") as caught:
        tally.add(8, torch.tensor(loss), right)
    assert caught.value.step == 8


def test_on_an_accelerator_the_tally_looks_seldom_and_names_the_right_step():
    tally = Tally(CPU)
    tally._patience = 20
    right = torch.tensor([True])
    for step in range(1, 20):
        tally.add(step, torch.tensor(math.nan if step >= 5 else 1.0), right)
    with pytest.raises(Diverged) as caught:
        tally.add(20, torch.tensor(1.0), right)
    assert caught.value.step == 5


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_go_on_where_they_were(name):
    config = TrainConfig(optimizer=name, lr=0.01, weight_decay=0.1)

    def steps(model, optimizer, count):
        for i in range(count):
            optimizer.zero_grad()
            (model(torch.full((1, 3), i + 1.0)) ** 2).sum().backward()
            optimizer.step()

    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = make_optimizer(model, config)
    steps(model, optimizer, 3)
    tensors = {key: value.clone() for key, value in optimizer_tensors(optimizer).items()}
    other = nn.Linear(3, 2)
    other.load_state_dict(model.state_dict())
    restored = make_optimizer(other, config)
    restore_optimizer(restored, tensors)
    steps(model, optimizer, 3)
    steps(other, restored, 3)
    assert torch.equal(model.weight, other.weight)
    assert torch.equal(model.bias, other.bias)
    assert tensors
    assert type(optimizer).__name__.lower() == name


def test_frozen_parameters_are_not_trained():
    model = nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    optimizer = make_optimizer(model, TrainConfig())
    assert [p is model.weight for p in optimizer.param_groups[0]["params"]] == [True]
