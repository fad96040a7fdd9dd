"""The notebook's network: its known size, its layers by name, and the values that it computes."""

import pytest
import torch
from torch.nn import functional

from cnnviz.errors import ModelError
from cnnviz.models import build
from cnnviz.models.convnet import ConvNet

FIT = {"channels": 1, "classes": 10, "image_size": 28}
LAYERS = ["conv1", "relu1", "pool1", "conv2", "relu2", "pool2", "fc1", "relu3", "dropout", "fc2"]


def test_it_has_the_notebook_s_parameters():
    network = build("convnet", **FIT)
    assert sum(p.numel() for p in network.parameters()) == 207_258
    assert {name: tuple(p.shape) for name, p in network.named_parameters()} == {
        "conv1.weight": (4, 1, 5, 5),
        "conv1.bias": (4,),
        "conv2.weight": (8, 4, 5, 5),
        "conv2.bias": (8,),
        "fc1.weight": (512, 392),
        "fc1.bias": (512,),
        "fc2.weight": (10, 512),
        "fc2.bias": (10,),
    }


def test_every_layer_is_a_named_module_in_forward_order():
    network = build("convnet", **FIT)
    called = []
    for name, module in network.named_children():
        module.register_forward_hook(lambda *_, name=name: called.append(name))
    network(torch.rand(2, 1, 28, 28))
    assert [name for name, _ in network.named_modules() if name] == LAYERS == called


def test_the_logits_are_the_notebook_s_formula():
    network = ConvNet().eval()
    images = torch.rand(3, 1, 28, 28)
    weights = network.state_dict()

    def pooled(x, layer):
        x = functional.conv2d(x, weights[f"{layer}.weight"], weights[f"{layer}.bias"], padding=2)
        return functional.max_pool2d(functional.relu(x), 2)

    units = pooled(pooled(images, "conv1"), "conv2").reshape(3, 392)
    units = functional.relu(units @ weights["fc1.weight"].T + weights["fc1.bias"])
    logits = units @ weights["fc2.weight"].T + weights["fc2.bias"]
    torch.testing.assert_close(network(images), logits)
    labels = torch.tensor([1, 2, 3])
    notebook = functional.nll_loss(functional.log_softmax(logits, 1), labels)
    torch.testing.assert_close(functional.cross_entropy(network(images), labels), notebook)


def test_relu_keeps_its_input_as_it_was():
    network = ConvNet()
    assert not any(module.inplace for module in (network.relu1, network.relu2, network.relu3))


def test_it_fits_other_images_and_arguments():
    network = build(
        "convnet", channels=3, classes=7, image_size=33, depth=[2, 5], kernel_size=3, hidden=6, dropout=0
    )
    assert network(torch.rand(2, 3, 33, 33)).shape == (2, 7)
    assert network.fc1.in_features == 5 * 8 * 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 4}, "kernel_size must be odd, not 4"),
        ({"kernel_size": 0}, "kernel_size must be a whole number of at least 1"),
        ({"kernel_size": 2.5}, "kernel_size must be a whole number"),
        ({"depth": (4,)}, "depth must be two"),
        ({"depth": (4, 8, 16)}, "depth must be two"),
        ({"depth": (4, 0)}, "depth must be two"),
        ({"depth": "48"}, "depth must be two"),
        ({"depth": 4}, "depth must be two"),
        ({"hidden": 0}, "hidden must be"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\)"),
        ({"dropout": -0.1}, r"dropout must be in \[0, 1\)"),
        ({"image_size": 3}, "image_size must be at least 4"),
    ],
)
def test_a_bad_argument_is_named(arguments, message):
    with pytest.raises(ModelError, match=message):
        build("convnet", **{**FIT, **arguments})
