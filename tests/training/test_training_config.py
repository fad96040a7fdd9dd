"""The options of a training: the notebook's by default, validated once, the same after JSON."""

import json
import math

import pytest
import torch

from cnnviz import TrainConfig
from cnnviz.errors import ConfigError
from cnnviz.training.device import pick_device


def test_the_defaults_are_the_notebooks_recipe():
    config = TrainConfig()
    assert (config.model, config.data, config.optimizer) == ("convnet", "mnist", "sgd")
    assert (config.lr, config.momentum, config.weight_decay) == (0.001, 0.9, 0.0)
    assert (config.batch_size, config.epochs, config.every) == (64, 20, 100)


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("epochs", 0, "epochs must be 1 or more, not 0"),
        ("batch_size", 0, "batch-size must be 1 or more, not 0"),
        ("every", -1, "every must be 1 or more, not -1"),
        ("lr", -0.1, "lr must be 0 or more"),
        ("lr", math.nan, "lr must be 0 or more, not nan"),
        ("lr", math.inf, "lr must be 0 or more, not inf"),
        ("weight_decay", -1, "weight-decay must be 0 or more"),
        ("momentum", 1.0, "momentum must be from 0 to below 1, not 1.0"),
        ("momentum", -0.1, "momentum must be from 0"),
        ("momentum", math.nan, "momentum must be from 0"),
        ("seed", -1, "seed must be 0 or more"),
        ("seed", 2**63, "seed must be 0 or more"),
        ("samples", -1, "samples must be 0 or more"),
        ("image_size", 0, "image-size must be 1 or more"),
        ("optimizer", "sdg", "optimizer must be one of adam, adamw, rmsprop, sgd, not sdg"),
        ("epochs", 1.5, "epochs must be a whole number, not 1.5"),
        ("epochs", "2", "epochs must be a whole number, not '2'"),
        ("batch_size", 64.0, "batch-size must be a whole number"),
        ("image_size", 28.5, "image-size must be a whole number"),
        ("samples", None, "samples must be a whole number, not None"),
        ("lr", "0.1", "lr must be a number, not '0.1'"),
        ("model", None, "model must be a name, not None"),
        ("data", 3, "data must be a name"),
        ("model_arguments", [("depth", 3)], "model-arguments must be a mapping"),
    ],
)
def test_options_that_cannot_be(option, value, problem):
    with pytest.raises(ConfigError) as caught:
        TrainConfig(**{option: value})
    assert problem in str(caught.value)


def test_options_outlive_json():
    config = TrainConfig(model_arguments={"depth": [3, 5]}, image_size=32, seed=2**63 - 1, lr=0.1 + 0.2)
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_unknown_and_wrong_options_of_a_run():
    with pytest.raises(ConfigError, match="options that this cnnviz doesn't know: warmup, zeal"):
        TrainConfig.from_json({"zeal": 1, "epochs": 1, "warmup": 2})
    with pytest.raises(ConfigError):
        TrainConfig.from_json({"epochs": "many"})


def test_devices():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(ConfigError, match="there is no device 'gpu': choose auto, cpu, cuda or mps"):
        pick_device("gpu")
    for name in ("cuda:99", "meta", "xpu"):
        with pytest.raises(
            ConfigError, match=f"the device '{name}' is not available here: choose auto or cpu"
        ):
            pick_device(name)
