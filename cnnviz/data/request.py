"""What a loader of a data set is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnviz.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Request:
    """What a loader of a data set is asked for.

    Attributes:
        root: The folder that holds the data sets; downloads go there.
        argument: What follows the colon of the name ("PATH" of "folder:PATH"), None without one.
        image_size: Height and width in pixels that the images are wanted in, None for their own. `load` resizes
            what a loader returns, so that a loader needs to heed it only where it has no size of its own.
        progress: Whether slow steps show a progress bar on stderr.
    """

    root: Path
    argument: str | None = None
    image_size: int | None = None
    progress: bool = True

    def refuse_argument(self, name: str) -> None:
        """Raise a DataError if there is an argument, which the data set `name` does not take."""
        if self.argument is not None:
            raise DataError(
                f"the data set {name} takes no argument: write {name}, not {name}:{self.argument}"
            )
