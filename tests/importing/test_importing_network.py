"""Guessing a network's arguments from its weights, against networks built with known ones."""

import sys

import pytest
import torch

from cnnviz.errors import ModelError, UnknownNameError
from cnnviz.importing.building import taken_by
from cnnviz.importing.images import layers_with
from cnnviz.importing.network import find_network, given_network
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


OWN = """
from torch import nn

def fixed():
    return nn.Sequential(nn.Conv2d(2, 8, 3, groups=2), nn.Flatten(), nn.Linear(8 * 62 * 62, 5))

def sized(*, image_size):
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * (image_size - 2) ** 2, 5))

def wide(width=3):
    return nn.Sequential(nn.Conv2d(2, width, 3), nn.Flatten(), nn.Linear(width * 26 * 26, 5))

def lazy():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.LazyLinear(5))

class Plain(nn.Module):
    pass
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "importing_own_nets.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    import importing_own_nets

    yield importing_own_nets
    sys.modules.pop("importing_own_nets")


def test_a_factory_that_takes_nothing_has_no_arguments(own):
    found = find_network("importing_own_nets:fixed", own.fixed().state_dict(), {}, None, "x.pt")
    assert (found.arguments, found.takes) == ({}, ())
    layers = layers_with(found, None, None)
    assert layers.image == (2, 64, 64)
    assert layers.shapes["0"] == (8, 62, 62)
    assert layers.source == "forward pass"


def test_an_image_size_that_the_factory_takes_is_tried(own):
    found = find_network("importing_own_nets:sized", own.sized(image_size=64).state_dict(), {}, None, "x.pt")
    assert found.arguments["image_size"] == 64
    assert found.arguments["channels"] == 1
    assert layers_with(found, None, None).image == (1, 64, 64)


def test_arguments_of_ones_own_are_kept_with_what_the_weights_tell(own):
    state = own.wide(width=4).state_dict()
    found = find_network("importing_own_nets:wide", state, {"width": 4}, None, "x.pt")
    assert {**found.arguments, "image_size": 0} == {"channels": 2, "classes": 5, "width": 4, "image_size": 0}


def test_lazy_layers_take_their_shapes_from_the_weights(own):
    network = own.lazy()
    network(torch.rand(1, 1, 32, 32))
    found = find_network("importing_own_nets:lazy", network.state_dict(), {}, None, "x.pt")
    assert found.shapes()["2.weight"] == (5, 2 * 30 * 30)
    assert layers_with(found, None, None).image == (1, 32, 32)


@pytest.mark.usefixtures("own")
def test_a_class_without_a_constructor_takes_nothing():
    assert taken_by("importing_own_nets:Plain") == ()


def test_a_network_without_convolutions_is_tried_in_grey_and_colour():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 4))
    assert layers_with(given_network(network), None, None).image == (3, 32, 32)


def test_where_no_image_fits_the_reason_is_told():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(7, 4))
    layers = layers_with(given_network(network), None, None)
    assert (layers.source, layers.image) == ("module tree", None)
    assert "running it failed (RuntimeError: " in layers.reason
