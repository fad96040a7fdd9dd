"""The application as a whole: help, version, and how errors end."""

import subprocess
import sys

import pytest

import cnnviz
from cnnviz.cli import app as application
from cnnviz.cli import main
from cnnviz.cli.failures import explain
from cnnviz.errors import RunError

COMMANDS = ("train", "dashboard", "runs", "show", "plot")


def test_help_names_every_command_and_the_exit_codes(cli):
    result = cli("--help")
    assert result.code == 0
    assert all(f" {command} " in result.out for command in COMMANDS)
    assert "Exit codes" in result.out


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(cli, command):
    result = cli(command, "--help")
    assert result.code == 0
    assert f"cnnviz {command}" in result.out


def test_version(cli):
    assert cli("--version") == (0, f"cnnviz {cnnviz.__version__}\n", "")


def test_help_imports_nothing_heavy():
    code = (
        "import sys\n"
        "sys.argv = ['cnnviz', '--help']\n"
        "from cnnviz.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n"
        "    heavy = {'torch', 'numpy', 'matplotlib', 'plotly', 'dash', 'PIL', 'cnnviz_dashboards'}\n"
        "    print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


@pytest.mark.parametrize("arguments", [["nope"], ["train", "--nope"], ["train", "--epochs", "x"], ["show"]])
def test_wrong_usage_exits_2(cli, arguments):
    result = cli(*arguments)
    assert result.code == 2
    assert "Usage: cnnviz" in result.err


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RunError("two\n  lines"), "two lines"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "--batch-size"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "--device cpu"),
        (MemoryError(), "--batch-size"),
        (FileNotFoundError(2, "No such file or directory", "x.png"), "x.png: No such file or directory"),
        (PermissionError(13, "Permission denied", "/root/x"), "/root/x: Permission denied"),
    ],
)
def test_errors_that_a_user_can_mend_are_one_line(error, words):
    message = explain(error)
    assert words in message
    assert "\n" not in message


@pytest.mark.parametrize("error", [ValueError("a bug"), RuntimeError("shapes differ"), OSError("odd")])
def test_bugs_are_not_explained_away(error):
    assert explain(error) is None


def raising(error):
    def app(**_):
        raise error

    return app


def test_a_bug_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(application, "app", raising(ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError):
        main()


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (RunError("x"), 1)])
def test_exit_codes(monkeypatch, capsys, error, code):
    monkeypatch.setattr(application, "app", raising(error))
    with pytest.raises(SystemExit) as ending:
        main()
    assert ending.value.code == code
    assert capsys.readouterr().err == ("" if code == 130 else "Error: x\n")


def test_a_reader_that_goes_away_is_no_error(start):
    process = start("--help", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
