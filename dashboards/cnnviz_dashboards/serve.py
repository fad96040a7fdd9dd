"""Serving the dashboard: waitress on one port of this machine, and the browser opened on it."""

from __future__ import annotations

import errno
import socket
import threading
import webbrowser
from typing import TYPE_CHECKING, Any

import waitress

from cnnviz.errors import ConfigError

if TYPE_CHECKING:
    from dash import Dash

_TRIES = 50
_THREADS = 8


def serve(app: Dash, *, host: str, port: int, strict_port: bool, open_browser: bool) -> None:
    """Serve a dashboard until Ctrl-C.

    Args:
        app: What `create_app` made.
        host: The address to listen at.
        port: The port to listen at.
        strict_port: Whether it must be this port; else the next free one will do.
        open_browser: Whether to open it in the browser.

    Raises:
        ConfigError: If the port is taken, or the host is no address of this machine.
    """
    server, port = _listen(app.server, host, port, 1 if strict_port else _TRIES)
    shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host  # noqa: S104 - compared, not bound
    address = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/"
    print(f"Dashboard: {address}  (Ctrl-C ends it)", flush=True)
    if open_browser:
        threading.Timer(0.3, webbrowser.open, [address]).start()
    try:
        server.run()
    finally:
        server.close()


def _listen(application: Any, host: str, port: int, tries: int) -> tuple[Any, int]:
    problem: Exception = ValueError("ports go from 0 to 65535")
    for candidate in range(port, min(port + tries, 65536)):
        try:
            # Bound here, because waitress leaves what it could not bind open.
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            bound = socket.create_server((host, candidate), family=family)
        except (OSError, OverflowError) as error:
            problem = error
            if getattr(error, "errno", None) not in (errno.EADDRINUSE, errno.EACCES):
                break  # another port would not help
            continue
        server = waitress.create_server(application, sockets=[bound], threads=_THREADS, ident=None)
        return server, bound.getsockname()[1]
    raise ConfigError(
        f"the dashboard can't listen at {host}, port {port}: {problem}; name another with --port"
    )
