"""Plain routes beside Dash's own: the player, films, and sample images."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from flask import Response, jsonify, request
from werkzeug.exceptions import InternalServerError, NotFound

from cnnviz.charts.to_player import script, style
from cnnviz.errors import CnnvizError, ConfigError
from cnnviz_dashboards.chunks import Chunk
from cnnviz_dashboards.films import FilmRequest, exact_frame, film_frames, film_layout, run_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask

    from cnnviz.recording.run import Run
    from cnnviz_dashboards.folder import RunFolder

THUMBNAIL = 40
"""Height and width of a sample on its strip, in pixels."""

_FOR_EVER = "private, max-age=31536000, immutable"
_ASK_AGAIN = "private, no-cache"


def add_routes(server: Flask, runs: RunFolder) -> None:
    """Add the routes to `server`."""
    _add_player(server)
    _add_errors(server)

    @server.get("/api/run/<name>")
    def state(name: str) -> Response:
        return jsonify(run_state(runs.open(name)))

    @server.get("/api/film/<name>/<plot>")
    def film(name: str, plot: str) -> Response:
        return jsonify(_layout(_film_request(runs, name, plot), request.args.get("after")))

    @server.get("/api/frames/<name>/<plot>")
    def frames(name: str, plot: str) -> Response:
        wanted = _film_request(runs, name, plot)
        try:
            chunk = Chunk.parse(request.args.get("chunk", ""))
        except ValueError as error:
            raise ConfigError(str(error)) from error
        key = wanted.key(chunk)
        same = request.args.get("key") == key
        return _by_key(key, lambda: film_frames(wanted, chunk), _FOR_EVER if same else _ASK_AGAIN)

    @server.get("/api/exact/<name>/<plot>")
    def exact(name: str, plot: str) -> Response:
        wanted = _film_request(runs, name, plot)
        return _bytes(exact_frame(wanted, _count(request.args.get("step", ""))))

    @server.get("/api/samples/<name>.png")
    def samples(name: str) -> Response:
        run = runs.open(name)
        return _by_key(run.manifest.id, lambda: sample_strip(run), _ASK_AGAIN, "image/png")


def _add_errors(server: Flask) -> None:
    @server.errorhandler(CnnvizError)
    def refused(error: CnnvizError) -> tuple[Response, int]:
        return jsonify(error=str(error)), 400 if isinstance(error, ConfigError) else 404

    @server.get("/api/<path:rest>")
    def unknown(rest: str) -> Response:  # else Dash would answer with its page
        raise NotFound

    @server.errorhandler(NotFound)
    def absent(_: NotFound) -> tuple[Response, int]:
        return jsonify(error=f"there is nothing at {request.path}"), 404

    @server.errorhandler(InternalServerError)
    def broken(_: InternalServerError) -> tuple[Response, int]:
        return jsonify(error="this can't be computed; the terminal of the dashboard says why"), 500


def _add_player(server: Flask) -> None:
    @server.get("/player.js")
    def player_script() -> Response:
        return _cached(script().encode(), "text/javascript")

    @server.get("/player.css")
    def player_style() -> Response:
        return _cached(style().encode(), "text/css")


def sample_strip(run: Run) -> bytes:
    """Return the run's samples side by side as one PNG, each a square of `THUMBNAIL` pixels."""
    from PIL import Image

    size = THUMBNAIL
    strip = Image.new("RGB", (size * max(1, len(run.samples)), size))
    for number, sample in enumerate(run.samples):
        pixels = np.nan_to_num(sample.image.numpy(), nan=0.0, posinf=1.0, neginf=0.0)
        low, high = float(pixels.min(initial=0.0)), float(pixels.max(initial=1.0))
        levels = np.rint((pixels - low) / (high - low) * 255).astype(np.uint8)
        picture = (
            Image.fromarray(levels.transpose(1, 2, 0)) if len(levels) == 3 else Image.fromarray(levels[0])
        )
        strip.paste(picture.convert("RGB").resize((size, size), Image.Resampling.LANCZOS), (number * size, 0))
    file = io.BytesIO()
    strip.save(file, "PNG")
    return file.getvalue()


def _film_request(runs: RunFolder, name: str, plot: str) -> FilmRequest:
    return FilmRequest.of(runs.open(name), plot, request.args.to_dict())


def _layout(wanted: FilmRequest, after: str | None) -> dict[str, Any]:
    return film_layout(wanted) if after is None else film_layout(wanted, _count(after))


def _count(text: str) -> int:
    if not text.isdecimal() or len(text) > 15:
        raise ConfigError(f"{text!r} is no step")
    return int(text)


def _by_key(
    key: str, make: Callable[[], bytes], caching: str, kind: str = "application/octet-stream"
) -> Response:
    """Return what `make` gives, or only the word that nothing changed if the browser has it."""
    known = request.if_none_match.contains(key)
    response = Response(status=304) if known else Response(make(), mimetype=kind)
    response.set_etag(key)
    response.headers["Cache-Control"] = caching
    return response


def _bytes(data: bytes, **headers: Any) -> Response:
    return Response(data, mimetype="application/octet-stream", headers=headers)


def _cached(data: bytes, kind: str) -> Response:
    response = Response(data, mimetype=kind)
    response.headers["Cache-Control"] = _FOR_EVER  # their address holds the version
    return response
