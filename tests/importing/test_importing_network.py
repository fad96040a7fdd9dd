"""Guessing a network's arguments from its weights, against networks built with known ones."""

import sys

import pytest
import torch

from cnnviz.errors import ModelError, UnknownNameError
from cnnviz.importing.network import find_network
from cnnviz.models import build


def weights(name, before="", **arguments):
    state = build(name, **arguments).state_dict()
    return {before + name: state[name] for name in sorted(state)}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        (
            "convnet",
            {"depth": [3, 9], "kernel_size": 3, "hidden": 17, "image_size": 28, "channels": 3, "classes": 7},
        ),
        (
            "squeezenet1_1",
            {"channels": 1, "classes": 7, "image_size": 224},
        ),  # its classifier is a convolution
        ("regnet_x_400mf", {"channels": 1, "classes": 7, "image_size": 224}),  # can't be built without values
        ("resnet18", {"channels": 13, "classes": 10, "image_size": 224}),
    ],
)
@pytest.mark.parametrize("before", ["", "model."])
def test_known_arguments(name, arguments, before):
    state = torch.get_rng_state()
    tensors = weights(name, before, **arguments)
    torch.set_rng_state(state)
    found = find_network(name, tensors, {}, None, "x.pt")
    assert found.arguments == arguments
    assert {n: tuple(tensors[before + n].shape) for n in found.shapes()} == found.shapes()
    assert torch.equal(torch.get_rng_state(), state)


def test_what_is_given_is_not_guessed():
    tensors = weights("convnet", channels=1, classes=4, image_size=28)
    with pytest.raises(ModelError, match=r"fc2.weight is 4×512, not 5×512"):
        find_network("convnet", tensors, {"classes": 5}, None, "x.pt")


def test_an_image_size_is_tried():
    tensors = weights("vit_b_32", channels=3, classes=2, image_size=64)
    assert find_network("vit_b_32", tensors, {}, None, "x.pt").arguments["image_size"] == 64
    with pytest.raises(ModelError, match=r"encoder.pos_embedding"):
        find_network("vit_b_32", tensors, {}, 32, "x.pt")


def test_weights_of_another_network():
    tensors = weights("convnet", channels=1, classes=4, image_size=28)
    with pytest.raises(ModelError, match=r"it lacks .*bn1.weight.* and it has conv1.bias"):
        find_network("resnet18", tensors, {}, None, "x.pt")


def test_an_unknown_network():
    with pytest.raises(UnknownNameError):
        find_network("nope", {}, {}, None, "x.pt")


def test_a_factory_of_the_users_own(tmp_path, monkeypatch):
    (tmp_path / "imported_nets.py").write_text(
        "from torch import nn\ndef make(*, classes, width=3):\n    return nn.Sequential(nn.Linear(width, classes))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    tensors = {"0.weight": torch.zeros(6, 3), "0.bias": torch.zeros(6)}
    found = find_network("imported_nets:make", tensors, {}, None, "x.pt")
    assert found.arguments["classes"] == 6
    assert not found.known
    assert found.model[0].weight.device.type == "cpu"
    sys.modules.pop("imported_nets")
