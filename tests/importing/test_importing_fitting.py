"""A network's names among those of a file."""

import pytest
import torch

from cnnviz.errors import ModelError
from cnnviz.importing.fitting import check_shapes, fit_names

NET = ["conv.weight", "fc.weight", "fc.bias"]


def before(prefix, names=NET):
    return [prefix + name for name in names]


@pytest.mark.parametrize(
    ("given", "prefix", "taken", "left_out"),
    [
        (NET, "", (), ()),
        (before("model."), "model.", ("model.",), ()),
        (before("module.model."), "module.model.", ("module.", "model."), ()),
        ([*before("net."), "loss.weight"], "net.", ("net.",), ("loss.weight",)),
        ([*before("target."), *before("model.")], "model.", ("model.",), tuple(before("target."))),
        (before("a.b.c."), "a.b.c.", ("a.b.c.",), ()),
    ],
)
def test_what_stands_before_is_taken_off(given, prefix, taken, left_out):
    fit = fit_names(given, NET, "x.pt")
    assert fit.names == {name: prefix + name for name in NET}
    assert (fit.taken_off, fit.left_out) == (taken, left_out)


def test_compiled_parts_are_found():
    fit = fit_names(
        ["model._orig_mod.conv.weight", "model.fc._orig_mod.weight", "model.fc.bias"], NET, "x.pt"
    )
    assert list(fit.names.values()) == [
        "model._orig_mod.conv.weight",
        "model.fc._orig_mod.weight",
        "model.fc.bias",
    ]


def test_a_network_may_have_a_part_called_module():
    names = ["module.conv.weight", "module.fc.bias"]
    assert fit_names(names, names, "x.pt") == (dict(zip(names, names, strict=True)), (), ())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (NET[:2], "it lacks fc.bias"),
        ([*NET, "fc2.weight"], "it has fc2.weight, which the network lacks"),
        (["conv.weight", "head.weight", "head.bias"], "it lacks fc.weight, fc.bias and it has head.weight"),
        (before("model.", [*NET, "fc2.weight"]), "it has fc2.weight"),
        ([f"l{n}" for n in range(9)], "l0, l1, l2, l3 and 5 more"),
    ],
)
def test_a_mismatch_names_the_layers(given, words):
    with pytest.raises(ModelError) as error:
        fit_names(given, NET, "x.pt")
    assert "x.pt" in str(error.value)
    assert words in str(error.value)


def test_shapes():
    found = {"a": torch.zeros(2, 3), "b": torch.tensor(1.0)}
    check_shapes(found, {"a": (2, 3), "b": ()}, "x.pt", "it")
    with pytest.raises(
        ModelError, match=r"the weights of x.pt don't fit it: a is 2×3, not 3×2; b is a number, not 4"
    ):
        check_shapes(found, {"a": (3, 2), "b": (4,)}, "x.pt", "it")
