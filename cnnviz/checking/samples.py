"""The samples that travel with a run: are they there, are they those that were recorded, and what if not."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from cnnviz.checking.judging import is_slip
from cnnviz.checking.report import counted
from cnnviz.errors import CnnvizError, RunError
from cnnviz.recording.manifest import read_manifest, write_manifest
from cnnviz.recording.samples import describe_stored, read_samples

if TYPE_CHECKING:
    from cnnviz.checking.aside import Aside
    from cnnviz.recording.layout import Layout
    from cnnviz.recording.manifest import KeptSamples

_COST = "the pictures that need an image can be drawn of image files only"


def samples_problem(layout: Layout) -> str:
    """Return what is wrong with the samples, and what it costs; "" if nothing, or there never were any."""
    recorded = recorded_samples(layout)
    if recorded is not None and recorded.count and not os.path.lexists(layout.samples):
        gone = f"its {counted(recorded.count, 'sample')} {'is' if recorded.count == 1 else 'are'} gone"
        return f"{layout.samples} is not there: {gone}, and {_COST}"
    try:
        read_samples(layout.samples)
        if recorded is not None and recorded.count:
            found = describe_stored(layout.samples).digest
            # Pictures are not given up for a digit of run.json.
            if found != recorded.digest and not is_slip(recorded.digest, found):
                return f"{layout.samples} does not hold what was recorded: its images or labels were altered"
    except CnnvizError as error:
        return f"{error}; {_COST}"
    return ""


def samples_way_out(layout: Layout) -> str:
    """Return what can be done about them."""
    if not os.path.lexists(layout.samples):
        return "put the file back if you have it; a repair takes them out of run.json"
    return "a repair moves it to damaged/; put it back from there if its pictures are still of use"


def forget_samples(layout: Layout, aside: Aside) -> None:
    """Take the samples out of run.json, so that nobody misses them; what it told of them is written down."""
    recorded = recorded_samples(layout)
    if recorded is None:
        return
    write_manifest(layout.manifest, replace(read_manifest(layout.manifest), samples=None), durable=True)
    aside.did(
        f"Took the samples out of {layout.manifest.name}, as they are gone",
        f"recorded: {counted(recorded.count, 'sample')}, digest {recorded.digest}",
    )


def recorded_samples(layout: Layout) -> KeptSamples | None:
    """Return what run.json tells of the samples; None if nothing, as that of an older cnnviz or a damaged one."""
    try:
        return read_manifest(layout.manifest).samples
    except RunError:
        return None
