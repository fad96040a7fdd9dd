"""The command line called in this process, in an empty folder, as a user would call it."""

import os
import subprocess
import sys
from typing import NamedTuple

import pytest

from cnnviz.cli import main

# A real training that takes about a second: 12 batches an epoch, recorded at steps 0, 4, 8 and 12.
TINY = ("--data", "mnist-mini", "--batch-size", "500", "--every", "4", "--epochs", "1", "--device", "cpu")


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def line(self):
        """The one line of an error."""
        assert self.err.startswith("Error: "), self.err
        assert self.err.count("\n") == 1, self.err
        return self.err.strip()


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    """Call the command line with these arguments, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["cnnviz", *(str(argument) for argument in arguments)])
        with pytest.raises(SystemExit) as ending:
            main()
        code = ending.value.code
        return Result(0 if code is None else code, *capsys.readouterr())

    return call


@pytest.fixture
def tiny():
    return TINY


@pytest.fixture
def start(tmp_path):
    """Start the command line as a process of its own, in the same empty folder."""
    started = []

    def popen(*arguments, **options):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}
        command = [sys.executable, "-m", "cnnviz.cli", *arguments]
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, **options)
        started.append(process)
        return process

    yield popen
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def small(run_path, tmp_path):
    """The run "small" under ./runs."""
    (tmp_path / "runs").mkdir()
    link = tmp_path / "runs" / "small"
    link.symlink_to(run_path)
    return link
