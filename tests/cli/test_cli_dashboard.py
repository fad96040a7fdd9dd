"""`cnnviz dashboard`: what it asks the server for."""

from pathlib import Path

import pytest


@pytest.fixture
def served(monkeypatch):
    calls = []
    monkeypatch.setattr("cnnviz_dashboards.app.create_app", lambda root, model: (root, model))
    monkeypatch.setattr(
        "cnnviz_dashboards.serve.serve",
        lambda app, **options: calls.append((app[0], options | ({"model": app[1]} if app[1] else {}))),
    )
    return calls


def test_defaults(cli, served, small):
    assert cli("dashboard").code == 0
    options = {"host": "127.0.0.1", "port": 8050, "strict_port": False, "open_browser": True}
    assert served == [(Path("runs"), options)]


def test_a_port_that_is_named_must_be_that_one(cli, served, tmp_path):
    assert cli("dashboard", tmp_path, "--port", "8050", "--host", "0.0.0.0", "--no-browser").code == 0
    options = {"host": "0.0.0.0", "port": 8050, "strict_port": True, "open_browser": False}
    assert served == [(tmp_path, options)]


@pytest.mark.parametrize("how", ["runs/small", "runs/small/", "runs/../runs/small"])
def test_of_a_single_run_its_folder_is_served(cli, served, small, how):
    assert cli("dashboard", how).code == 0
    assert served[0][0].resolve() == small.parent


def test_a_single_run_from_within(cli, served, small, monkeypatch):
    monkeypatch.chdir(small)
    assert cli("dashboard", ".").code == 0
    assert served[0][0].is_absolute()


def test_no_folder(cli, served):
    result = cli("dashboard")
    assert result.code == 1
    assert "runs does not exist; train first (cnnviz train)" in result.line
    assert served == []


def test_no_such_port(cli, served, tmp_path):
    assert cli("dashboard", tmp_path, "--port", "70000").code == 2


def test_a_network_of_your_own(cli, served, tmp_path):
    (tmp_path / "nets.py").write_text("from torch import nn\n\nclass Net(nn.Linear):\n    pass\n")
    assert cli("dashboard", tmp_path, "--model", "nets:Net").code == 0
    assert served[0][1]["model"] == "nets:Net"


@pytest.mark.parametrize("model", ["nets:Missing", "nowhere:Net", "convnett"])
def test_a_network_that_is_not_there(cli, served, tmp_path, model):
    (tmp_path / "nets.py").write_text("")
    result = cli("dashboard", tmp_path, "--model", model)
    assert result.code == 1
    assert model.split(":")[0] in result.line
    assert served == []
