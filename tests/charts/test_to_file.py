from __future__ import annotations

import subprocess
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from cnnviz.charts import animate, to_matplotlib
from cnnviz.charts.chart import Chart, Film, Mosaic
from cnnviz.charts.palette import Palette
from cnnviz.charts.theme import Scale
from cnnviz.charts.to_matplotlib import Animator
from cnnviz.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF", ".gif": b"GIF89a"}


@pytest.fixture
def player(monkeypatch: pytest.MonkeyPatch) -> None:
    """A player whose page is the title of what it shows."""
    module = ModuleType("cnnviz.charts.to_player")
    module.page = lambda drawn: f"<!doctype html>{type(drawn).__name__} {drawn.title} 猫"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cnnviz.charts.to_player", module)


def _film(steps: int) -> Film:
    cells = np.random.default_rng(0).normal(size=(steps, 2, 3, 3))
    return Film(
        "f", (Mosaic("m", cells, ("a", "b"), Scale(-2, 2, "signed", "weight")),), 10 * np.arange(steps)
    )


def _gif(path: Path) -> tuple[list[np.ndarray[Any, Any]], list[int], Any]:
    frames, durations = [], []
    with Image.open(path) as image:
        for index in range(image.n_frames):
            image.seek(index)
            frames.append(np.array(image.convert("RGB")))
            durations.append(image.info["duration"])
        return frames, durations, image.info.get("loop")


