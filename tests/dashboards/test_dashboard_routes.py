from __future__ import annotations

import io
import json
import shutil
import threading
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import cnnviz
from cnnviz.charts.to_player import script, style
from cnnviz.plots.plot import PLOTS
from cnnviz_dashboards import create_app
from cnnviz_dashboards.films import FilmRequest, exact_frame
from cnnviz_dashboards.folder import RunFolder
from cnnviz_dashboards.routes import THUMBNAIL, sample_strip

if TYPE_CHECKING:
    from pathlib import Path

    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse


def is_told(response: TestResponse) -> bool:
    """Whether a refusal is JSON with a message."""
    return (
        response.status_code in (400, 404)
        and response.mimetype == "application/json"
        and bool(response.get_json()["error"])
    )


def test_the_player_is_served_as_it_is(client: FlaskClient) -> None:
    answer = client.get("/player.js?v=1")
    assert answer.get_data(as_text=True) == script()
    assert (answer.mimetype, answer.headers["Cache-Control"]) == (
        "text/javascript",
        "private, max-age=31536000, immutable",
    )
    assert client.get("/player.css").get_data(as_text=True) == style()


def test_the_page_names_the_players_version_and_no_other_host(client: FlaskClient) -> None:
    text = client.get("/run/first/filters").get_data(as_text=True)
    assert "/player.js?v=" in text
    assert "/player.css?v=" in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text


def test_frames_asked_by_their_key_are_kept_for_ever(client: FlaskClient) -> None:
    address = client.get("/api/film/first/filters?layer=conv2").get_json()["chunks"][1]
    answer = client.get(address)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert answer.headers["ETag"].strip('"') in address
    again = client.get(address, headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.get_data()) == (304, b"")
    assert again.headers["ETag"] == answer.headers["ETag"]
    other = client.get(address, headers={"If-None-Match": '"another"'})
    assert (other.status_code, other.get_data()) == (200, answer.get_data())


@pytest.mark.parametrize("key", ["", "&key=wrong"])
def test_frames_asked_by_no_key_are_asked_again(client: FlaskClient, key: str) -> None:
    answer = client.get(f"/api/frames/first/filters?chunk=0:4:1{key}")
    assert answer.headers["Cache-Control"] == "private, no-cache"
    again = client.get(
        f"/api/frames/first/filters?chunk=0:4:1{key}", headers={"If-None-Match": answer.headers["ETag"]}
    )
    assert again.status_code == 304


def test_exact_values(client: FlaskClient, first: cnnviz.Run) -> None:
    answer = client.get("/api/exact/first/filters?layer=conv1&channel=0&step=4")
    assert answer.get_data() == exact_frame(FilmRequest.of(first, "filters", {}), 4)


