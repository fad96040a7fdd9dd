"""`cnnviz dashboard`: what it asks the server for."""

from pathlib import Path

import pytest


@pytest.fixture
def served(monkeypatch):
    calls = []
    monkeypatch.setattr(
        "cnnviz_dashboards.serve.serve", lambda root, **options: calls.append((root, options))
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
