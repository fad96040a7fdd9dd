from __future__ import annotations

import json
import shutil
import socket
import threading
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
import torch

import cnnviz
from cnnviz.errors import ConfigError
from cnnviz_dashboards import serve
from cnnviz_dashboards.app import create_app
from cnnviz_dashboards.folder import RunFolder
from cnnviz_dashboards.pages import RUN_PAGES
from cnnviz_dashboards.pages import runs as runs_page
from cnnviz_dashboards.router import Place, missing, parse, show, status_badge

if TYPE_CHECKING:
    from pathlib import Path

    from flask.testing import FlaskClient

FILTERS, MAPS, ERRORS = RUN_PAGES["filters"], RUN_PAGES["feature-maps"], RUN_PAGES["errors"]


def text_of(component: Any) -> str:
    """A component and all in it as JSON text, as the browser gets it."""
    return json.dumps(component, default=lambda part: part.to_plotly_json(), ensure_ascii=False)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (None, Place(None, None)),
        ("", Place(None, None)),
        ("/", Place(None, None)),
        ("/nonsense", Place(None, None)),
        ("/run", Place(None, None)),
        ("/run/first", Place("first", "errors")),
        ("/run/first/", Place("first", "errors")),
        ("/run/first/filters", Place("first", "filters")),
        ("/run/first/feature-maps", Place("first", "feature-maps")),
        ("/run/first/nonsense", Place("first", "errors")),
        ("/run/first/filters/more", Place("first", "filters")),
        ("/run/a%20b%2Fc/filters", Place("a b/c", "filters")),
        ("/run/%E8%BF%90", Place("运", "errors")),
        ("/run/%ff", Place("\ufffd", "errors")),
    ],
)
def test_parse(path: str | None, place: Place) -> None:
    assert parse(path) == place


def test_the_start_page_lists_the_runs(runs: RunFolder) -> None:
    content, where, timeline, footer = show(runs, Place(None, None), {})
    text = text_of(content)
    for name in ("first", "theirs", "no-samples", "no-snapshots"):
        assert f"/run/{name}/errors" in text
    assert "TheirNet" in text
    assert "mnist-mini" in text
    assert "validation error over steps" in text
    assert (where, timeline, footer) == ([], None, "cd-hidden")


@pytest.mark.parametrize("page", RUN_PAGES.values(), ids=lambda page: page.key)
@pytest.mark.parametrize("name", ["first", "theirs", "no-samples", "no-snapshots"])
def test_every_page_of_every_run(runs: RunFolder, name: str, page: Any) -> None:
    content, where, timeline, footer = show(runs, Place(name, page.key), {"layer": "nope", "image": "-3"})
    text = text_of(content)
    assert page.title in text
    for plot in page.plots:
        assert f"/api/film/{name}/{plot}" in text
    assert (timeline, footer) == (f"/api/run/{name}", "")
    links = text_of(where)
    for other in RUN_PAGES.values():
        assert (f"/run/{name}/{other.key}" in links) == (other is not page)  # the own one is no link
    assert '"aria-current": "page"' in links


def test_a_page_of_an_unknown_run_says_what_to_do(runs: RunFolder) -> None:
    for name in ("nope", "..", "/etc", "a" * 400, "\0"):
        content, where, timeline, footer = show(runs, Place(name, "filters"), {})
        text = text_of(content)
        assert "there is no run" in text
        assert "All runs" in text
        assert (where, timeline, footer) == ([], None, "cd-hidden")
        assert status_badge(runs, Place(name, "filters")) is None


def test_what_cannot_be_shown_has_a_way_out() -> None:
    text = text_of(missing("a run", ConfigError("its message")))
    assert "a run can't be shown" in text
    assert "its message" in text
    assert '"href": "/"' in text


def test_the_status_badge(runs: RunFolder) -> None:
    assert "finished" in text_of(status_badge(runs, Place("first", "errors")))
    assert status_badge(runs, Place(None, None)) is None


def test_damaged_runs_are_listed_with_their_problem(root: Path, tmp_path: Path) -> None:
    for name in ("manifest", "database", "metrics", "later", "fine"):
        shutil.copytree(root / "first", tmp_path / name)
    (tmp_path / "manifest" / "run.json").write_text("{")
    (tmp_path / "database" / "run.db").write_bytes(b"nonsense" * 1000)
    later = json.loads((tmp_path / "later" / "run.json").read_text()) | {"format": 99}
    (tmp_path / "later" / "run.json").write_text(json.dumps(later))
    import sqlite3

    connection = sqlite3.connect(tmp_path / "metrics" / "run.db")
    connection.execute("DROP TABLE metrics")
    connection.close()
    text = text_of(runs_page.table(RunFolder(tmp_path)))
    assert text.count("damaged") >= 4
    for word in ("run.json can't be read", "file is not a database", "no such table", "newer cnnviz"):
        assert word in text
    assert text.count("/errors") == 1  # only the one that is fine is a link


