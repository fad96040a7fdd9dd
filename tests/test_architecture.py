"""Imports run only leftwards, libraries stay with their owners, and nothing is ever unpickled."""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# What each part of the house may import; itself always. What is missing here is a new part: give it its place.
_BASE = {"errors", "types", "registry", "calling"}
_DOORS = {"training", "integrations", "importing", "exporting", "archive", "checking"}
_ANALYSIS = _BASE | {"models", "data", "probe", "recording"}
_PLOTS = _ANALYSIS | {"analysis", "charts"}
ALLOWED = {
    "errors": set(),
    "types": set(),
    "registry": {"errors"},
    "calling": {"errors"},
    "probe": {"errors"},
    "models": _BASE,
    "data": _BASE,
    "recording": _BASE | {"models", "probe"},
    "training": _BASE | {"models", "data", "probe", "recording"},
    "integrations": _BASE | {"models", "data", "probe", "recording"},
    "importing": _BASE | {"models", "data", "probe", "recording"},
    "exporting": _BASE | {"recording"},
    "archive": _BASE | {"recording"},
    "checking": _BASE | {"recording"},
    "analysis": _ANALYSIS,
    "charts": _BASE,
    "plots": _PLOTS,
    "dashboards": (_PLOTS | {"plots", ""}) - {"data"},
    "cli": _PLOTS | _DOORS | {"plots", "dashboards", ""},
    "": set(),  # cnnviz/__init__.py loads everything by name, and imports nothing
}
OWNERS = {
    "matplotlib": ("cnnviz/charts/to_matplotlib/",),
    "plotly": ("cnnviz/charts/to_plotly.py", "dashboards/"),
    "dash": ("dashboards/",),
    "dash_mantine_components": ("dashboards/",),
    "safetensors": ("cnnviz/recording/", "cnnviz/importing/", "cnnviz/exporting/"),
    "sqlite3": ("cnnviz/recording/", "cnnviz/checking/sqlite.py"),
    "zarr": ("cnnviz/archive/",),
    "numcodecs": ("cnnviz/archive/",),
    "obstore": ("cnnviz/archive/",),
    "google_crc32c": ("cnnviz/archive/",),
    "tensorboard": ("cnnviz/importing/", "cnnviz/exporting/"),
    "lightning": ("cnnviz/integrations/lightning.py",),
    "transformers": ("cnnviz/integrations/transformers.py",),
    "ignite": ("cnnviz/integrations/ignite.py",),
    "accelerate": (),
    "torchvision": ("cnnviz/models/", "cnnviz/data/"),
    "typer": ("cnnviz/cli/",),
    "click": ("cnnviz/cli/",),
    "rich": ("cnnviz/cli/", "cnnviz/data/"),
    "captum": ("cnnviz/analysis/attribution/",),
}
# The one place that reads what torch.save wrote, and only the weights in it.
WEIGHTS_ONLY = "cnnviz/importing/torch_files.py"
UNPICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def sources():
    files = [*ROOT.glob("cnnviz/**/*.py"), *ROOT.glob("dashboards/cnnviz_dashboards/**/*.py")]
    return {str(path.relative_to(ROOT)): path.read_text() for path in files}


def part_of(module):
    """Return the part of the house that a dotted name lies in; None for a library."""
    names = module.split(".")
    if names[0] == "cnnviz_dashboards":
        return "dashboards"
    return None if names[0] != "cnnviz" else names[1] if len(names) > 1 else ""


def home_of(path):
    names = Path(path).with_suffix("").parts
    return "dashboards" if names[0] == "dashboards" else "" if names[1] == "__init__" else names[1]


