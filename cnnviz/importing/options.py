"""How checkpoints are to be imported."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cnnviz.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class ImportOptions:
    """How checkpoints are to be imported; the defaults find out what they can.

    Attributes:
        model_arguments: Arguments of the network; what is absent is guessed from the weights.
        image_size: Height and width of an image in pixels; None takes that of `data`, else tries the usual ones.
        step_pattern: A regular expression with one group, the step; searched in the names of files, or of their
            folders. None looks into the contents, then at names, then at times.
        skip_damaged: Leave out files that can't be read, and checkpoints that don't fit the network or, where it is not
            known, the first of them; a warning tells of each. Else such a file ends the import.
        link: Hard-link safetensors files into the run instead of copying them.
        data: The name of a data set whose validation images travel with the run; None takes none.
        data_root: The folder that holds data sets, or into which they are downloaded.
        samples: How many of its images.
    """

    model_arguments: Mapping[str, Any] = field(default_factory=dict)
    image_size: int | None = None
    step_pattern: str | None = None
    skip_damaged: bool = False
    link: bool = False
    data: str | None = None
    data_root: str = "data"
    samples: int = 100

    def __post_init__(self) -> None:
        if self.image_size is not None and self.image_size < 1:
            raise ConfigError(f"the image size must be at least 1, not {self.image_size}")
        if self.samples < 0:
            raise ConfigError(f"samples must be 0 or more, not {self.samples}")
