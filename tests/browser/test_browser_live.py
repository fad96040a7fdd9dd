"""Runs that grow while the page is open, and runs that lack something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import cnnviz
from cnnviz.models import build

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.browser

SHAPE = {"channels": 1, "classes": 10, "image_size": 28}


class Training:
    """A training that goes a step when the test says so."""

    def __init__(self, path: Path, **more: Any) -> None:
        torch.manual_seed(0)
        self.model = build("convnet", **SHAPE)
        samples = torch.rand(3, 1, 28, 28), torch.arange(3)
        described = cnnviz.Description(model="convnet", arguments=SHAPE)
        self.options = {"snapshots": cnnviz.every(1), "samples": samples, "description": described} | more
        self.path = path
        self.recorder = cnnviz.Recorder(path, self.model, **self.options)

    def go(self, *steps: int, **metrics: float) -> None:
        for step in steps:
            with torch.no_grad():
                for parameter in self.model.parameters():
                    parameter.mul_(1.1)
            error = {"train/error": 0.9 / (1 + step), **{f"{k}/error": v for k, v in metrics.items()}}
            self.recorder.record(step, error)


@pytest.fixture
def training(root: Path, request: pytest.FixtureRequest) -> Iterator[Training]:
    begun = Training(root / f"live-{request.node.name.split('[')[0]}")
    yield begun
    begun.recorder.close()


def test_the_timeline_grows_and_follows_the_end(tab: Any, training: Training, assert_colour: Any) -> None:
    training.go(0, 1, 2)
    tab.go(f"/run/{training.path.name}/filters?layer=conv1")
    tab.page.get_by_text("running").wait_for()
    assert tab.step == 2
    training.go(3, 4)
    tab.wait_step(4, seconds=3)
    assert tab.slider.get_attribute("aria-valuemax") == "4"
    panel = cnnviz.plots.filters(cnnviz.open_run(training.path)).panels[0]
    for key, step in (("End", 4), ("Home", 0)):  # the one scale has widened
        tab.slider.press(key)
        assert tab.step == step
        assert_colour(tab.page, panel.cells[step], panel.scale, (1, 2, 3))
    training.go(5)
    tab.page.wait_for_function(
        "document.querySelector('[role=slider]').getAttribute('aria-valuemax') === '5'", timeout=3000
    )
    assert tab.step == 0  # held by the user
    panel = cnnviz.plots.filters(cnnviz.open_run(training.path)).panels[0]
    largest = np.unravel_index(np.abs(panel.cells[0]).argmax(), panel.cells[0].shape)
    assert_colour(tab.page, panel.cells[0], panel.scale, tuple(map(int, largest)))  # on the widened scale
    tab.slider.press("End")
    assert tab.step == 5
    training.recorder.close()
    tab.page.get_by_text("finished").wait_for(timeout=3000)


def test_feature_maps_grow(tab: Any, training: Training) -> None:
    training.go(0)
    tab.go(f"/run/{training.path.name}/feature-maps?layer=relu2")
    assert tab.step == 0
    training.go(1, 2)
    tab.wait_step(2, seconds=3)


def test_curves_grow_and_the_test_error_comes_at_the_end(tab: Any, training: Training) -> None:
    training.go(0, 10)
    tab.go(f"/run/{training.path.name}/errors")
    key = tab.page.locator(".cv-key", has_text="training")
    assert key.inner_text().endswith("8.18 %")
    picture = "canvas => canvas.toDataURL()"
    before = tab.page.eval_on_selector("canvas.cv-curves", picture)
    training.go(20)
    tab.wait_step(20, seconds=3)
    assert key.inner_text().endswith("4.29 %")
    assert tab.page.eval_on_selector("canvas.cv-curves", picture) != before
    training.recorder.record(20, {"test/error": 0.125})  # without a snapshot
    training.recorder.close()
    tab.page.locator(".cv-key", has_text="test").get_by_text("12.5 %").wait_for(timeout=4000)


def test_a_page_opened_before_the_first_snapshot(tab: Any, training: Training) -> None:
    tab.page.goto(f"{tab.base}/run/{training.path.name}/filters")
    told = tab.page.get_by_role("alert")
    told.wait_for()
    assert "holds no snapshots yet" in told.inner_text()
    assert tab.slider.get_attribute("aria-valuetext") == "no steps yet"
    tab.slider.press("ArrowRight")
    tab.slider.press("Home")
    tab.page.get_by_role("button", name="Play").click()
    assert tab.problems
    assert all("404" in problem for problem in tab.problems)  # the film that is not there yet
    tab.problems.clear()
    training.go(0, 1)
    tab.page.get_by_text("conv1 · Conv2d").or_(tab.page.locator(".cv-mosaic")).first.wait_for(timeout=5000)
    tab.settled()
    tab.wait_step(1)
    assert tab.page.get_by_label("Layer").first.input_value() == "conv1 · Conv2d"


def test_a_run_that_is_resumed_grows_again(tab: Any, training: Training) -> None:
    training.go(0, 1)
    training.recorder.close("stopped")
    tab.go(f"/run/{training.path.name}/filters")
    tab.page.get_by_text("stopped").wait_for()
    resumed = {"snapshots": cnnviz.every(1), "resume": True}
    training.recorder = cnnviz.Recorder(training.path, training.model, **resumed)
    training.go(2)
    tab.wait_step(2, seconds=8)


def test_a_film_of_one_step(tab: Any, training: Training) -> None:
    training.go(7)
    tab.go(f"/run/{training.path.name}/feature-maps")
    assert tab.step == 7
    for key in ("ArrowRight", "ArrowLeft", "Home", "End", "PageUp", "Space"):
        tab.slider.press(key)
        assert tab.step == 7
    box = tab.slider.bounding_box()
    tab.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 5)
    assert tab.step == 7
    assert tab.slider.get_attribute("aria-valuemin") == tab.slider.get_attribute("aria-valuemax") == "7"


def test_the_runs_page_is_live(tab: Any, training: Training) -> None:
    training.go(0)
    tab.page.goto(tab.base)
    row = tab.page.get_by_role("row").filter(has_text=training.path.name)
    row.get_by_text("running").wait_for()
    training.go(1)
    training.recorder.close()
    row.get_by_text("finished").wait_for(timeout=4000)
    assert row.get_by_role("cell").nth(4).inner_text() == "2"


def test_a_diverged_network_predicts_nothing(tab: Any, training: Training) -> None:
    training.go(0)
    with torch.no_grad():
        training.model.fc2.weight.fill_(torch.nan)
    training.go(1)
    training.recorder.close("diverged")
    tab.go(f"/run/{training.path.name}/feature-maps?layer=fc2&image=1")
    assert tab.step == 1
    assert tab.page.locator(".cv-answer").inner_text() == "predicts nothing: its output is not a number"
    assert set(tab.page.locator(".cv-bar-value").all_inner_texts()) == {"–"}
    widths = tab.page.eval_on_selector_all(".cv-bar-fill", "all => all.map((bar) => bar.style.transform)")
    assert set(widths) == {"scaleX(0)"}
    tab.slider.press("Home")
    assert tab.page.locator(".cv-answer").inner_text().startswith("predicts ")
    assert "nothing" not in tab.page.locator(".cv-answer").inner_text()


def test_a_layer_that_died_keeps_its_scale(tab: Any, training: Training, assert_colour: Any) -> None:
    training.go(0, 1)
    with torch.no_grad():
        training.model.conv2.weight.fill_(0)
        training.model.conv2.bias.fill_(-1)  # nothing passes relu2 any more
    training.go(2, 3)
    tab.go(f"/run/{training.path.name}/feature-maps?layer=relu2")
    panel = cnnviz.plots.feature_maps(cnnviz.open_run(training.path), layer="relu2").panels[1]
    assert panel.scale.high != 1
    for key, step in (("End", 3), ("Home", 0)):
        tab.slider.press(key)
        assert tab.step == step
        brightest = divmod(int(panel.cells[step].argmax()), 14 * 14)
        assert_colour(tab.page, panel.cells[step], panel.scale, (brightest[0], *divmod(brightest[1], 14)))
    assert f"{panel.scale.high:.4g}" in tab.page.locator(".cv-legend-ticks").inner_text()


class TheirNet(torch.nn.Sequential):
    """A network that no registry knows."""

    def __init__(self) -> None:
        super().__init__(torch.nn.Conv2d(1, 3, 3), torch.nn.Flatten(), torch.nn.Linear(3 * 26 * 26, 2))


def test_a_network_of_the_users_own(tab: Any, root: Path) -> None:
    samples = torch.rand(2, 1, 28, 28), torch.zeros(2)
    with cnnviz.Recorder(root / "theirs", TheirNet(), snapshots=cnnviz.every(1), samples=samples) as recorder:
        recorder.record(0)
        recorder.record(1)
    assert tab.go("/run/theirs/filters").step == 1
    tab.page.get_by_role("link", name="Feature maps").click()
    told = tab.page.get_by_role("alert").first
    told.wait_for()
    assert "TheirNet, is a class of its user's own: open the run with it" in told.inner_text()
    assert tab.problems
    assert all("404" in problem for problem in tab.problems)
    tab.problems.clear()


def test_a_run_whose_old_snapshots_are_thinned_out_goes_on_growing(tab: Any, root: Path) -> None:
    training = Training(root / "live-thinned", snapshots=cnnviz.within("12 MB", cnnviz.every(1)))
    training.go(*range(8))
    tab.go("/run/live-thinned/filters?layer=conv1")
    assert tab.step == 7
    training.go(*range(8, 24))
    steps = cnnviz.open_run(training.path).steps.tolist()
    assert len(steps) < 16
    tab.wait_step(23, seconds=4)
    training.go(24)  # again: fewer snapshots than the page once knew must not keep it from seeing new ones
    tab.wait_step(24, seconds=4)
    training.recorder.close()


def test_a_damaged_snapshot_costs_that_snapshot_only(tab: Any, root: Path) -> None:
    training = Training(root / "damaged-one")
    training.go(*range(6))
    training.recorder.close()
    (training.path / "snapshots" / "00000003.safetensors").write_bytes(b"torn")
    tab.go("/run/damaged-one/filters?layer=conv1&step=3")
    tab.page.get_by_text("Damaged, so step 3 is left out; cnnviz check tells more.").wait_for()
    tab.slider.press("End")
    tab.wait_step(5)
