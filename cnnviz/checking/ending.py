"""How a run ended, where the database that told it is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnviz.errors import RunError
from cnnviz.recording.checkpoint import read_checkpoint
from cnnviz.recording.manifest import read_manifest

if TYPE_CHECKING:
    from cnnviz.recording.layout import Layout

ENDING_LOST = "how it ended was lost with its database"
"""The detail of a run that counts as interrupted because nobody knows better."""


def came_to_its_end(layout: Layout) -> bool:
    """Say whether the checkpoint of `cnnviz train` is surely that of a training that was complete.

    It counts the steps and images of its last epoch, and only a last batch that is smaller than the others tells that
    an epoch was complete, and not stopped on the way.
    """
    try:
        facts = read_checkpoint(layout.root)[1]
        config = read_manifest(layout.manifest).description.config
        steps, images = facts["tally"]["losses"], facts["tally"]["images"]
        return bool(images % config["batch_size"] and facts["step"] == config["epochs"] * steps)
    except (RunError, KeyError, TypeError, ValueError, ZeroDivisionError):
        return False
