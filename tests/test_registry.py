"""Registries: found by file, taken once, and an error that lists the names."""

import sys

import pytest

from cnnviz.errors import ConfigError, UnknownNameError
from cnnviz.registry import Registry

REGISTRY = "from cnnviz.registry import Registry\nTHINGS = Registry('thing', __name__)\n"
MODULE = "from {package} import THINGS\n@THINGS.register('{name}')\ndef make(): return '{name}'\n"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of things: red-fox and blue, each in its file, and one file that registers two."""
    folder = tmp_path / "things_for_test"
    folder.mkdir()
    (folder / "__init__.py").write_text(REGISTRY)
    for file, name in {"red_fox": "red-fox", "blue": "blue", "several": "green"}.items():
        (folder / f"{file}.py").write_text(MODULE.format(package=folder.name, name=name))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.startswith("things_for_test")]:
        del sys.modules[name]


def things():
    import things_for_test

    return things_for_test.THINGS


def loaded():
    return {name.rpartition(".")[2] for name in sys.modules if name.startswith("things_for_test.")}


def test_names_are_sorted_and_need_no_list(package):
    assert things().names() == ["blue", "green", "red-fox"]


def test_a_name_loads_only_its_own_file(package):
    assert things().get("red-fox")() == "red-fox"
    assert loaded() == {"red_fox"}


def test_a_name_that_is_no_file_is_found(package):
    assert things().get("green")() == "green"


def test_contains(package):
    assert "green" in things()
    assert "grey" not in things()
    assert "red_fox" not in things()


def test_a_miss_lists_the_names_and_the_nearest(package):
    with pytest.raises(UnknownNameError) as caught:
        things().get("bleu")
    assert str(caught.value) == (
        "no thing is named 'bleu'. Did you mean 'blue'? Known: blue, green, red-fox; "
        "or name your own as package.module:attribute"
    )


def test_a_new_file_is_all_it_takes(package):
    (package / "pink.py").write_text(MODULE.format(package=package.name, name="pink"))
    assert things().get("pink")() == "pink"
    assert "pink" in things().names()


def test_a_name_taken_twice_is_refused(package):
    (package / "second.py").write_text(MODULE.format(package=package.name, name="blue"))
    with pytest.raises(ConfigError, match=r"two things are named 'blue': .*blue\.make and .*second\.make"):
        things().names()


def test_registering_the_same_again_is_fine():
    registry = Registry("thing", "cnnviz")

    def one(): ...

    assert registry.register("one")(one) is one
    registry.register("one")(one)
    with pytest.raises(ConfigError, match="two things are named 'one'"):
        registry.register("one")(test_contains)


def test_a_users_own(package, tmp_path):
    (tmp_path / "own_for_test.py").write_text("def made(): return 'mine'\n")
    try:
        assert things().get("own_for_test:made")() == "mine"
    finally:
        sys.modules.pop("own_for_test", None)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("no_such_module:x", "can't be imported: No module named"),
        ("json:nope", "isn't there: json has no 'nope'"),
        ("json:", "isn't there"),
        (":x", "can't be imported"),
        (".relative:x", "can't be imported"),
        ("..:x", "can't be imported"),
    ],
)
def test_a_users_own_that_is_not_there(package, name, problem):
    with pytest.raises(UnknownNameError, match=problem):
        things().get(name)


def test_looking_for_a_users_own_imports_nothing(package, tmp_path):
    (tmp_path / "trap_for_test.py").write_text("raise SystemExit('imported')\n")
    assert "trap_for_test:x" not in things()
    assert "trap_for_test" not in things()
