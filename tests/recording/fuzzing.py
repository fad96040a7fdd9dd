"""What hostile runs are tested with: a small run, all that a reader does with it, and the verdict on what came out.

The rule. A damaged file costs only what is read from it: everything else stays as it was. What is read from it is
as it was, or a CnnvizError that names the file or the run, or another value of the right kind, where the file
is whole and just says something else. Weights that were changed are such values: reading does not take digests, so
that it stays quick; their state's digest is another than the index tells, by which `check` finds them.
"""

import json
import random
import re
import shutil
import tempfile
import time
import warnings
from typing import NamedTuple

import numpy as np
import torch
from guarding import Guard, peak_megabytes
from mutations import KINDS
from small_runs import STEPS, make_runs

import cnnviz
from cnnviz import plots
from cnnviz.cli.facts import details
from cnnviz.errors import CnnvizError, DamageWarning, ImageError, LayerError
from cnnviz.models import MODELS
from cnnviz.recording.checkpoint import read_checkpoint
from cnnviz.recording.digest import state_digest, tensor_digest
from cnnviz.recording.encoding import raw_tensor

SECONDS = 2.0
MEGABYTES = 100  # far above what allocators keep for themselves, far below what a bomb takes


# --- looking


class Outcome(NamedTuple):
    """What one look gave: a plain value that can be compared, or an exception."""

    value: object
    error: Exception | None = None
    seconds: float = 0.0


def observe(path):
    """Return what every look at the run in the folder `path` gives, by name."""
    found = {"open": _outcome(lambda: cnnviz.open_run(path), plain=lambda run: run.name)}
    looks = _looks(path)
    if found["open"].error is None:
        looks |= _run_looks(cnnviz.open_run(path))
    return found | {name: _outcome(look) for name, look in looks.items()}


def _outcome(look, plain=None):
    started = time.process_time()
    try:
        value, error = (plain or _plain)(look()), None
    except Exception as exception:
        value, error = None, exception
    return Outcome(value, error, time.process_time() - started)


def _looks(path):
    return {
        "list": lambda: [run.name for run in cnnviz.list_runs(path.parent) if run.name != path.name],
        "checkpoint": lambda: read_checkpoint(path),
    }


def _run_looks(run):
    looks = {
        "manifest": lambda: json.dumps(_manifest(run)),
        "status": lambda: (run.status, run.detail),
        "missing": lambda: (run.missing, str(run.missing)),
        "steps": lambda: run.steps,
        "at": lambda: [run.at(step).step for step in STEPS],
        "entries": run.entries,
        "digests": lambda: (run.digests, run.last.digest, run.last.bytes),
        "metrics": lambda: run.metrics,
        "metric": lambda: [run.metric(name) for name in run.metrics],
        "samples": lambda: (run.samples, [(s.image, s.label) for s in run.samples]),
        "examples": lambda: vars(run.examples),
        "series": lambda: [run.series(name) for name in run.first.state],
        "stacked": lambda: run.stacked(list(run.last.state)),
        "model": lambda: {step: run.at(step).model().state_dict() for step in STEPS},
        "repr": lambda: (repr(run), repr(run.last), repr(run.last.state)),
        "card": lambda: run._repr_html_(),
        "details": lambda: json.dumps(details(run), indent=2),
        "errors": lambda: vars(plots.errors(run).panels[0]),
        "filters": lambda: vars(plots.filters(run).panels[0]),
        "probabilities": lambda: [vars(panel) for panel in plots.probabilities(run).panels],
        "feature_maps": lambda: [vars(panel) for panel in plots.feature_maps(run).panels],
    }
    return looks | {f"state {step}": _state_look(run, step) for step in STEPS}


def _state_look(run, step):
    def look():
        state = run.store.tensors(step)
        some = list(state)[:20]
        one_by_one = {name: run.store.tensors(step, [name])[name] for name in some}
        assert _plain({name: state[name] for name in some}) == _plain(one_by_one)
        assert list(state) == run.store.tensor_names(step)
        return dict(sorted(state.items()))

    return look


