"""`build`: names, the arguments that a factory accepts, and what it may return."""

import subprocess
import sys
import textwrap

import pytest
from torch import nn

from cnnviz.errors import ModelError, UnknownNameError
from cnnviz.models import MODELS, build, model

FIT = {"channels": 1, "classes": 10, "image_size": 28}
OWN = """
    from torch import nn

    class Plain(nn.Module):
        pass

    class Wide(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.layer = nn.Linear(width, 2)

    def fitted(channels, *, classes, bias=True):
        return nn.Conv2d(channels, classes, 3, bias=bias)

    def everything(**given):
        network = nn.Identity()
        network.given = given
        return network

    def nothing():
        return None

    number = 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_models_for_test.py").write_text(textwrap.dedent(OWN))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "own_models_for_test"
    sys.modules.pop("own_models_for_test", None)


def test_a_user_s_class_need_not_take_the_fit(own):
    assert type(build(f"{own}:Plain", **FIT)).__name__ == "Plain"


def test_a_user_s_function_gets_what_it_names(own):
    network = build(f"{own}:fitted", channels=3, classes=7, image_size=28, bias=False)
    assert (network.in_channels, network.out_channels, network.bias) == (3, 7, None)


def test_a_user_s_function_with_keywords_gets_all(own):
    assert build(f"{own}:everything", **FIT, depth=2).given == {**FIT, "depth": 2}


def test_an_unknown_argument_is_named_with_those_accepted(own):
    with pytest.raises(ModelError, match=r"takes no argument 'width'; it takes: bias$"):
        build(f"{own}:fitted", **FIT, width=3)
    with pytest.raises(
        ModelError, match=r"takes no argument 'dept'; it takes: depth, kernel_size, hidden, dropout"
    ):
        build("convnet", **FIT, dept=3)
    with pytest.raises(ModelError, match="it takes: none"):
        build(f"{own}:Plain", **FIT, width=3)


def test_a_missing_argument_is_named(own):
    assert build(f"{own}:Wide", **FIT, width=5).layer.in_features == 5
    with pytest.raises(ModelError, match="'width'; give it as a model argument"):
        build(f"{own}:Wide", **FIT)


def test_a_factory_must_return_a_module(own):
    with pytest.raises(ModelError, match=r"own_models_for_test:nothing' must return .* returned NoneType"):
        build(f"{own}:nothing", **FIT)


def test_what_cannot_be_called_is_no_model(own):
    with pytest.raises(ModelError, match=r"own_models_for_test:number' can't be called"):
        build(f"{own}:number", **FIT)


def test_an_unknown_name_tells_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'convnet'"):
        build("convnett", **FIT)


@pytest.mark.parametrize("argument", FIT)
def test_the_fit_must_be_positive(argument):
    with pytest.raises(ModelError, match=f"{argument} must be at least 1, not 0"):
        build("convnet", **{**FIT, argument: 0})


def test_a_model_is_registered_by_the_decorator(monkeypatch):
    monkeypatch.setattr(MODELS, "_things", dict(MODELS._things))

    @model("tiny")
    def tiny(*, channels, classes, image_size):
        return nn.Linear(channels * image_size**2, classes)

    assert build("tiny", **FIT).in_features == 784


def test_the_package_loads_nothing_heavy_and_convnet_no_torchvision():
    code = (
        "import sys, cnnviz.models as m; assert 'torch' not in sys.modules; m.MODELS.get('convnet');"
        "assert 'torch' in sys.modules and 'torchvision' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
