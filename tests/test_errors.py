"""The tree of errors, and the one that names the nearest steps."""

import inspect

import numpy as np
import pytest

from cnnviz import errors
from cnnviz.errors import (
    CnnvizError,
    ConfigError,
    ImageError,
    LayerError,
    RunError,
    StepError,
    UnknownNameError,
)

OWN = [c for _, c in inspect.getmembers(errors, inspect.isclass) if c.__module__ == "cnnviz.errors"]
ALL = [c for c in OWN if not issubclass(c, Warning)]


def test_the_docstring_draws_every_error():
    assert len(ALL) == 9
    assert [c.__name__ for c in ALL if c.__name__ not in errors.__doc__] == []


@pytest.mark.parametrize("error", ALL)
def test_every_error_is_one_of_cnnviz(error):
    assert issubclass(error, CnnvizError)


def test_errors_are_also_what_python_calls_them():
    assert issubclass(StepError, RunError)
    assert issubclass(StepError, LookupError)
    assert issubclass(UnknownNameError, LookupError)
    assert issubclass(LayerError, LookupError)
    assert issubclass(ConfigError, ValueError)
    assert issubclass(ImageError, ValueError)


@pytest.mark.parametrize(
    ("step", "near"),
    [(-5, "100"), (99, "100"), (101, "100 and 200"), (250, "200 and 900"), (901, "900"), (10**30, "900")],
)
def test_a_missing_step_names_the_nearest(step, near):
    error = StepError.missing("the run", step, np.array([100, 200, 900]))
    assert str(error) == f"the run has no snapshot at step {step}; the nearest steps are {near}"


def test_a_missing_step_of_an_empty_run():
    assert str(StepError.missing("r", 3, [])) == "r has no snapshot at step 3; it holds no steps yet"


def test_what_the_training_outlives_is_a_warning():
    assert issubclass(errors.RecordingWarning, UserWarning)
    assert "RecordingWarning" in errors.__doc__
