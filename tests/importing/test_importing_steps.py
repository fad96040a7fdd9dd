"""Steps: from contents, else names, else times."""

import os
from typing import NamedTuple

import pytest

from cnnviz.errors import ConfigError
from cnnviz.importing.steps import find_steps


class Fake(NamedTuple):
    path: object
    stem: str
    files: tuple
    told: dict

    def counters(self):
        return self.told


@pytest.fixture
def files(tmp_path):
    """Make files, name to what their contents tell."""

    def make(told):
        if not isinstance(told, dict):
            told = {name: {} for name in told}
        made = []
        for name, facts in told.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            made.append(Fake(path, path.stem, (path,), facts))
        return made

    return make


@pytest.mark.parametrize(
    ("told", "steps", "source"),
    [
        (
            {"a.pt": {"global_step": 9, "epoch": 1}, "b.pt": {"global_step": 3, "epoch": 0}},
            [9, 3],
            "global_step",
        ),
        ({"a_7.pt": {"step": 9}, "b_8.pt": {"step": 3}}, [9, 3], "step"),
        ({"a.pt": {"iteration": 9}, "b.pt": {"iteration": 3, "step": 1}}, [9, 3], "iteration"),
        ({"a.pt": {"epoch": 2}, "b.pt": {"epoch": 1}}, [2, 1], "epoch"),
    ],
)
def test_contents_come_first(files, told, steps, source):
    assert find_steps(files(told), None) == (steps, f"contents: {source}")


@pytest.mark.parametrize(
    ("names", "steps", "source"),
    [
        (["model_epoch_12.pt", "model_epoch_3.pt"], [12, 3], "epochs"),
        (["ckpt-000500.safetensors", "ckpt-001000.safetensors"], [500, 1000], "numbers"),
        (["epoch=3-step=1200.ckpt", "epoch=3-step=1200-v1/epoch=4-step=1600.ckpt"], [1200, 1600], "steps"),
        (["epoch=3-val_loss=0.25.ckpt", "epoch=14-val_loss=0.10.ckpt"], [3, 14], "epochs"),
        (["net_iter_5.pth", "net_iter_10.pth"], [5, 10], "iterations"),
        (["resnet18-5.pt", "resnet18-10.pt"], [5, 10], "numbers"),
        (["checkpoint500.pt", "checkpoint600.pt"], [500, 600], "numbers"),
        (["5.pt", "10.pt"], [5, 10], "numbers"),
        (["acc0.91_ep3.pt", "acc0.95_ep4.pt"], [3, 4], "epochs"),
        (["step_500/model.pt", "step_1000/model.pt"], [500, 1000], "steps"),
    ],
)
def test_names_come_next(files, names, steps, source):
    assert find_steps(files(names), None) == (steps, f"{source} in names")


def test_times_come_last(files):
    made = files(["resnet18_final.pt", "first.pt", "second.pt"])
    for moment, name in enumerate(["first", "second", "resnet18_final"]):
        (path,) = [fake.path for fake in made if fake.stem == name]
        os.utime(path, ns=(moment * 1000, moment * 1000))
    assert find_steps(made, None) == ([2, 0, 1], "the order of the files' times")


def test_sources_are_not_mixed(files):
    made = files({"model-7.pt": {"global_step": 9}, "model-8.pt": {}})
    assert find_steps(made, None) == ([7, 8], "numbers in names")


def test_epochs_that_repeat_give_way_to_names(files):
    made = files({"s100.pt": {"epoch": 0}, "step_100.pt": {"epoch": 0}, "step_200.pt": {"epoch": 0}})
    assert find_steps(made[1:], None) == ([100, 200], "steps in names")
    with pytest.raises(
        ConfigError, match=r"s100.pt and .*step_100.pt are both of step 0 \(contents: epoch\)"
    ):
        find_steps(made, None)


@pytest.mark.parametrize(
    "told",
    [
        {"last.pt": {"global_step": 4}, "step_4.pt": {"global_step": 4}},
        {"x/model-4.pt": {}, "y/model-4.pt": {}},
    ],
)
def test_two_of_one_step_are_an_error_that_names_both(files, told):
    made = files(told)
    with pytest.raises(ConfigError) as error:
        find_steps(made, None)
    assert f"{made[0].path} and {made[1].path} are both of step 4" in str(error.value)
    assert "--step-pattern" in str(error.value)


def test_a_pattern_comes_before_all(files):
    made = files({"a7b100.pt": {"global_step": 1}, "a8b200.pt": {"global_step": 2}})
    assert find_steps(made, r"b(\d+)") == ([100, 200], "--step-pattern")
    assert find_steps(made, r"^a(\d)").values == [7, 8]


def test_a_pattern_may_name_the_folder(files):
    assert find_steps(files(["run-5/x.pt", "run-6/x.pt"]), r"run-(\d+)").values == [5, 6]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(", "is no regular expression"),
        (r"\d+", "must have one group"),
        (r"(\d)(\d)", "it has 2"),
        (r"nowhere(\d+)", "is not found in the name model-4.pt"),
        (r"(model)", "finds 'model' in model-4.pt, which is no step"),
        (r"(x)?model", "finds '' in model-4.pt"),
        (r"(m|4)", "which is no step"),
    ],
)
def test_a_pattern_that_can_not_be_used(files, pattern, words):
    with pytest.raises(ConfigError) as error:
        find_steps(files(["model-4.pt"]), pattern)
    assert words in str(error.value)


def test_two_of_one_step_by_the_pattern(files):
    with pytest.raises(ConfigError, match="are both of step 1"):
        find_steps(files(["a1-5.pt", "a1-6.pt"]), r"a(\d)")
