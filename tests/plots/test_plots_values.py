"""What the plots show is what the network holds and computes."""

import numpy as np
import pytest
import torch

import cnnviz
from cnnviz import plots
from cnnviz.charts.chart import Chart, Film
from cnnviz.errors import ConfigError, ImageError, LayerError, RunError


def test_filters_are_the_weights(run):
    for layer, channels in {"conv1": 1, "conv2": 4}.items():
        for channel in range(channels):
            film = plots.filters(run, layer=layer, channel=channel)
            (panel,) = film.panels
            for row, snapshot in zip(panel.cells, run, strict=True):
                assert np.array_equal(row, snapshot.state[f"{layer}.weight"][:, channel].numpy())
            assert film.steps.tolist() == [0, 4, 8, 12]
            assert panel.labels[0] == "filter 0"
            assert len(panel.labels) == panel.cells.shape[1]
            largest = float(np.abs(panel.cells).max())
            assert (panel.scale.low, panel.scale.high, panel.scale.kind) == (-largest, largest, "signed")


def test_feature_maps_are_a_forward_pass(run):
    image = run.samples[3]
    film = plots.feature_maps(run, image=image, layer="relu2")
    picture, maps = film.panels
    for row, snapshot in zip(maps.cells, run, strict=True):
        model = snapshot.model()
        with torch.no_grad():
            x = torch.relu(model.conv2(model.pool1(torch.relu(model.conv1(image.image[None])))))[0]
        assert np.allclose(row, x.numpy(), atol=1e-6)
    assert np.array_equal(picture.pixels, image.image[0].numpy())
    assert maps.cells.shape == (4, 8, 14, 14)
    assert (maps.scale.low, maps.scale.kind) == (0.0, "magnitude")
    assert maps.scale.high == maps.cells.max()
    signed = plots.feature_maps(run, image=3, layer="conv2").panels[1]
    assert signed.scale.kind == "signed"
    assert signed.scale.high == -signed.scale.low == np.abs(signed.cells).max()


def test_units_of_layers_without_maps(run):
    panel = plots.feature_maps(run, image=0, layer="fc2").panels[1]
    assert panel.cells.shape == (4, 10, 1, 1)
    assert panel.labels[9] == "unit 9"
    with torch.no_grad():
        logits = run.last.model()(run.samples[0].image[None])[0]
    assert np.allclose(panel.cells[-1, :, 0, 0], logits.numpy(), atol=1e-6)


def test_probabilities_are_the_softmax(run):
    sample = run.samples[7]
    (bars,) = plots.probabilities(run, image=7).panels
    assert np.allclose(bars.values.sum(1), 1, atol=1e-6)
    for row, snapshot in zip(bars.values, run, strict=True):
        with torch.no_grad():
            expected = snapshot.model()(sample.image[None])[0].double()
        exponentials = np.exp(expected.numpy())
        assert np.allclose(row, exponentials / exponentials.sum(), atol=1e-6)
    assert bars.labels == tuple("0123456789")
    assert (bars.truth, bars.limits) == (sample.label, (0.0, 1.0))


@pytest.mark.parametrize("image", [np.int64(7), 7])
def test_the_right_answer_of_a_number(run, image):
    assert plots.probabilities(run, image=image).panels[0].truth == run.samples[7].label


def test_an_image_from_elsewhere_has_no_right_answer(run):
    assert plots.probabilities(run, image=np.zeros((28, 28))).panels[0].truth is None


def test_errors_are_the_metrics(run):
    chart = plots.errors(run)
    assert isinstance(chart, Chart)
    (panel,) = chart.panels
    assert [curve.name for curve in panel.curves] == ["training", "validation", "test"]
    for curve, name in zip(panel.curves, ("train/error", "validation/error", "test/error"), strict=True):
        steps, values = run.metric(name)
        assert np.array_equal(curve.steps, steps)
        assert np.array_equal(curve.values, values)
    assert (panel.percent, panel.cursor, chart.step) == (True, None, None)
    still = plots.errors(run.at(8))
    assert (still.panels[0].cursor, still.step) == (8, 8)


