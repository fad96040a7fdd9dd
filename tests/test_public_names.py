"""The public names: sorted, whole, loaded when used, and quick to import."""

import subprocess
import sys
from importlib.metadata import version

import pytest

import cnnviz

NAMES = [
    "Chart", "CnnvizError", "Description", "Film", "Probe", "Recorder", "Run", "Snapshot", "TrainConfig",
    "at", "data", "epochs", "every", "fit", "list_runs", "log_spaced", "models", "open_run", "plots", "within",
]  # fmt: skip


def test_names_are_sorted_and_whole():
    assert cnnviz.__all__ == NAMES
    assert sorted(NAMES) == NAMES
    assert set(cnnviz._HOMES) | set(cnnviz._PACKAGES) == set(NAMES)
    assert set(NAMES) <= set(dir(cnnviz))


@pytest.mark.parametrize("name", NAMES)
def test_every_name_loads(name):
    thing = getattr(cnnviz, name)
    assert thing.__name__.rpartition(".")[2] == name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'cnnviz' has no attribute 'nope'"):
        _ = cnnviz.nope


def test_star_import_gives_the_public_names():
    names = {}
    exec("from cnnviz import *", names)
    assert set(NAMES) <= set(names)


@pytest.mark.parametrize(
    "code",
    [
        "import cnnviz",
        "import cnnviz; dir(cnnviz)",
        "import cnnviz.plots; hasattr(cnnviz.plots, '__wrapped__')",
        "import cnnviz; cnnviz.plots; cnnviz.models; cnnviz.data; cnnviz.CnnvizError; cnnviz.every(2)",
        "import cnnviz; cnnviz.TrainConfig(); cnnviz.Film",
    ],
)
def test_torch_is_not_imported_before_it_is_used(code):
    heavy = "{'torch', 'torchvision', 'matplotlib', 'plotly', 'dash', 'pandas', 'safetensors', 'PIL'}"
    code = f"{code}\nimport sys\nprint(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_the_version_is_the_installed_one():
    assert cnnviz.__version__ == version("cnnviz")