def runtime_nodes(tree):
    """Yield all nodes but those that only the type checker sees."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        hidden = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        waiting.extend(node.orelse if hidden else ast.iter_child_nodes(node))


def imports(path, tree):
    """Return the dotted names that a module imports, also within functions."""
    found = set()
    for node in runtime_nodes(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = node.module or ""
            if node.level:
                package = Path(path.removeprefix("dashboards/")).parts[: -node.level]
                start = ".".join([*package, *([start] if start else [])])
            # `from cnnviz import plots` imports a part, `from cnnviz.plots import filters` names its own
            whole = start in ("cnnviz", "cnnviz_dashboards")
            found |= {f"{start}.{alias.name}" for alias in node.names} if whole else {start}
    return found


def wrongs(path, text):
    """Return what is wrong with the imports of one module, in words."""
    tree = ast.parse(text)
    home = home_of(path)
    found = []
    for name in sorted(imports(path, tree)):
        part, library = part_of(name), name.partition(".")[0]
        known = part in ALLOWED or part is None
        if part is not None and known and part != home and part not in ALLOWED.get(home, set()):
            found.append(f"{path}: {home or 'cnnviz'} must not import {name}")
        if library in OWNERS and not path.startswith(OWNERS[library]):
            found.append(f"{path}: {library} belongs to {', '.join(OWNERS[library])}")
        if library in UNPICKLES:
            found.append(f"{path}: {library} executes what it reads")
        if library == "random" and home != "data":  # its worker processes are seeded
            found.append(f"{path}: random is the user's; cnnviz leaves its state alone")
    harmless = {call.func for call in ast.walk(tree) if path == WEIGHTS_ONLY and is_weights_only(call)}
    for node in ast.walk(tree):
        unpickles = isinstance(node, ast.Attribute) and ast.unparse(node) in (
            "torch.load",
            "torch.hub",
            "torch.jit.load",
        )
        if unpickles and node not in harmless:
            found.append(f"{path}: {ast.unparse(node)} unpickles")
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            found.append(f"{path}: allow_pickle")
    return found


def is_weights_only(node):
    """Say whether a node calls torch.load so that it builds nothing but tensors and plain containers."""
    if not isinstance(node, ast.Call) or ast.unparse(node.func) != "torch.load":
        return False
    return {k.arg: ast.unparse(k.value) for k in node.keywords}.get("weights_only") == "True"


def test_all_parts_have_their_place():
    assert {home_of(path) for path in sources()} <= set(ALLOWED)


@pytest.mark.parametrize("path", sorted(sources()))
def test_imports_run_leftwards_and_libraries_stay_with_their_owners(path):
    assert wrongs(path, sources()[path]) == []


@pytest.mark.parametrize(
    ("path", "text", "wrong"),
    [
        (
            "cnnviz/training/x.py",
            "from cnnviz.charts.chart import Film",
            "training must not import cnnviz.charts",
        ),
        ("cnnviz/training/x.py", "from cnnviz import plots", "training must not import cnnviz.plots"),
        (
            "cnnviz/training/x.py",
            "def f():\n  import cnnviz.analysis.filters",
            "must not import cnnviz.analysis",
        ),
        ("cnnviz/charts/x.py", "from cnnviz.recording.run import Run", "charts must not import"),
        ("cnnviz/charts/x.py", "from ..analysis import images", "charts must not import cnnviz.analysis"),
        ("cnnviz/probe.py", "from cnnviz.models import build", "probe must not import"),
        ("cnnviz/plots/x.py", "import cnnviz_dashboards.app", "plots must not import cnnviz_dashboards"),
        ("dashboards/cnnviz_dashboards/x.py", "import cnnviz.training.loop", "dashboards must not import"),
        ("dashboards/cnnviz_dashboards/pages/x.py", "from cnnviz import data", "must not import cnnviz.data"),
        ("cnnviz/plots/x.py", "import matplotlib.pyplot as plt", "matplotlib belongs to"),
        ("cnnviz/analysis/x.py", "from safetensors import safe_open", "safetensors belongs to"),
        ("cnnviz/cli/x.py", "def f():\n  import dash", "dash belongs to"),
        ("cnnviz/analysis/x.py", "from captum.attr import Saliency", "captum belongs to"),
        ("cnnviz/recording/x.py", "import pickle", "pickle executes"),
        ("cnnviz/plots/x.py", "from random import shuffle", "leaves its state alone"),
        ("cnnviz/recording/x.py", "x = torch.load(path)", "torch.load unpickles"),
        (WEIGHTS_ONLY, "x = torch.load(path, mmap=True)", "torch.load unpickles"),
        (WEIGHTS_ONLY, "x = torch.load(path, weights_only=False)", "torch.load unpickles"),
        ("cnnviz/recording/x.py", "x = torch.load(path, weights_only=True)", "torch.load unpickles"),
        ("cnnviz/recording/x.py", "x = np.load(path, allow_pickle=True)", "allow_pickle"),
        (
            "cnnviz/errors.py",
            "if TYPE_CHECKING:\n  pass\nelse:\n  import cnnviz.cli",
            "must not import cnnviz.cli",
        ),
    ],
)
def test_the_check_sees(path, text, wrong):
    (found,) = wrongs(path, text)
    assert wrong in found


def test_the_check_lets_pass():
    assert wrongs("cnnviz/charts/x.py", "if TYPE_CHECKING:\n    from cnnviz.recording.run import Run") == []
    assert wrongs("cnnviz/plots/x.py", "from cnnviz.analysis.images import as_image\nimport numpy") == []
    assert wrongs("cnnviz/charts/to_matplotlib/x.py", "import matplotlib") == []


def test_no_file_is_a_drawer_for_everything():
    drawers = {"utils.py", "util.py", "helpers.py", "helper.py", "common.py", "misc.py"}
    assert [path for path in sources() if Path(path).name in drawers] == []


def test_no_library_is_owned_in_vain():
    # A library of the table that the project no longer installs would make the table a lie.
    assert set(OWNERS) - {"captum", "click"} <= set(sys.stdlib_module_names) | _dependencies()


def _dependencies():
    text = (ROOT / "pyproject.toml").read_text()
    named = re.findall(r'"([a-z0-9_-]+)(?:\[[a-z,]+\])?[><=!]', text)
    return {name.replace("-", "_").removeprefix("pytorch_") for name in named}