def test_other_metrics_that_end_in_error_follow(tmp_path):
    path = tmp_path / "r"
    with cnnviz.Recorder(path, torch.nn.Linear(1, 1)) as recorder:
        recorder.record(0, {"holdout/error": 0.5, "error": 0.25, "validation/error": 1.0, "terror": 3})
    (panel,) = plots.errors(cnnviz.open_run(path)).panels
    assert [(c.name, c.values.tolist()) for c in panel.curves] == [
        ("validation", [1.0]),
        ("error", [0.25]),
        ("holdout", [0.5]),
    ]


def test_no_errors_recorded(tmp_path):
    with cnnviz.Recorder(tmp_path / "r", torch.nn.Linear(1, 1)) as recorder:
        recorder.record(0, {"loss": 1})
    with pytest.raises(RunError, match="has no metric that ends in 'error'; it has loss"):
        plots.errors(cnnviz.open_run(tmp_path / "r"))


@pytest.mark.parametrize(
    ("draw", "error", "problem"),
    [
        (lambda r: plots.filters(r, layer="fc1"), LayerError, "'fc1' is a Linear"),
        (lambda r: plots.filters(r, layer="conv2", channel=4), LayerError, "no input channel 4; it has 4"),
        (
            lambda r: plots.feature_maps(r, layer="nope"),
            LayerError,
            "not in the network; its layers are: conv1",
        ),
        (lambda r: plots.feature_maps(r, image=100), ImageError, "no sample 100; it has 100"),
        (lambda r: plots.feature_maps(r, image=np.zeros((3, 28, 28))), ImageError, "has 3 channels"),
        (lambda r: plots.probabilities(r, image="nope.png"), ImageError, "No such file"),
        (lambda r: plots.filters("runs/first"), ConfigError, "filters draws a Run or a Snapshot, not str"),
    ],
)
def test_errors_name_what_is_wrong(run, draw, error, problem):
    with pytest.raises(error, match=problem):
        draw(run)


def test_an_unknown_plot_lists_the_plots():
    with pytest.raises(AttributeError) as caught:
        _ = plots.nope
    assert (
        str(caught.value) == "cnnviz has no plot 'nope'; it has errors, feature_maps, filters, probabilities"
    )
    assert dir(plots) == ["errors", "feature_maps", "filters", "probabilities"]
    assert not hasattr(plots, "__all__")


def test_a_slice_of_a_run_is_a_shorter_film(run):
    film = plots.filters(run[::2], layer="conv1")
    assert isinstance(film, Film)
    assert film.steps.tolist() == [0, 8]
    whole = plots.filters(run, layer="conv1")
    assert np.array_equal(film.panels[0].cells, whole.panels[0].cells[::2])


def test_colour_images_are_drawn_in_colour(tmp_path):
    torch.manual_seed(0)
    images = torch.rand(2, 3, 8, 8)
    images[1] = images[1] * 4 - 2
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.Flatten(), torch.nn.Linear(72, 2))
    with cnnviz.Recorder(tmp_path / "r", model, samples=(images, torch.tensor([1, 9]))) as recorder:
        recorder.record(0)
    run = cnnviz.open_run(tmp_path / "r", model=model)
    picture = plots.feature_maps(run, image=0).panels[0]
    assert np.allclose(picture.pixels, images[0].permute(1, 2, 0).numpy())
    stretched = plots.feature_maps(run, image=1).panels[0].pixels
    assert (stretched.min(), stretched.max()) == (0.0, pytest.approx(1.0, abs=1e-6))
    bars = plots.probabilities(run, image=1).panels[0]
    assert (bars.labels, bars.truth) == (("0", "1"), None)  # no class 9 among two outputs