def _mp4(path: Path, size: tuple[int, int]) -> tuple[str, list[np.ndarray[Any, Any]]]:
    """Return what ffmpeg tells about a video, and its frames."""
    program = imageio_ffmpeg.get_ffmpeg_exe()
    command = [program, "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    frames = np.frombuffer(done.stdout, np.uint8).reshape(-1, size[1], size[0], 3)
    return done.stderr.decode(), list(frames)


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf", ".PNG"])
def test_a_still_is_saved_by_suffix(suffix: str, film: Film, tmp_path: Path) -> None:
    film.frame(0).save(tmp_path / f"still{suffix}")
    assert (tmp_path / f"still{suffix}").read_bytes().startswith(_MAGIC[suffix.lower()])
    assert [file.name for file in tmp_path.iterdir()] == [f"still{suffix}"]


@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf"])
def test_the_same_chart_is_the_same_file(suffix: str, whole_film: Film, tmp_path: Path) -> None:
    for name in ("a", "b"):
        whole_film.frame(0).save(str(tmp_path / f"{name}{suffix}"))
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.usefixtures("player")
def test_html_is_the_players_page(tmp_path: Path) -> None:
    Chart("title", ()).save(tmp_path / "a.html")
    _film(2).save(tmp_path / "b.html")
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == "<!doctype html>Chart title 猫"
    assert (tmp_path / "b.html").read_text(encoding="utf-8") == "<!doctype html>Film f 猫"


def test_a_film_as_a_still_is_its_last_step(tmp_path: Path) -> None:
    _film(3).save(tmp_path / "film.png")
    _film(3).frame(2).save(tmp_path / "chart.png")
    assert (tmp_path / "film.png").read_bytes() == (tmp_path / "chart.png").read_bytes()


def test_a_gif_shows_every_step_and_rests_on_the_last(film: Film, tmp_path: Path) -> None:
    film.save(tmp_path / "film.gif")
    frames, durations, loop = _gif(tmp_path / "film.gif")
    assert loop == 0
    assert durations == [670, 660, 1670]
    animator = Animator(film.frame(0), 100)
    for index, frame in enumerate(frames):
        drawn = animator.pixels(film.frame(index))[..., :3]
        assert np.abs(frame.astype(int) - drawn).mean() < 1
        np.testing.assert_array_equal(frame[0, 0], [255, 255, 255])


def test_a_long_gif_keeps_every_frame_right(tmp_path: Path) -> None:
    film = _film(30)
    film.save(tmp_path / "film.gif")
    frames, durations, _ = _gif(tmp_path / "film.gif")
    assert sum(durations) == 2000 + 1000
    assert len(frames) == 30
    animator = Animator(film.frame(0), 100)
    for index, frame in enumerate(frames):
        assert np.abs(frame.astype(int) - animator.pixels(film.frame(index))[..., :3]).max() < 24


def test_an_mp4_shows_every_step_and_rests_on_the_last(film: Film, tmp_path: Path) -> None:
    film.save(tmp_path / "film.mp4", seconds=0.3)
    animator = Animator(film.frame(0), 130)
    width, height = animator.size
    about, frames = _mp4(tmp_path / "film.mp4", animator.size)
    for expected in ("h264", "yuv420p", f"{width}x{height}", "20 fps"):
        assert expected in about
    assert len(frames) == 2 * 3 + 20
    for index in range(3):
        drawn = animator.pixels(film.frame(index))[..., :3].astype(int)
        assert np.abs(frames[2 * index] - drawn).mean() < 4
    data = (tmp_path / "film.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # it can start before it is whole


@pytest.mark.parametrize("suffix", [".gif", ".mp4", ".png"])
def test_a_film_of_one_step(suffix: str, tmp_path: Path) -> None:
    _film(1).save(tmp_path / f"film{suffix}")
    assert (tmp_path / f"film{suffix}").stat().st_size > 1000


def test_a_film_of_all_kinds_of_panels(whole_film: Film, tmp_path: Path) -> None:
    whole_film.save(tmp_path / "film.gif", frames=2, seconds=1)
    frames, durations, _ = _gif(tmp_path / "film.gif")
    assert len(frames) == 2
    assert durations == [500, 1500]


@pytest.mark.parametrize(
    ("steps", "frames", "seconds", "count", "expected"),
    [
        (1, 200, None, 1, 2.0), (10, 200, None, 10, 2.0), (1000, 200, None, 200, 10.0), (1000, 50, 3.0, 50, 3.0),
        (1000, 200, 1.0, 50, 1.0), (5, 1, None, 1, 2.0), (7, 200, 0.001, 1, 0.001),
    ],
)  # fmt: skip
def test_timing(steps: int, frames: int, seconds: float | None, count: int, expected: float) -> None:
    shown = animate.timing(steps, frames, seconds)
    assert len(shown.indices) == len(set(shown.indices)) == count
    assert shown.indices[-1] == steps - 1
    assert count == 1 or shown.indices[0] == 0
    assert shown.seconds == expected


@pytest.mark.parametrize("suffix", ["", ".jpg", ".gif", ".mp4"])
def test_a_chart_names_the_suffixes_it_can_have(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.png, \.svg, \.pdf, \.html$"):
        Chart("t", ()).save(tmp_path / f"x{suffix}")


def test_a_film_names_the_suffixes_it_can_have(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"as \.webm .*; it can be as \.gif, \.mp4, \.png, \.svg, \.pdf, \.html$"
    ):
        _film(2).save(tmp_path / "x.webm")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no folder .*absent"):
        Chart("t", ()).save(tmp_path / "absent" / "x.png")


def test_a_folder_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "x.png").mkdir()
    with pytest.raises(ConfigError, match="it is a folder"):
        Chart("t", ()).save(tmp_path / "x.png")


@pytest.mark.parametrize("suffix", [".gif", ".mp4", ".html", ".png"])
def test_a_film_without_steps_cannot_be_saved(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no steps yet"):
        _film(0).save(tmp_path / f"x{suffix}")


@pytest.mark.parametrize(
    "wrong", [{"frames": 0}, {"frames": -1}, {"seconds": 0}, {"seconds": -1.0}, {"seconds": float("nan")}]
)
def test_frames_and_seconds_are_positive(wrong: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"not (0|-1|nan)"):
        _film(2).save(tmp_path / "x.gif", **wrong)


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_a_failed_save_leaves_what_was_there(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_text("before")
    drawn = iter(range(3))
    pixels = Animator.pixels

    def failing(self: Animator, chart: Chart) -> Any:
        if next(drawn) == 2:
            raise RuntimeError("out of ink")
        return pixels(self, chart)

    monkeypatch.setattr(Animator, "pixels", failing)
    with pytest.raises(RuntimeError, match="out of ink"):
        _film(5).save(path)
    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_failed_still_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(chart: Chart, path: Path, kind: str) -> None:
        path.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(to_matplotlib, "save", failing)
    with pytest.raises(OSError, match="disk full"):
        Chart("t", ()).save(tmp_path / "x.png")
    assert not list(tmp_path.iterdir())


def test_a_saved_mosaic_has_the_scales_colours(tmp_path: Path) -> None:
    panel = Mosaic("m", np.array([[[1.0]]]), ("a",), Scale(-1, 1, "signed"))
    Chart("t", (panel,)).save(tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as image:
        pixels = np.array(image.convert("RGB")).reshape(-1, 3)
    assert (pixels == panel.scale.colours(np.array(1.0))).all(1).sum() > 200**2  # a cell of 1.3 inches


def test_a_palette_keeps_common_colours_exactly_and_misses_none_by_far() -> None:
    generator = np.random.default_rng(0)
    frame = np.full((200, 200, 4), 255, np.uint8)
    frame[:100, :, :3] = generator.integers(0, 256, (100, 200, 3))
    frame[150:, :, :3] = (18, 52, 86)
    palette = Palette.of([frame])
    shown = palette.colours[palette.apply(frame)]
    np.testing.assert_array_equal(shown[100:], frame[100:, :, :3])
    assert np.abs(shown.astype(int) - frame[..., :3]).max() < 80
    assert palette.apply(frame).max() < 255
