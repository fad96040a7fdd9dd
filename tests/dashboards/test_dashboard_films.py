from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import torch

import cnnviz
from cnnviz.charts.chart import Bars, Film, Mosaic
from cnnviz.errors import CnnvizError, ConfigError, RunError, StepError, UnknownNameError
from cnnviz.models import build
from cnnviz_dashboards.chunks import Chunk
from cnnviz_dashboards.films import FilmRequest, exact_frame, film_frames, film_layout, run_state

if TYPE_CHECKING:
    from pathlib import Path

    from cnnviz_dashboards.folder import RunFolder


def decode(data: bytes) -> tuple[list[int], list[tuple[dict[str, Any], np.ndarray] | None]]:
    """Read frames as the format is documented."""
    length = int.from_bytes(data[:4], "little")
    header = json.loads(data[4 : 4 + length])
    found: list[tuple[dict[str, Any], np.ndarray] | None] = []
    for entry in header["panels"]:
        if entry is None:
            found.append(None)
            continue
        start = 4 + length + entry["offset"]
        dtype = {"u1": np.uint8, "f4": "<f4"}[entry["dtype"]]
        values = np.frombuffer(data[start : start + entry["length"]], dtype)
        found.append((entry, values.reshape(len(header["steps"]), -1)))
    return header["steps"], found


def expected(run: cnnviz.Run, plot: str, **arguments: Any) -> list[np.ndarray | None]:
    """The values of a plot's panels, each (T, size)."""
    film = getattr(cnnviz.plots, plot)(run, **arguments)
    assert isinstance(film, Film)
    return [
        getattr(p, p.step_field).reshape(len(run), -1) if isinstance(p, Mosaic | Bars) else None
        for p in film.panels
    ]


PLOTS = [
    ("filters", {"layer": "conv2", "channel": "3"}, {"layer": "conv2", "channel": 3}),
    ("filters", {}, {}),
    ("feature_maps", {"layer": "relu1", "image": "4"}, {"layer": "relu1", "image": 4}),
    ("feature_maps", {"layer": "fc1"}, {"layer": "fc1"}),
    ("probabilities", {"image": "2"}, {"image": 2}),
]


@pytest.mark.parametrize(("plot", "chosen", "arguments"), PLOTS)
def test_frames_are_the_plots_values(
    first: cnnviz.Run, plot: str, chosen: dict[str, str], arguments: dict[str, Any]
) -> None:
    request = FilmRequest.of(first, plot, chosen)
    steps, panels = decode(film_frames(request, Chunk(1, 20, 4)))
    part = first[1:20:4]
    assert steps == part.steps.tolist()
    for panel, values in zip(panels, expected(part, plot, **arguments), strict=True):
        if panel is None:
            assert values is None
            continue
        entry, sent = panel
        assert values is not None
        if entry["dtype"] == "u1":
            half = (entry["high"] - entry["low"]) / 254 / 2
            shown = entry["low"] + sent.astype(float) / 254 * (entry["high"] - entry["low"])
            np.testing.assert_allclose(shown, values, rtol=0, atol=half * 1.0001)
        else:
            np.testing.assert_array_equal(sent, values)


@pytest.mark.parametrize(("plot", "chosen", "arguments"), PLOTS)
def test_exact_frames_are_the_stills_values(
    first: cnnviz.Run, plot: str, chosen: dict[str, str], arguments: dict[str, Any]
) -> None:
    steps, panels = decode(exact_frame(FilmRequest.of(first, plot, chosen), 38))
    assert steps == [38]
    for panel, values in zip(panels, expected(first.at(38).alone(), plot, **arguments), strict=True):
        assert (panel is None) == (values is None)
        if panel is not None:
            np.testing.assert_array_equal(panel[1], values)


def test_all_chunks_together_are_the_film_on_one_scale(first: cnnviz.Run) -> None:
    request = FilmRequest.of(first, "filters", {})
    low = high = 0.0
    seen: dict[int, np.ndarray] = {}
    for address in film_layout(request)["chunks"]:
        chunk = Chunk.parse(parse_qs(urlsplit(address).query)["chunk"][0])
        steps, panels = decode(film_frames(request, chunk))
        assert panels[0] is not None
        entry, sent = panels[0]
        low, high = min(low, entry["scale"]["low"]), max(high, entry["scale"]["high"])
        seen |= dict(zip(steps, sent, strict=True))
    assert sorted(seen) == first.steps.tolist()
    scale = cnnviz.plots.filters(first).panels[0].scale
    assert (low, high) == (scale.low, scale.high)


