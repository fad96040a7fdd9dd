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
    assert len(ALL) == 10
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
    [
        (-5, "is 100"),
        (99, "is 100"),
        (101, "are 100 and 200"),
        (250, "are 200 and 900"),
        (901, "is 900"),
        (10**30, "is 900"),
    ],
)
def test_a_missing_step_names_the_nearest(step, near):
    error = StepError.missing("the run", step, np.array([100, 200, 900]))
    assert str(error) == f"the run has no snapshot at step {step}; the nearest {near}"


def test_a_missing_step_of_an_empty_run():
    assert str(StepError.missing("r", 3, [])) == "r has no snapshot at step 3; it holds no steps yet"


@pytest.mark.parametrize("warning", [errors.RecordingWarning, errors.DamageWarning])
def test_what_something_is_done_in_spite_of_is_a_warning(warning):
    assert issubclass(warning, UserWarning)
    assert warning.__name__ in errors.__doc__
