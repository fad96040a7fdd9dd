"""Taking weights out of what is wrapped around them."""

import pytest
import torch

from cnnviz.errors import DataError
from cnnviz.importing.unwrapping import open_levels, plain_names

A, B = torch.tensor([1.0]), torch.tensor([2.0])


@pytest.mark.parametrize(
    ("contents", "levels"),
    [
        ({"w": A}, ()),
        ({"state_dict": {"w": A}, "epoch": 3}, ("state_dict",)),
        ({"model_state_dict": {"w": A}, "optimizer_state_dict": {"m": B}}, ("model_state_dict",)),
        ({"model": {"w": A}, "best": torch.tensor(0.5)}, ("model",)),
        ({"model": {"state_dict": {"w": A}}}, ("model", "state_dict")),
        ({"model": {"w": A}, "ema": {"w": B}}, ("model",)),
        ({"ema": {"w": A}, "optimizer": {"m": B}}, ("ema",)),
        ({"w": A, "optimizer": {"m": B}, "epoch": 3, 7: "seven"}, ()),
        ({"net": {}, "state_dict": {"w": A}}, ("state_dict",)),
    ],
)
def test_levels(contents, levels):
    tensors, opened = open_levels(contents, "x.pt")
    assert (list(tensors), opened) == (["w"], levels)
    assert tensors["w"] is A or torch.equal(tensors["w"], A)


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (A, "holds a Tensor"),
        ([A], "holds a list"),
        ({}, "nothing"),
        ({"epoch": 3, "loss": torch.tensor(0.5)}, "no weights among it"),
        ({"generator": {"w": A}, "critic": {"w": B}}, "generator or critic"),
        ({"rng": A, "mine": {"w": A}}, "may be in mine"),
        ({"w": torch.empty(2, device="meta")}, "no dense tensor"),
        ({"w": torch.eye(2).to_sparse()}, "no dense tensor"),
        ({"w": torch.zeros(1).expand(2**40)}, "repeats a few values"),
    ],
)
def test_what_is_not_clear_is_an_error(contents, words):
    with pytest.raises(DataError, match=words) as error:
        open_levels(contents, "x.pt")
    assert "x.pt" in str(error.value)


def test_parameters_become_tensors_without_gradients():
    tensors, _ = open_levels({"w": torch.nn.Parameter(A)}, "x.pt")
    assert not tensors["w"].requires_grad


@pytest.mark.parametrize(
    ("given", "plain", "taken"),
    [
        (["a", "b.c"], ["a", "b.c"], ()),
        (["module.a", "module.b"], ["a", "b"], ("module.",)),
        (["_orig_mod.a", "b._orig_mod.c"], ["a", "b.c"], ("_orig_mod.",)),
        (["_orig_mod.module.a"], ["a"], ("_orig_mod.", "module.")),
        (["module._orig_mod.module.a"], ["a"], ("_orig_mod.", "module.")),
        (["module.a", "b"], ["module.a", "b"], ()),
        (["_orig_mod.a", "a"], ["_orig_mod.a", "a"], ()),
    ],
)
def test_prefixes(given, plain, taken):
    names, off = plain_names(given)
    assert names == dict(zip(plain, given, strict=True))
    assert off == taken
