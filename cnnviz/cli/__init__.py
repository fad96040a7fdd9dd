"""The command line: one command a file, with heavy imports inside the commands, so that help comes at once."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command that the command line names, and exit with its code.

    An error that a user can mend is one line on stderr and exit code 1; wrong usage is 2, Ctrl-C 130. Anything
    else is a bug and keeps its traceback.
    """
    try:
        _run()
    except KeyboardInterrupt:
        sys.exit(130)


def _run() -> None:
    from cnnviz.cli.app import app
    from cnnviz.cli.failures import explain, leave_pipe, plain_warnings, print_error

    try:
        try:
            with plain_warnings():
                app(prog_name="cnnviz")
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader went away, as `head` does
        leave_pipe()
        sys.exit(1)
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        print_error(message)
        sys.exit(1)
