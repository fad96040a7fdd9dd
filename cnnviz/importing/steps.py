"""Which step each checkpoint was taken at: from its contents, else its name, else its time."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from cnnviz.errors import ConfigError
from cnnviz.importing.checkpoint import COUNTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cnnviz.importing.checkpoint import Checkpoint

_WEAK = "epoch"  # several checkpoints of one epoch are nothing unusual
_NUMBER = r"[-_=. ]?(\d+)(?!\d*\.\d)"
# What a number in a name means, the surest first; the last is a number that stands alone: "model-12", not "resnet18".
_IN_NAMES = {
    "steps in names": re.compile(rf"(?<![a-z])(?:global[-_]?)?steps?{_NUMBER}", re.IGNORECASE),
    "iterations in names": re.compile(rf"(?<![a-z])iter(?:ation)?s?{_NUMBER}", re.IGNORECASE),
    "epochs in names": re.compile(rf"(?<![a-z])(?:epochs?|ep){_NUMBER}", re.IGNORECASE),
    "numbers in names": re.compile(
        r"(?:(?<![a-z\d.])|(?<![a-z])(?:ckpt|checkpoint|model|weights|net|it|e))(\d+)(?!\d*\.\d)(?![a-z\d])",
        re.IGNORECASE,
    ),
}  # fmt: skip
_LATEST = 2**63


class Steps(NamedTuple):
    """Where the states lie in time.

    Attributes:
        values: The step of each checkpoint, in their order; all different.
        source: Where they come from, in words.
    """

    values: list[int]
    source: str


def find_steps(
    checkpoints: Sequence[Checkpoint],
    pattern: str | None,
    counters: Sequence[Mapping[str, int]] | None = None,
) -> Steps:
    """Return the step of each checkpoint, all of them from one kind of source, so that they mean the same.

    Args:
        checkpoints: At least one.
        pattern: A regular expression with one group, which finds the step in a name; None finds out by itself.
        counters: What the contents of each tell, if it is known already.

    Raises:
        ConfigError: If the pattern can't be used, or two checkpoints have the same step.
        DataError: If a checkpoint can't be read.
    """
    if pattern is not None:
        return _apart(Steps(_by_pattern(checkpoints, pattern), "--step-pattern"), checkpoints)
    if counters is None:
        counters = [checkpoint.counters() for checkpoint in checkpoints]
    told = _from_contents(counters)
    if told is not None and not (told.source.endswith(_WEAK) and _is_twice(told)):
        return _apart(told, checkpoints)
    named = _from_names(checkpoints)
    if named is not None or told is not None:
        return _apart(named or told or Steps([], ""), checkpoints)
    return _from_times(checkpoints)


def _from_contents(counters: Sequence[Mapping[str, int]]) -> Steps | None:
    for key in COUNTERS:
        if all(key in told for told in counters):
            return Steps([told[key] for told in counters], f"contents: {key}")
    return None


def _from_names(checkpoints: Sequence[Checkpoint]) -> Steps | None:
    """Return the numbers that all names hold in the same way; else those of all folders."""
    places: list[Callable[[Checkpoint], str]] = [lambda c: c.stem, lambda c: c.path.absolute().parent.name]
    for place in places:
        names = [place(checkpoint) for checkpoint in checkpoints]
        for source, pattern in _IN_NAMES.items():
            numbers = [pattern.findall(name) for name in names]
            if all(numbers):
                values = [int(found[-1]) for found in numbers]
                return Steps(values, source) if max(values) < _LATEST else None
    return None


def _from_times(checkpoints: Sequence[Checkpoint]) -> Steps:
    """Return 0, 1, 2 ... in the order of the times at which the files were changed last."""
    moments = [
        (max(file.stat().st_mtime_ns for file in c.files), str(c.path), number)
        for number, c in enumerate(checkpoints)
    ]
    values = [0] * len(checkpoints)
    for step, (_, _, number) in enumerate(sorted(moments)):
        values[number] = step
    return Steps(values, "the order of the files' times")


def _by_pattern(checkpoints: Sequence[Checkpoint], text: str) -> list[int]:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise ConfigError(f"--step-pattern {text!r} is no regular expression: {error}") from error
    if pattern.groups != 1:
        raise ConfigError(
            f"--step-pattern {text!r} must have one group, the step, as in 'epoch_([0-9]+)'; "
            f"it has {pattern.groups}"
        )
    values = []
    for checkpoint in checkpoints:
        path = checkpoint.path.absolute()
        match = pattern.search(path.name) or pattern.search(path.parent.name)
        if match is None:
            raise ConfigError(f"--step-pattern {text!r} is not found in the name {path.name}")
        number = match[1] or ""
        if not number.isdecimal() or int(number) >= _LATEST:
            raise ConfigError(f"--step-pattern {text!r} finds {number!r} in {path.name}, which is no step")
        values.append(int(number))
    return values


def _is_twice(steps: Steps) -> bool:
    return len(set(steps.values)) < len(steps.values)


def _apart(steps: Steps, checkpoints: Sequence[Checkpoint]) -> Steps:
    """Return `steps` if all are different."""
    step, times = Counter(steps.values).most_common(1)[0]
    if times == 1:
        return steps
    both = [str(c.path) for c, value in zip(checkpoints, steps.values, strict=True) if value == step]
    raise ConfigError(
        f"{' and '.join(both[:2])} are both of step {step} ({steps.source}): leave one of them out by naming the "
        "files that you want, or say where their names hold the step: --step-pattern REGEX"
    )
