"""Frameworks that aren't installed, and what counts as a metric."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from cnnviz.errors import ConfigError
from cnnviz.integrations.extras import extra
from cnnviz.integrations.scalars import Newest, scalars

FRAMEWORKS = ["lightning", "transformers", "ignite"]


def test_a_missing_framework_says_how_to_get_it():
    code = f"""
import importlib, sys
from cnnviz.errors import ConfigError
for name in {FRAMEWORKS}:
    sys.modules[name] = None  # as Python marks what isn't there
    try:
        importlib.import_module("cnnviz.integrations." + name)
    except ConfigError as error:
        print(error)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    told = [f"{name} isn't installed: pip install 'cnnviz[{name}]'" for name in FRAMEWORKS]
    assert result.stdout.splitlines() == told


def test_the_package_imports_no_framework():
    code = f"import cnnviz.integrations, sys; print(sorted({set(FRAMEWORKS)} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_a_framework_that_is_broken_keeps_its_own_error():
    with pytest.raises(ModuleNotFoundError, match="no_such_part"), extra("lightning", "lightning"):
        import no_such_part  # noqa: F401
    with pytest.raises(ImportError, match="halves"), extra("lightning", "lightning"):
        raise ImportError("halves of it are missing", name="lightning")
    with pytest.raises(ConfigError, match="no_such_library isn't installed"), extra("x", "no_such_library"):
        import no_such_library.part  # noqa: F401


def test_scalars_are_real_numbers_and_tensors_of_one():
    one = torch.tensor([[2.5]], requires_grad=True)
    good = {"int": 3, "float": 0.5, "bool": True, "numpy": np.float32(1), "n": np.int64(2), "tensor": one}
    bad = {
        "text": "1", "none": None, "list": [1], "vector": torch.zeros(2), "empty": torch.zeros(0), "array": np.zeros(3),
        "complex": 1j, "wave": torch.tensor(1j), "meta": torch.zeros((), device="meta"), 3: 1.0, "dict": {},
    }  # fmt: skip
    found = scalars(good | bad)
    assert found == good
    assert found["tensor"] is one


def test_newest_lets_each_value_through_once():
    newest = Newest()
    first, second = torch.tensor(1.0), torch.tensor(1.0)
    assert set(newest.of({"a": first, "b": 1.5})) == {"a", "b"}
    assert newest.of({"a": first.detach(), "b": 1.5}) == {}  # the same memory
    assert newest.of({"a": second})["a"] is second  # the same number, but computed anew
    assert set(newest.of({"a": first})) == {"a"}
    assert set(newest.of({"a": 1.0, "c": first})) == {"a", "c"}


def test_newest_is_not_misled_by_memory_that_is_used_again():
    newest, seen = Newest(), 0
    for _ in range(100):
        seen += len(newest.of({"a": torch.rand(())}))  # each is freed as soon as nobody holds it
    assert seen == 100
