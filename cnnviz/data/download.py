"""Downloads by torchvision, with an error that tells what to do without a network."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

from cnnviz.errors import DataError

if TYPE_CHECKING:
    from cnnviz.data.request import Request


def download(torchvision_class: str, name: str, request: Request, inside: str) -> None:
    """Let torchvision download one of its data sets to the request's root, and check it.

    Args:
        torchvision_class: The name of torchvision's class ("MNIST").
        name: The data set's name here.
        request: Where to, and whether to show torchvision's progress bar on stderr.
        inside: What the root is to hold ("MNIST/raw"), for the error.

    Raises:
        DataError: If the download fails; it names the ways to do without.
    """
    from torchvision import datasets  # here: 2 s, and not needed once the data are there

    root = request.root
    # What torchvision prints is no result of the command that is running: off stdout.
    shown = sys.stderr if request.progress else io.StringIO()
    try:
        with redirect_stdout(shown), redirect_stderr(shown):
            getattr(datasets, torchvision_class)(root, download=True)
    except (OSError, RuntimeError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{name} isn't whole under {root} and can't be downloaded: {reason or type(error).__name__}. "
            f"Give --data-root (root=) the folder that holds {inside}, "
            f"or use --data mnist-mini, which comes with cnnviz"
        ) from error
