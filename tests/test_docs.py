"""The docs name every command and plot, and their links and pictures exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cnnviz.plots.plot import PLOTS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("name", PLOTS.names())
def test_every_plot_is_in_the_docs_with_a_picture(name):
    text = (ROOT / "docs" / "plots.md").read_text()
    section = text.split(f"## {name}\n")[1].split("\n## ")[0]
    assert f"cnnviz.plots.{name}(" in section
    assert "](images/" in section


def test_every_command_is_in_the_docs():
    from typer.main import get_command

    from cnnviz.cli.app import app

    text = (ROOT / "docs" / "commands.md").read_text()
    for name in get_command(app).commands:
        assert f"## cnnviz {name}\n" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_exist(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_python_in_contributing_works_as_it_stands(tmp_path):
    """The two examples of a new file are whole."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.S)
    assert len(blocks) == 2
    for block in blocks:
        compile(block, "CONTRIBUTING.md", "exec")
