"""Archives at an object store, through obstore: S3, Google's, Azure's, plain HTTP, or this process's memory."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cnnviz.errors import CnnvizError, ConfigError, RunError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
# Where machines in a cloud are told who they are.
_METADATA_HOSTS = ("169.254.169.254", "metadata.google.internal")
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN, if there is one) of the environment",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_SERVICE_ACCOUNT of the environment, the path of a file, and where "
    "gcloud auth application-default login puts them",
    "az": "AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN of the environment, beside AZURE_STORAGE_ACCOUNT_NAME",
}
_MOST_SHOWN = 100
# What was packed to memory:// lives as long as the process, as its user asked for.
_in_memory: dict[str, Any] = {}


class RemotePlace:
    """Reads at an object store."""

    def __init__(self, url: str) -> None:
        self.location = url
        self._store = open_object_store(url)

    def size(self, key: str) -> int | None:
        """Return the size of a file in bytes; None if it is not there."""
        import obstore

        try:
            with told(self.location):
                return int(obstore.head(self._store, key)["size"])
        except FileNotFoundError:
            return None

    def read(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of each range, those that lie close together in one request."""
        import obstore

        starts, ends = [start for start, _ in ranges], [end for _, end in ranges]
        try:
            with told(self.location):
                parts = obstore.get_ranges(self._store, key, starts=starts, ends=ends)
        except FileNotFoundError as error:
            raise RunError(f"{self.location}/{key} is not there") from error
        if any(len(part) != end - start for part, (start, end) in zip(parts, ranges, strict=True)):
            raise RunError(f"{self.location}/{key} is damaged: it ends too early")
        return [bytes(part) for part in parts]


def open_object_store(url: str) -> Any:
    """Return the obstore of a URL; credentials and endpoint come from the environment, as its documentation says.

    Raises:
        ConfigError: If obstore is not installed, or can't make anything of the URL or the environment.
    """
    try:
        import obstore.exceptions
        from obstore.store import MemoryStore, from_url
    except ImportError as error:
        raise ConfigError("an archive at a URL needs obstore: pip install 'cnnviz[archive]'") from error
    if url.startswith("memory:"):
        return _in_memory.setdefault(url, MemoryStore())
    plain = url.startswith("http:") or any(os.environ.get(n, "").startswith("http:") for n in _ENDPOINTS)
    options: Any = {"allow_http": True} if plain else None
    try:
        return from_url(url, client_options=options, retry_config={"max_retries": 4})
    except (obstore.exceptions.BaseError, ValueError, TypeError) as error:
        raise ConfigError(f"{url} can't be used: {first_line(error)}") from error


def check_empty(url: str) -> None:
    """Raise unless nothing lies below a URL.

    Raises:
        RunError: If something does, or the object store can't be asked.
    """
    import obstore

    with told(url):
        found = next(
            (entry["path"] for batch in obstore.list(open_object_store(url)) for entry in batch), None
        )
    if found is not None:
        raise RunError(
            f"{url} exists already: it holds {found}; choose another name, or delete what lies there"
        )


def remove_all(url: str) -> None:
    """Delete what lies below a URL."""
    import obstore

    store = open_object_store(url)
    with told(url):
        for batch in obstore.list(store):
            obstore.delete(store, [entry["path"] for entry in batch])


def stored_bytes(url: str) -> int:
    """Return how many bytes lie below a URL."""
    import obstore

    with told(url):
        return sum(int(entry["size"]) for batch in obstore.list(open_object_store(url)) for entry in batch)


def first_line(error: BaseException) -> str:
    """Return what obstore says, without its many lines for developers."""
    return str(error).strip().partition("\n")[0]


def _reason(url: str, error: BaseException) -> str:
    """Return why a URL can't be reached, and what to do where there are no credentials for it."""
    line = first_line(error)
    if not any(host in line for host in _METADATA_HOSTS):
        return line
    # Without credentials obstore asks the machine for some, as if it stood in the cloud: nobody knows that address.
    places = _CREDENTIALS.get(url.partition(":")[0], "the environment")
    short = line if len(line) <= _MOST_SHOWN else f"{line[:_MOST_SHOWN]}…"
    return f"no credentials were found; they are looked for in {places} ({short})"


@contextmanager
def told(url: str) -> Iterator[None]:
    """Turn what obstore raises inside into RunError, but for a file that is not there."""
    import obstore.exceptions

    try:
        yield
    except (FileNotFoundError, CnnvizError):
        raise
    except (obstore.exceptions.BaseError, OSError, ValueError) as error:
        raise RunError(f"{url} can't be reached: {_reason(url, error)}") from error