def test_the_sample_strip_shows_the_samples(client: FlaskClient, first: cnnviz.Run) -> None:
    answer = client.get("/api/samples/first.png")
    assert answer.mimetype == "image/png"
    strip = Image.open(io.BytesIO(answer.get_data()))
    assert strip.size == (20 * THUMBNAIL, THUMBNAIL)
    for number in (0, 7, 19):
        levels = np.rint(first.samples[number].image[0].numpy() * 255).astype(np.uint8)
        wanted = Image.fromarray(levels).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
        part = strip.crop((number * THUMBNAIL, 0, (number + 1) * THUMBNAIL, THUMBNAIL))
        np.testing.assert_array_equal(np.asarray(part)[..., 0], np.asarray(wanted))
    again = client.get("/api/samples/first.png", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304


@pytest.mark.parametrize(
    ("images", "pixels"),
    [
        (torch.full((1, 3, 4, 4), 128, dtype=torch.uint8), (128, 128, 128)),
        (torch.tensor([1.0, 0.0, 0.5])[None, :, None, None].expand(1, 3, 4, 4), (255, 0, 128)),
        (torch.full((1, 1, 4, 4), float("nan")), (0, 0, 0)),
        (torch.full((1, 2, 4, 4), 1.0), (255, 255, 255)),
        (torch.full((1, 1, 4, 4), -3.0), (0, 0, 0)),
    ],
)
def test_samples_of_any_kind_have_a_strip(
    images: torch.Tensor, pixels: tuple[int, int, int], tmp_path: Path
) -> None:
    with cnnviz.Recorder(tmp_path / "run", torch.nn.Linear(1, 1), samples=(images, torch.zeros(1))):
        pass
    strip = Image.open(io.BytesIO(sample_strip(cnnviz.open_run(tmp_path / "run"))))
    assert strip.convert("RGB").getpixel((20, 20)) == pixels


def test_no_samples_are_an_empty_strip(client: FlaskClient) -> None:
    assert Image.open(io.BytesIO(client.get("/api/samples/no-samples.png").get_data())).size == (40, 40)


BAD = [
    "/api/run/nope",
    "/api/run/..",
    "/api/run/%2e%2e",
    "/api/run/.",
    "/api/run/%2e%2e%2ffirst",
    "/api/run/%2fetc",
    "/api/run/first%2f..%2ffirst",
    "/api/run/%00",
    "/api/run/" + "a" * 5000,
    "/api/run/" + quote("运行"),
    "/api/run/%ff%fe",
    "/api/run/first%5c..",
    "/api/nothing/at/all",
    "/api/run/first/%0a",
    "/api/film/nope/filters",
    "/api/film/first/nope",
    "/api/film/first/os:system",
    "/api/film/first/%00",
    "/api/film/first/..",
    "/api/film/first/filters?layer=nope",
    "/api/film/first/filters?layer=",
    "/api/film/first/filters?layer=relu1",
    "/api/film/first/filters?channel=-1",
    "/api/film/first/filters?channel=" + "9" * 5000,
    "/api/film/first/filters?channel=1.5",
    "/api/film/first/filters?after=-1",
    "/api/film/first/filters?after=x",
    "/api/film/first/filters?after=" + "9" * 5000,
    "/api/film/first/filters?after=%C2%B2",
    "/api/film/first/feature_maps?image=20",
    "/api/film/first/feature_maps?image=-21",
    "/api/film/first/probabilities?image=" + "9" * 50,
    "/api/film/theirs/feature_maps",
    "/api/film/no-samples/feature_maps",
    "/api/film/no-snapshots/filters",
    "/api/frames/first/filters",
    "/api/frames/first/filters?chunk=",
    "/api/frames/first/filters?chunk=0:1",
    "/api/frames/first/filters?chunk=5:2:1",
    "/api/frames/first/filters?chunk=0:2:0",
    "/api/frames/first/filters?chunk=-4:2:1",
    "/api/exact/first/filters",
    "/api/exact/first/filters?step=-1",
    "/api/exact/first/filters?step=3",
    "/api/exact/first/filters?step=999999999999999",
    "/api/exact/first/filters?step=9999999999999999999999",
    "/api/exact/first/filters?step=1e3",
    "/api/samples/nope.png",
    "/api/samples/...png",
]


@pytest.mark.parametrize("address", BAD, ids=lambda address: address[:60])
def test_what_cannot_be_is_told(client: FlaskClient, address: str) -> None:
    answer = client.get(address)
    assert is_told(answer), (answer.status_code, answer.get_data()[:200])


words = st.one_of(
    st.sampled_from(["first", "theirs", "filters", "feature_maps", "errors", "probabilities", "..", "a:b"]),
    st.text(max_size=20),
)
values = st.one_of(
    st.sampled_from(["conv1", "conv2", "fc1", "0:4:2", "39:40:1", "0", "4", "-1", "9" * 30]),
    st.integers().map(str),
    st.tuples(st.integers(-2, 99), st.integers(-2, 99), st.integers(-2, 9)).map(
        lambda t: ":".join(map(str, t))
    ),
    st.text(max_size=20),
)
names = st.sampled_from(["layer", "channel", "image", "step", "chunk", "key", "after", "x"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    route=st.sampled_from(["run", "film", "frames", "exact", "samples", "_", ""]),
    parts=st.lists(words, max_size=3),
    query=st.dictionaries(names, values, max_size=4),
)
def test_no_address_breaks_a_route(
    client: FlaskClient, route: str, parts: list[str], query: dict[str, str]
) -> None:
    path = "/".join(quote(part, safe="") for part in ["api", route, *parts])
    answer = client.get(f"/{path}", query_string=query)
    assert answer.status_code in (200, 308) or is_told(answer), (answer.status_code, answer.get_data()[:200])


def test_a_link_out_of_the_root_is_not_followed(root: Path, tmp_path: Path) -> None:
    inside = tmp_path / "root"
    shutil.copytree(root / "theirs", inside / "own")
    (inside / "out").symlink_to(root / "first")
    (inside / "alias").symlink_to(inside / "own")
    (inside / "loop").symlink_to(inside / "loop")
    client = create_app(inside).server.test_client()
    assert is_told(client.get("/api/run/out"))
    assert is_told(client.get("/api/samples/out.png"))
    assert is_told(client.get("/api/run/loop"))
    assert client.get("/api/run/alias").status_code == 200
    assert [path.name for path in RunFolder(inside).paths()] == ["alias", "own"]


def test_a_root_that_is_a_link_is_fine(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    assert create_app(tmp_path / "link").server.test_client().get("/api/run/first").status_code == 200


def test_a_damaged_run_is_told(root: Path, tmp_path: Path) -> None:
    for name in ("manifest", "database", "snapshot", "samples"):
        shutil.copytree(root / "first", tmp_path / name)
    (tmp_path / "manifest" / "run.json").write_text("{}")
    (tmp_path / "database" / "run.db").write_bytes(b"no database" * 1000)
    (tmp_path / "snapshot" / "snapshots" / "00000004.safetensors").write_bytes(b"\xff" * 100)
    (tmp_path / "samples" / "samples.safetensors").write_bytes(b"")
    client = create_app(tmp_path).server.test_client()
    assert is_told(client.get("/api/run/manifest"))
    assert is_told(client.get("/api/run/database"))
    assert is_told(client.get("/api/exact/snapshot/filters?step=4"))
    assert is_told(client.get("/api/samples/samples.png"))
    assert is_told(client.get("/api/film/samples/feature_maps"))


def test_a_run_of_another_recording_takes_the_names_place(root: Path, tmp_path: Path) -> None:
    client = create_app(tmp_path).server.test_client()
    shutil.copytree(root / "no-samples", tmp_path / "one")
    assert client.get("/api/run/one").get_json()["steps"] == [5]
    shutil.rmtree(tmp_path / "one")
    assert is_told(client.get("/api/run/one"))
    shutil.copytree(root / "theirs", tmp_path / "one")
    assert client.get("/api/run/one").get_json()["steps"] == [0, 1, 2]


def test_a_run_that_goes_on_is_seen_to(tmp_path: Path) -> None:
    client = create_app(tmp_path).server.test_client()
    model = torch.nn.Conv2d(1, 1, 3)
    with cnnviz.Recorder(tmp_path / "live", model, snapshots=cnnviz.every(1)) as recorder:
        recorder.record(0)
        assert client.get("/api/run/live").get_json()["status"] == "running"
        recorder.record(1)
        assert client.get("/api/run/live").get_json()["steps"] == [0, 1]
    assert client.get("/api/run/live").get_json()["status"] == "finished"


def test_an_exception_shows_no_traceback(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def burst(*_: object, **__: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setitem(PLOTS.get("filters").__dict__, "function", burst)
    answer = client.get("/api/film/first/filters")
    assert (answer.status_code, answer.mimetype) == (500, "application/json")
    assert "terminal" in answer.get_json()["error"]
    assert "secret" not in answer.get_data(as_text=True)
    assert "Traceback" not in answer.get_data(as_text=True)


def test_two_applications_do_not_meet(root: Path, tmp_path: Path) -> None:
    one, other = create_app(root), create_app(tmp_path)
    assert one.server.test_client().get("/api/run/first").status_code == 200
    assert is_told(other.server.test_client().get("/api/run/first"))
    assert one.callback_map.keys() == other.callback_map.keys()
    assert len(json.loads(one.server.test_client().get("/_dash-dependencies").get_data())) == 4


def test_many_at_once_get_the_same(root: Path) -> None:
    server = create_app(root).server
    wanted = {
        path: server.test_client().get(path).get_data()
        for path in (
            "/api/frames/first/feature_maps?layer=fc1&chunk=0:40:1",
            "/api/frames/first/probabilities?chunk=0:40:1",
            "/api/frames/first/filters?chunk=0:40:1",
        )
    }
    wrong: list[str] = []

    def look() -> None:
        for path, data in wanted.items():
            if server.test_client().get(path).get_data() != data:
                wrong.append(path)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
