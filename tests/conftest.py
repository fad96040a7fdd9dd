"""What all tests share: one torch thread, no network, checked annotations in cnnviz.analysis, and one real run."""

import ast
import socket
import sys
from importlib.machinery import PathFinder, SourceFileLoader

import pytest
import torch

torch.set_num_threads(1)  # the networks are tiny; more threads only fight each other


class CheckedLoader(SourceFileLoader):
    """Loads a module so that beartype checks the annotations of its functions, shapes included, at every call.

    It is jaxtyping's import hook, but what the module imports under TYPE_CHECKING is imported, too: only there
    do the names in its annotations come from, and without them there is nothing to check.
    """

    _DECORATOR = "__import__('jaxtyping').jaxtyped(typechecker=__import__('beartype').beartype)"

    def get_code(self, fullname):  # past the cache of compiled modules
        tree = ast.parse(self.get_data(self.path))
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                node.test = ast.Constant(True)
            if isinstance(node, ast.FunctionDef):
                node.decorator_list.append(ast.parse(self._DECORATOR, mode="eval").body)
        return compile(ast.fix_missing_locations(tree), self.path, "exec", dont_inherit=True)


class CheckedFinder(PathFinder):
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        spec = super().find_spec(fullname, path, target) if fullname.startswith("cnnviz.analysis.") else None
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = CheckedLoader(spec.loader.name, spec.loader.path)
        return spec


sys.meta_path.insert(0, CheckedFinder)


@pytest.fixture(autouse=True, scope="session")
def offline():
    """Refuse every connection that would leave this machine."""
    connect = socket.socket.connect

    def guarded(self, address):
        here = ("127.0.0.1", "::1", "localhost")
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in here:
            raise AssertionError(f"a test tried to reach {address[0]}")
        return connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield


@pytest.fixture(scope="session")
def run_path(tmp_path_factory):
    """The folder of a small real training: the convnet on mnist-mini, snapshots at steps 0, 4, 8 and 12."""
    from cnnviz import TrainConfig, fit

    path = tmp_path_factory.mktemp("runs") / "small"
    config = TrainConfig(data="mnist-mini", epochs=1, batch_size=500, lr=0.05, every=4, device="cpu")
    run = fit(config, path)
    assert (run.status, run.steps.tolist()) == ("finished", [0, 4, 8, 12])
    return path


@pytest.fixture
def run(run_path):
    """The run at `run_path`, opened anew."""
    from cnnviz import open_run

    return open_run(run_path)