def test_a_run_and_its_archive_have_a_row_and_pages_each(root: Path, tmp_path: Path) -> None:
    from cnnviz.archive import pack

    shutil.copytree(root / "first", tmp_path / "flip")
    pack(cnnviz.open_run(tmp_path / "flip"), tmp_path / "flip.zarr")
    runs = RunFolder(tmp_path)
    text = text_of(runs_page.table(runs))
    assert text.count('"/run/flip/errors"') == 1
    assert text.count('"/run/flip.zarr/errors"') == 1
    assert runs.open("flip.zarr").location == str(tmp_path / "flip.zarr")
    content, where, timeline, _ = show(runs, Place("flip.zarr", "filters"), {})
    assert timeline == "/api/run/flip.zarr"
    assert '"/run/flip.zarr/errors"' in text_of(where)
    assert "/api/film/flip.zarr/" in text_of(content)
    client = create_app(tmp_path).server.test_client()
    for address in ("/api/run/flip.zarr", "/api/samples/flip.zarr.png"):
        assert client.get(address).status_code == 200


def test_the_newest_run_comes_first_and_damaged_ones_last(tmp_path: Path) -> None:
    for name, created in (("old", "2024-01-01"), ("new", "2026-01-01"), ("middle", "2025-01-01")):
        with cnnviz.Recorder(tmp_path / name, torch.nn.Linear(1, 1)):
            pass
        manifest = json.loads((tmp_path / name / "run.json").read_text())
        manifest["created"] = f"{created}T00:00:00+00:00"
        (tmp_path / name / "run.json").write_text(json.dumps(manifest))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("")
    text = text_of(runs_page.table(RunFolder(tmp_path)))
    places = [text.index(f'"{name}"') for name in ("new", "middle", "old", "broken")]
    assert places == sorted(places)


def test_an_empty_root_tells_how_to_train(tmp_path: Path) -> None:
    text = text_of(runs_page.table(RunFolder(tmp_path)))
    assert "There are no runs in" in text
    assert "cnnviz train --data mnist-mini" in text


def test_a_root_that_does_not_exist(tmp_path: Path) -> None:
    runs = RunFolder(tmp_path / "nowhere")
    text = text_of(runs_page.layout(runs))
    assert "nowhere is not a folder" in text
    assert "cnnviz train" in text
    assert "there is no run" in text_of(show(runs, Place("first", "errors"), {})[0])


def test_settle(first: cnnviz.Run) -> None:
    assert FILTERS.settle(first, {}) == {"layer": "conv1", "channel": "0"}
    wanted = {"layer": "conv2", "channel": "3"}
    assert FILTERS.settle(first, wanted | {"other": "x"}) == wanted
    assert FILTERS.settle(first, {"layer": "conv1", "channel": "3"}) == {"layer": "conv1", "channel": "0"}
    assert FILTERS.settle(first, {"layer": "relu1"}) == {"layer": "conv1", "channel": "0"}
    assert MAPS.settle(first, {"image": "7", "layer": "fc2"}) == {"layer": "fc2", "image": "7"}
    assert MAPS.settle(first, {"image": "-1"})["image"] == "0"
    assert ERRORS.settle(first, {"layer": "conv1"}) == {}


def test_settle_where_nothing_can_be_chosen(runs: RunFolder) -> None:
    assert FILTERS.settle(runs.open("no-snapshots"), {"channel": "1"}) == {}
    assert set(MAPS.settle(runs.open("no-samples"), {"image": "0"})) == {"layer"}


def test_choose_follows_the_layer(first: cnnviz.Run) -> None:
    choice = FILTERS.choose(first, {"layer": "conv2", "channel": "3"}, ["layer", "channel"])
    assert choice.films == ["/api/film/first/filters?layer=conv2&channel=3"]
    assert choice.query == "layer=conv2&channel=3"
    assert [len(options) for options in choice.options] == [2, 4]
    assert choice.values == ["conv2", "3"]
    assert choice.displays == ["block", "block"]
    back = FILTERS.choose(first, {"layer": "conv1", "channel": "3"}, ["layer", "channel"])
    assert back.films == ["/api/film/first/filters?layer=conv1&channel=0"]
    assert [len(options) for options in back.options] == [2, 1]
    assert back.values == ["conv1", "0"]
    assert back.displays == ["block", "none"]  # there is one channel only


def test_choose_gives_each_plot_its_own(first: cnnviz.Run) -> None:
    choice = MAPS.choose(first, {"layer": "fc1", "image": "4"}, ["layer"])
    assert choice.films == [
        "/api/film/first/feature_maps?layer=fc1&image=4",
        "/api/film/first/probabilities?image=4",
    ]
    assert choice.query == "layer=fc1&image=4"
    assert choice.values == ["fc1"]


