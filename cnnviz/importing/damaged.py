"""What becomes of files that can't be used: they end the import, or are left out."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cnnviz.errors import DataError, RecordingWarning
from cnnviz.importing.fitting import MisfitError

if TYPE_CHECKING:
    from collections.abc import Iterator

_WAY_OUT = "to import the others without it: --skip-damaged"


class Damaged:
    """Files that can't be read, or whose weights don't fit.

    Attributes:
        skip: Whether they are left out, each with a warning; else the first ends the import.
        several: Whether there are others to go on with, so that leaving one out is a way out.
        left_out: What is wrong with each that was left out; the text names the file.
    """

    def __init__(self, *, skip: bool) -> None:
        self.skip = skip
        self.several = True
        self.left_out: list[str] = []

    @contextmanager
    def tolerated(self) -> Iterator[None]:
        """Go on behind the block if what it reads can't be used and is to be left out; else name the way out.

        Raises:
            DataError: If a file can't be read.
            MisfitError: If its weights don't fit.
        """
        try:
            yield
        except (DataError, MisfitError) as error:
            if not self.skip:
                raise type(error)(f"{error}; {_WAY_OUT}" if self.several else str(error)) from error
            if str(error) not in self.left_out:  # a Trainer's state is read for the step and for the metrics
                self.left_out.append(str(error))
                warnings.warn(f"left out: {error}", RecordingWarning, stacklevel=3)

    def none_left(self) -> DataError:
        """Return the error for an import of which nothing is left; it tells of the first that was left out."""
        count = len(self.left_out)
        more = f", and {count - 1} more {'is' if count == 2 else 'are'} left out" if count > 1 else ""
        return DataError(f"no checkpoint is left to import: {self.left_out[0]}{more}")
