"""What an import did, in the words of the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnviz.recording.run import Run

_MOST_NAMED = 3


def summary(run: Run, *, sized: bool) -> dict[str, str]:
    """Return title to text of what there is to say.

    Args:
        run: What the import made.
        sized: Whether its user told which images the network takes.
    """
    facts = run.manifest.description.config
    steps = run.steps
    span = f"step {steps[0]:,}" if len(steps) == 1 else f"steps {steps[0]:,} to {steps[-1]:,}"
    rows = {
        run.status: f"{span}, from {facts['steps']}",
        "network": f"{run.manifest.network}, {_counted(run.manifest.parameters, 'parameter')}",
        "layers": _layers(facts, sized=sized),
        "names": _names(facts["unwrapped"]),
        "left out": _few(facts["left_out"]),
        "skipped": f"{_counted(len(facts['skipped']), 'damaged file')}, named above"
        if facts["skipped"]
        else "",
        "metrics": f"{len(run.metrics):,}" if run.metrics else "",
        "run": f"{run.path}, {_counted(len(run), 'snapshot')}",
    }
    return {title: text for title, text in rows.items() if text}


def _layers(facts: Mapping[str, Any], *, sized: bool) -> str:
    """Return what they were found with, where another image might find others; "" where it is what the user told."""
    if "model" not in facts:
        return ""
    if facts["image"] is None:
        return f"without shapes, as {facts['not_run']}; give the size of its images: --image-size"
    image = "×".join(str(length) for length in facts["image"])
    return "" if sized else f"found with an image of {image}; for another size: --image-size"


def _names(unwrapped: list[str]) -> str:
    """Return what was taken off the names of the weights: keys of the file, then prefixes, which end in a dot."""
    keys = [text for text in unwrapped if not text.endswith(".")]
    prefixes = [text for text in unwrapped if text.endswith(".")]
    under = f"under the key {' / '.join(keys)}" if keys else ""
    without = (
        f"without the prefix{'es' if len(prefixes) > 1 else ''} {' '.join(prefixes)}" if prefixes else ""
    )
    return ", ".join(text for text in (under, without) if text)


def _counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _few(texts: list[str]) -> str:
    more = f" and {len(texts) - _MOST_NAMED} more" if len(texts) > _MOST_NAMED else ""
    return ", ".join(texts[:_MOST_NAMED]) + more
