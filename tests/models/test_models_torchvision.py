"""torchvision's networks: all of them there, fitted to the data, out of place; some of them run."""

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models import regnet

from cnnviz.errors import ModelError
from cnnviz.models import MODELS, build

NAMES = models.list_models(module=models)


def test_every_classification_network_is_registered_by_its_name():
    assert len(NAMES) >= 80
    assert set(NAMES) <= set(MODELS.names())


@pytest.fixture
def meta(monkeypatch):
    """Build on the meta device, which computes nothing; RegNet needs the values of one table all the same."""
    read = regnet.BlockParams.from_init_params.__func__

    def on_cpu(*arguments, **keywords):
        with torch.device("cpu"):
            return read(*arguments, **keywords)

    monkeypatch.setattr(regnet.BlockParams, "from_init_params", on_cpu.__get__(regnet.BlockParams))
    with torch.device("meta"):
        yield


def first_of_each_family():
    return sorted({models.get_model_builder(name).__annotations__["return"]: name for name in NAMES}.values())


@pytest.mark.parametrize("name", NAMES)
def test_each_fits_channels_and_classes(name, meta, monkeypatch):
    # Building follows the shapes through the whole network; that is tried for one of each family below.
    monkeypatch.setattr("cnnviz.models.torchvision._check_takes", lambda *_: None)
    network = build(name, channels=2, classes=7, image_size=224)
    assert next(m for m in network.modules() if isinstance(m, nn.Conv2d)).in_channels == 2
    assert not any(getattr(m, "inplace", False) for m in network.modules())


@pytest.mark.parametrize("name", first_of_each_family())
def test_each_family_gives_logits_in_training_too(name, meta):
    network = build(name, channels=2, classes=7, image_size=224)
    assert network.training
    # No auxiliary heads: one tensor comes out.
    assert network(torch.rand(2, 2, 224, 224)).shape == (2, 7)


@pytest.mark.parametrize(
    ("name", "channels", "size"),
    [
        ("resnet18", 1, 28),
        ("mobilenet_v3_small", 1, 28),
        ("googlenet", 3, 32),
        ("squeezenet1_1", 1, 28),
        ("vit_b_32", 1, 32),
        ("regnet_x_400mf", 1, 28),
    ],
)
def test_some_compute(name, channels, size):
    network = build(name, channels=channels, classes=5, image_size=size).eval()
    with torch.no_grad():
        logits = network(torch.rand(2, channels, size, size))
    assert logits.shape == (2, 5)
    assert logits.isfinite().all()


def test_the_first_convolution_keeps_all_but_its_channels():
    ours = build("resnet18", channels=1, classes=10, image_size=28).conv1
    theirs = models.resnet18(num_classes=10).conv1
    for what in ("out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode"):
        assert getattr(ours, what) == getattr(theirs, what)
    assert ours.bias is theirs.bias is None
    assert build("squeezenet1_1", channels=1, classes=10, image_size=28).features[0].bias is not None


def test_three_channels_leave_the_network_as_torchvision_makes_it():
    torch.manual_seed(0)
    ours = build("mobilenet_v2", channels=3, classes=10, image_size=32).state_dict()
    torch.manual_seed(0)
    theirs = models.mobilenet_v2(num_classes=10).state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_arguments_are_passed_on():
    assert build("alexnet", channels=1, classes=10, image_size=64, dropout=0.25).classifier[0].p == 0.25


@pytest.mark.parametrize(
    ("name", "size", "arguments", "message"),
    [
        ("vgg11", 28, {}, r"vgg11 can't be built for 1x28x28 images: .*too small.*choose another"),
        ("vit_b_16", 28, {}, r"vit_b_16 can't be built for 1x28x28 images: .*patch size"),
        ("maxvit_t", 28, {}, r"maxvit_t can't be built for 1x28x28 images: .*partition size"),
        ("resnet18", 28, {"depth": 3}, "takes no argument 'depth'; it takes: zero_init_residual"),
        ("resnet18", 28, {"num_classes": 3}, "takes no argument 'num_classes'"),
        ("resnet18", 28, {"groups": 2}, "Groups|groups"),
    ],
)
def test_what_cannot_be_built_says_why(name, size, arguments, message):
    with pytest.raises(ModelError, match=message):
        build(name, channels=1, classes=10, image_size=size, **arguments)