def _manifest(run):
    m, d = run.manifest, run.manifest.description
    own = [m.id, m.created, m.class_name, m.parameters, m.layers_from, m.format, m.network, dict(m.software)]
    said = [d.model, dict(d.arguments), d.data, d.classes, dict(d.config), d.seed]
    return [*own, *said, run.name, run.layers, dict(run.shapes), run.classes]


def _plain(value):
    """Return arrays, tensors and what holds them as what `==` compares to the bit."""
    if isinstance(value, torch.Tensor):
        raw = raw_tensor("x", value)
        return str(value.dtype), tuple(value.shape), bytes(raw.data)
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, dict):
        return [(_plain(key), _plain(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        value.encode()  # what is no text can't be shown
        return value
    if hasattr(value, "__dict__"):
        return [type(value).__name__, _plain(vars(value))]
    return repr(value)


# --- the verdict

_ALL_SNAPSHOTS = r"snapshots|shared|linked"
# What each look reads, as patterns of names in the run's folder; each reads run.json first, unless said otherwise.
_READS = {
    "list": "nothing",
    "checkpoint": r"resume",
    "manifest": r"run\.json",
    "missing": r"run\.json|writer",
    "samples": r"run\.json|samples",
    "status": r"run\.json|run\.db|writer",
    "model": rf"run\.json|run\.db|{_ALL_SNAPSHOTS}",
    "series": rf"run\.json|run\.db|{_ALL_SNAPSHOTS}",
    "stacked": rf"run\.json|run\.db|{_ALL_SNAPSHOTS}",
    "filters": rf"run\.json|run\.db|{_ALL_SNAPSHOTS}",
    "probabilities": rf"run\.json|run\.db|samples|{_ALL_SNAPSHOTS}",
    "feature_maps": rf"run\.json|run\.db|samples|{_ALL_SNAPSHOTS}",
    "repr": rf"run\.json|run\.db|writer|{_ALL_SNAPSHOTS}",
    "card": r"run\.json|run\.db|writer",
    "details": r"run\.json|run\.db|samples|writer",
}
_READS |= {f"state {step}": rf"run\.json|snapshots(/0000000{step}|$)|shared" for step in STEPS[:-1]}
_READS[f"state {STEPS[-1]}"] = rf"run\.json|snapshots(/0000000{STEPS[-1]}|$)|linked"


def wrongs(path, changed, before, after):
    """Return what breaks the rule, in words, for the run at `path`; `changed` names what was changed."""
    found = []
    if "open" in after and after["open"].error is not None:
        found += _open_wrongs(path, changed, after)
        before = {name: outcome for name, outcome in before.items() if name in after}
    for name, was in before.items():
        now = after[name]
        touched = any(re.match(_READS.get(name, r"run\.json|run\.db"), file) for file in changed.split())
        if now.error is not None:
            found += _error_wrongs(name, now.error, path, named=bool(touched))
        elif now.value != was.value:
            if not touched:
                found.append(f"{name}: changed, though {changed} has nothing to do with it")
            found += _value_wrongs(name, was, now, before)
    return found


def _open_wrongs(path, changed, after):
    if not changed.startswith("run.json"):
        return [f"open: failed, though run.json is whole: {after['open'].error!r}"]
    return _error_wrongs("open", after["open"].error, path, named=True)


def _error_wrongs(name, error, path, *, named):
    text = str(error)
    if not named:
        return [f"{name}: failed, though what it reads is whole: {error!r}"]
    if not isinstance(error, CnnvizError):
        return [f"{name}: {error!r}"]
    # An argument of a look that does not fit what the run says now: the error names the argument.
    if isinstance(error, (LayerError, ImageError)):
        return []
    if str(path) not in text and "run.json" not in text:
        return [f"{name}: names neither the file nor the run: {error!r}"]
    return []


def _value_wrongs(name, was, now, before):
    """Return what is wrong with a value that is another than before."""
    if name.startswith("state "):
        return _state_wrongs(name, was, now, before)
    if name == "steps":
        dtype, shape, content = now.value
        steps = np.frombuffer(content, dtype)
        well = dtype == "int64" and len(shape) == 1 and (np.diff(steps) > 0).all() and (steps >= 0).all()
        return [] if well else [f"steps: {steps}"]
    if name == "metric":
        rows = [(np.frombuffer(s[2], s[0]), np.frombuffer(v[2], v[0])) for s, v in now.value]
        well = all(s.dtype == "int64" and v.dtype == "float64" and len(s) == len(v) for s, v in rows)
        rising = all((np.diff(steps) > 0).all() for steps, _ in rows)
        return [] if well and rising else [f"metric: {rows}"]
    return []


def _state_wrongs(name, was, now, before):
    found = {
        key: tensor_digest(
            torch.frombuffer(bytearray(content), dtype=getattr(torch, dtype[6:])).reshape(shape)
            if content
            else torch.empty(shape, dtype=getattr(torch, dtype[6:]))
        )
        for key, (dtype, shape, content) in now.value
    }
    (known,) = [entry[2] for entry in before["entries"].value if entry[0] == name.partition(" ")[2]]
    return [f"{name}: another state of the same digest"] if state_digest(found) == known else []


# --- cases


class Case(NamedTuple):
    """What became of one damaged run.

    Attributes:
        kind: The name of the mutation.
        what: The file and what was done to it.
        verdict: In a word: "unharmed", "refused", "other values" or "WRONG".
        wrongs: What breaks the rule, in words.
    """

    kind: str
    what: str
    verdict: str
    wrongs: list[str]


class Arena:
    """A folder in which runs are damaged and looked at, always in the same place, as they tell where they lie."""

    def __init__(self, folder):
        self._whole = folder / "whole"
        self._work = folder / "work"
        make_runs(self._whole)
        assert tempfile.gettempdir()  # it is found out by writing
        assert "no model" not in MODELS  # all are imported now
        self._before = {base: observe(self.fresh(base)) for base in ("finished", "killed")}
        for base in self._before:  # once more, now that all is imported that is used
            assert examine(self.fresh(base), "nothing", self._before[base])[0] == []
            assert [name for name, outcome in self._before[base].items() if outcome.error is not None] == []

    def fresh(self, base):
        """Return the folder of a whole run, with another beside it."""
        shutil.rmtree(self._work, ignore_errors=True)
        for name in (base, "sibling"):
            shutil.copytree(self._whole / name, self._work / name)
        return self._work / base

    def judge(self, path, changed, kind="", what=""):
        """Return what became of the run at `path`, whose file `changed` was changed."""
        before = self._before[path.name]
        found, after = examine(path, changed, before)
        return Case(kind, f"{path.name}/{changed}: {what}", verdict(found, before, after), found)

    def play(self, seed, kinds=None):
        """Return what became of the run that is damaged in the way of `seed`."""
        kinds = list(kinds or KINDS)
        rng = random.Random(seed)
        kind = kinds[seed % len(kinds)]
        path = self.fresh(rng.choice(["finished", "killed"]))
        changed, what = KINDS[kind](path, rng)
        return self.judge(path, changed, kind, what)


# --- what must never happen


_GUARD = Guard()


def examine(path, changed, before):
    """Return what breaks the rule in the run at `path`, in words, and the outcomes of all looks."""
    resident = peak_megabytes(reset=True)
    with warnings.catch_warnings(), _GUARD.watching(path.parent) as seen:
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DamageWarning)
        after = observe(path)
    found = wrongs(path, changed, before, after) + seen
    grown = peak_megabytes() - resident
    slow = {name: outcome.seconds for name, outcome in after.items() if outcome.seconds > SECONDS}
    found += [f"{name}: took {seconds:.1f} s" for name, seconds in slow.items()]
    if grown > MEGABYTES:
        found.append(f"took {grown:.0f} MB")
    return found, after


def verdict(found, before, after):
    """Return in a word what a changed run came to."""
    if found:
        return "WRONG"
    if any(outcome.error is not None for outcome in after.values()):
        return "refused"
    same = all(after[name].value == outcome.value for name, outcome in before.items())
    return "unharmed" if same else "other values"