def test_what_is_not_a_number_is_sent_as_255(tmp_path: Path) -> None:
    model = build("convnet", channels=1, classes=10, image_size=28)
    with cnnviz.Recorder(tmp_path / "diverged", model, snapshots=cnnviz.every(1)) as recorder:
        recorder.record(0)
        with torch.no_grad():
            model.conv1.weight[0, 0, 0, 0] = torch.nan
            model.conv1.weight[0, 0, 0, 1] = torch.inf
        recorder.record(1)
    run = cnnviz.open_run(tmp_path / "diverged")
    _, panels = decode(film_frames(FilmRequest.of(run, "filters", {}), Chunk(0, 2, 1)))
    assert panels[0] is not None
    levels = panels[0][1]
    assert (levels[0] == 255).sum() == 0
    assert np.flatnonzero(levels[1] == 255).tolist() == [0, 1]
    _, panels = decode(exact_frame(FilmRequest.of(run, "filters", {}), 1))
    assert panels[0] is not None
    assert np.isnan(panels[0][1][0, 0])
    assert np.isinf(panels[0][1][0, 1])


def test_a_request_has_its_own_controls_only(first: cnnviz.Run) -> None:
    request = FilmRequest.of(first, "filters", {"step": "4", "image": "2", "nonsense": "x"})
    assert request.chosen == {"layer": "conv1", "channel": "0"}
    assert FilmRequest.of(first, "filters", {"layer": "conv2"}).chosen == {"layer": "conv2", "channel": "0"}
    assert FilmRequest.of(first, "errors", {"layer": "conv2"}).chosen == {}


def test_a_wrong_choice_is_told_not_replaced(first: cnnviz.Run) -> None:
    with pytest.raises(CnnvizError, match="conv1, conv2"):
        film_layout(FilmRequest.of(first, "filters", {"layer": "relu1"}))
    with pytest.raises(ConfigError):
        film_layout(FilmRequest.of(first, "filters", {"channel": "two"}))