def test_the_choose_callback_over_http(client: FlaskClient) -> None:
    layer, image = {"kind": "select", "name": "layer"}, {"kind": "strip", "name": "image"}
    dependencies = json.loads(client.get("/_dash-dependencies").get_data())
    (output,) = (d["output"] for d in dependencies if "data-film" in d["output"])
    films = [
        {"id": {"kind": "film", "plot": plot}, "property": "data-film"}
        for plot in ("feature_maps", "probabilities")
    ]
    body = {
        "output": output,
        "outputs": [
            films,
            {"id": "state", "property": "data-query"},
            [{"id": layer, "property": "data"}],
            [{"id": layer, "property": "value"}],
            [{"id": layer, "property": "display"}],
        ],
        "inputs": [
            [{"id": layer, "property": "value", "value": "relu2"}],
            [{"id": image, "property": "value", "value": "5"}],
        ],
        "state": [
            [{"id": layer, "property": "id", "value": layer}],
            [{"id": image, "property": "id", "value": image}],
            {"id": "url", "property": "pathname", "value": "/run/first/feature-maps"},
        ],
        "changedPropIds": [],
    }
    answer = client.post("/_dash-update-component", json=body)
    assert answer.status_code == 200
    response = answer.get_json()["response"]
    assert response["state"]["data-query"] == "layer=relu2&image=5"
    assert "/api/film/first/feature_maps?layer=relu2&image=5" in json.dumps(response)


def test_a_strip_of_samples_and_a_select(first: cnnviz.Run) -> None:
    text = text_of(MAPS.layout(first, {"image": "3", "layer": "fc1"}))
    assert text.count("cd-sample") == 20
    assert "/api/samples/first.png" in text
    assert "fc1 · Linear" in text
    assert '"data-query": "layer=fc1&image=3"' in text


@pytest.fixture
def taken() -> Any:
    """A port that something listens at, with a free one behind it."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def _nothing(_: Any, start: Any) -> list[bytes]:
    start("200 OK", [])
    return [b"here"]


def test_the_next_free_port_is_taken(taken: int) -> None:
    server, port = serve._listen(_nothing, "127.0.0.1", taken, 50)
    try:
        assert taken < port < taken + 50
        assert int(server.effective_port) == port
    finally:
        server.close()


def test_a_strict_port_is_refused_if_taken(taken: int) -> None:
    with pytest.raises(ConfigError, match=f"can't listen at 127.0.0.1, port {taken}.*name another"):
        serve._listen(_nothing, "127.0.0.1", taken, 1)


@pytest.mark.parametrize("port", [65536, 99999])
def test_a_port_that_cannot_be(port: int) -> None:
    with pytest.raises(ConfigError, match="ports go from 0 to 65535"):
        serve._listen(_nothing, "127.0.0.1", port, 50)


def test_a_host_that_is_not_ours_is_tried_once() -> None:
    with pytest.raises(ConfigError, match=r"can't listen at 192\.0\.2\.1"):
        serve._listen(_nothing, "192.0.2.1", 8050, 50)


def test_any_free_port() -> None:
    server, port = serve._listen(_nothing, "127.0.0.1", 0, 1)
    loop = threading.Thread(target=server.run, daemon=True)
    loop.start()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
            assert answer.read() == b"here"
    finally:
        server.trigger.pull_trigger(server.close)
        loop.join(5)
        server.task_dispatcher.shutdown()


class StubServer:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def run(self) -> None:
        self.calls.append("run")
        raise KeyboardInterrupt

    def close(self) -> None:
        self.calls.append("close")


class AtOnce:
    """A timer that doesn't wait."""

    def __init__(self, _: float, function: Any, arguments: list[str]) -> None:
        self.start = lambda: function(*arguments)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8051/"),
        ("0.0.0.0", "http://127.0.0.1:8051/"),
        ("::1", "http://[::1]:8051/"),
    ],
)
def test_serve_says_where_and_opens_the_browser(
    host: str,
    address: str,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    opened: list[str] = []
    server = StubServer()
    monkeypatch.setattr(serve, "_listen", lambda *_: (server, 8051))
    monkeypatch.setattr(serve.webbrowser, "open", opened.append)
    monkeypatch.setattr(serve.threading, "Timer", AtOnce)
    with pytest.raises(KeyboardInterrupt):
        serve.serve(create_app(root), host=host, port=8050, strict_port=False, open_browser=True)
    assert server.calls == ["run", "close"]
    assert f"Dashboard: {address}" in capsys.readouterr().out
    assert opened == [address]