def test_a_plots_name_never_imports(
    first: cnnviz.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trap_module.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("trap_module:plot", "os:system", ":", "trap_module:"):
        with pytest.raises(ConfigError, match="no plot is named"):
            FilmRequest.of(first, name, {})
    with pytest.raises(UnknownNameError):
        FilmRequest.of(first, "trap_module", {})
    assert "trap_module" not in sys.modules


def test_addresses_hold_the_request(first: cnnviz.Run) -> None:
    request = FilmRequest.of(first, "filters", {"layer": "conv2"})
    assert request.address("film") == "/api/film/first/filters?layer=conv2&channel=0"
    assert request.address("exact", step="3").endswith("/filters?layer=conv2&channel=0&step=3")
    assert FilmRequest.of(first, "errors", {}).address("film") == "/api/film/first/errors"


def test_keys_name_the_frames(first: cnnviz.Run, root: Path, tmp_path: Path) -> None:
    chunk = Chunk(0, 8, 2)
    request = FilmRequest.of(first, "filters", {})
    key = request.key(chunk)
    shutil.copytree(root / "first", tmp_path / "copy")
    assert FilmRequest.of(cnnviz.open_run(tmp_path / "copy"), "filters", {}).key(chunk) == key
    others = [
        request.key(Chunk(0, 8, 1)),
        request.key(Chunk(0, 6, 2)),
        FilmRequest.of(first, "filters", {"layer": "conv2"}).key(chunk),
        FilmRequest.of(first, "feature_maps", {"layer": "conv1"}).key(chunk),
        FilmRequest.of(first, "feature_maps", {"layer": "conv1", "image": "1"}).key(chunk),
        FilmRequest.of(first, "errors", {}).key(chunk),
    ]
    assert len({key, *others}) == 7


def test_another_recording_of_the_same_weights_has_other_keys(tmp_path: Path) -> None:
    keys = []
    model = build("convnet", channels=1, classes=10, image_size=28)
    for name in ("a", "b"):  # feature maps show the samples, and those may differ
        samples = torch.rand(1, 1, 28, 28), torch.zeros(1)
        with cnnviz.Recorder(tmp_path / name, model, snapshots=cnnviz.every(1), samples=samples) as recorder:
            recorder.record(0)
        request = FilmRequest.of(cnnviz.open_run(tmp_path / name), "feature_maps", {})
        keys.append(request.key(Chunk(0, 1, 1)))
    assert keys[0] != keys[1]


def test_the_layout_of_a_film(first: cnnviz.Run) -> None:
    described = film_layout(FilmRequest.of(first, "feature_maps", {"layer": "conv2", "image": "1"}))
    assert described["steps"] == first.steps.tolist()
    assert [panel["kind"] for panel in described["panels"]] == ["picture", "mosaic"]
    assert described["panels"][1]["shape"] == [8, 14, 14]
    assert len(described["chunks"]) == 4
    json.dumps(described, allow_nan=False)


def test_the_layout_after_some_steps_names_the_rest(first: cnnviz.Run) -> None:
    request = FilmRequest.of(first, "filters", {})
    after = int(first.steps[37])
    (address,) = film_layout(request, after)["chunks"]
    assert parse_qs(urlsplit(address).query)["chunk"] == ["38:40:1"]
    assert film_layout(request, after + 1)["chunks"] != []  # one that was thinned out since
    assert film_layout(request, int(first.steps[-1]))["chunks"] == []
    assert film_layout(request, 10**14)["chunks"] == []


def test_a_chart_has_no_chunks(first: cnnviz.Run) -> None:
    described = film_layout(FilmRequest.of(first, "errors", {}))
    assert described["chunks"] == []
    assert [curve["name"] for curve in described["panels"][0]["curves"]] == ["training", "validation"]


def test_a_large_film_is_averaged_before_it_is_sent(
    first: cnnviz.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cnnviz_dashboards.films._PIXELS", 1000)
    request = FilmRequest.of(first, "feature_maps", {"layer": "conv1"})
    panel = film_layout(request)["panels"][1]
    assert panel["shape"] == [4, 14, 14]
    assert "mean of 2 × 2" in panel["title"]
    _, panels = decode(exact_frame(request, 4))
    cells = cnnviz.plots.feature_maps(first.at(4), layer="conv1").panels[1].cells
    means = cells.reshape(4, 14, 2, 14, 2).mean((2, 4))
    assert panels[1] is not None
    np.testing.assert_allclose(panels[1][1].reshape(means.shape), means, rtol=1e-4, atol=1e-6)


def test_no_snapshot_at_that_step(first: cnnviz.Run) -> None:
    with pytest.raises(StepError, match="nearest are 2 and 4"):
        exact_frame(FilmRequest.of(first, "filters", {}), 3)


@pytest.mark.parametrize("plot", ["filters", "feature_maps", "probabilities"])
def test_a_run_without_snapshots_says_that_they_will_come(runs: RunFolder, plot: str) -> None:
    with pytest.raises(StepError, match="no-snapshots holds no snapshots yet"):
        film_layout(FilmRequest.of(runs.open("no-snapshots"), plot, {}))


def test_errors_need_no_snapshots(runs: RunFolder) -> None:
    described = film_layout(FilmRequest.of(runs.open("no-snapshots"), "errors", {}))
    assert described["steps"] == []
    assert described["panels"][0]["curves"][0]["values"] == [0.5]


def test_a_run_without_samples(runs: RunFolder) -> None:
    run = runs.open("no-samples")
    assert film_layout(FilmRequest.of(run, "filters", {}))["steps"] == [5]
    with pytest.raises(CnnvizError, match="has no sample 0; it has 0"):
        film_layout(FilmRequest.of(run, "feature_maps", {}))
    with pytest.raises(RunError, match="no metric that ends in 'error'"):
        film_layout(FilmRequest.of(run, "errors", {}))


def test_a_network_that_cannot_be_rebuilt(runs: RunFolder) -> None:
    run = runs.open("theirs")
    assert film_layout(FilmRequest.of(run, "filters", {}))["panels"][0]["shape"] == [3, 3, 3]
    with pytest.raises(CnnvizError, match=r"TheirNet, is a class of its user's own: open the run with it"):
        film_layout(FilmRequest.of(run, "feature_maps", {}))


def test_the_state_of_a_run(first: cnnviz.Run, runs: RunFolder) -> None:
    state = run_state(first)
    assert state["status"] == "finished"
    assert state["steps"] == first.steps.tolist()
    assert state["curve"]["name"] == "validation/error"
    assert state["curve"]["values"] == first.metric("validation/error")[1].tolist()
    json.dumps(state, allow_nan=False)
    assert run_state(runs.open("no-samples")) == {"status": "finished", "steps": [5], "curve": None}
    assert run_state(runs.open("theirs"))["curve"]["name"] == "train/error"


def test_the_timelines_curve_may_hold_gaps(tmp_path: Path) -> None:
    model = torch.nn.Conv2d(1, 1, 1)
    with cnnviz.Recorder(tmp_path / "gaps", model) as recorder:
        recorder.record(0, {"my/loss": 0.5})
        recorder.record(1, {"my/loss": float("nan")})
    assert run_state(cnnviz.open_run(tmp_path / "gaps"))["curve"] == {
        "name": "my/loss",
        "steps": [0, 1],
        "values": [0.5, None],
    }


def header_of(data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(data[4 : 4 + int.from_bytes(data[:4], "little")])
    return found


def test_damaged_snapshots_are_left_out_of_their_chunk(first: cnnviz.Run, tmp_path: Path) -> None:
    shutil.copytree(first.path, tmp_path / "r")
    for step in (0, 4):
        (tmp_path / "r" / "snapshots" / f"{step:08d}.safetensors").write_bytes(b"x" * 50)
    request = FilmRequest.of(cnnviz.open_run(tmp_path / "r"), "filters", {})
    assert film_layout(request)["steps"] == first.steps.tolist()
    header = header_of(film_frames(request, Chunk(0, 8, 1)))
    assert header["steps"] == [2, 6, 8, 10, 12, 14]
    assert header["left_out"] == [0, 4]
    header = header_of(film_frames(request, Chunk(0, 1, 1)))
    assert (header["steps"], header["left_out"]) == ([], [0])


def test_chunks_of_what_was_thinned_out_hold_what_there_is(first: cnnviz.Run) -> None:
    request = FilmRequest.of(first, "filters", {})
    assert header_of(film_frames(request, Chunk(38, 99, 1)))["steps"] == [76, 78]
    assert header_of(film_frames(request, Chunk(50, 99, 1)))["steps"] == [78]
