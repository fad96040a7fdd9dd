"""Archives behind URLs: a real S3 server on this machine, this process's memory, and a file URL."""

import numpy as np
import obstore.exceptions
import pytest
from runs_in_memory import assert_same

import cnnviz
from cnnviz.archive import open_archive, pack
from cnnviz.archive.object_store import told
from cnnviz.archive.opening import archive_bytes
from cnnviz.archive.places import local_path, url_of
from cnnviz.errors import ConfigError, RunError


@pytest.fixture(scope="module")
def s3():
    """Start an S3 server with a bucket, and point the environment to it."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "someone")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_REGION", "us-east-1")
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="runs")
        yield "s3://runs"
    server.stop()


@pytest.mark.filterwarnings("default")  # boto3's and moto's own
def test_a_run_at_s3(small_run, s3):
    url = f"{s3}/lab/small"
    assert pack(small_run, url) == url
    run = cnnviz.open_run(url)
    assert_same(small_run, run)
    assert run.location == url
    assert run.name == "small"
    assert 5_000 < archive_bytes(url) < 100_000
    with pytest.raises(RunError, match="exists already"):
        pack(small_run, url)
    assert_same(small_run, cnnviz.open_run(url))
    with pytest.raises(RunError, match="is not a packed run"):
        cnnviz.open_run(f"{s3}/lab")


@pytest.mark.filterwarnings("default")
def test_a_bucket_that_is_not_there(small_run, s3):
    with pytest.raises(RunError, match="s3://absent/small is not a packed run"):
        open_archive("s3://absent/small")
    with pytest.raises(RunError, match=r"s3://absent(/small)? can't be (reached|written)"):
        pack(small_run, "s3://absent/small")


def test_a_server_that_is_not_there(small_run, monkeypatch):
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    for call in (open_archive, lambda url: pack(small_run, url)):
        with pytest.raises(RunError, match="s3://runs/small can't be reached"):
            call("s3://runs/small")


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("s3://runs/small", "AWS_ACCESS_KEY_ID"),
        ("gs://runs/small", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("az://runs/small", "AZURE_STORAGE_ACCOUNT_KEY"),
    ],
)
def test_credentials_that_are_not_there_are_told_with_where_they_are_looked_for(url, named):
    text = (
        "Generic S3 error: Error performing PUT http://169.254.169.254/latest/api/token in 3 ms - "
        + "no " * 50
    )
    with pytest.raises(RunError) as caught, told(url):
        raise obstore.exceptions.GenericError(f"{text}\n\nDebug source: ...")
    message = str(caught.value)
    assert message.startswith(
        f"{url} can't be reached: no credentials were found; they are looked for in {named} "
    )
    assert " (Generic S3 error: Error performing PUT http://169.254.169.254/latest/api/token in" in message
    assert message.endswith("…)")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://x/y", "archives can be read over http, but not written"),
        ("https:/x/y", "archives can be read over https, but not written"),
        ("ftp://x/y", "archives can be neither read nor written under ftp"),
    ],
)
def test_where_archives_can_not_be_written(small_run, url, words):
    with pytest.raises(ConfigError) as caught:
        pack(small_run, url)
    assert str(caught.value).startswith(f"{url} can't be written: {words}; name a folder, or a URL of s3://")
    assert "memory" not in str(caught.value)


def test_an_archive_in_memory(small_run):
    assert pack(small_run, "memory://here/small") == "memory://here/small"
    assert_same(small_run, cnnviz.open_run("memory://here/small"))
    with pytest.raises(RunError, match="exists already"):
        pack(small_run, "memory://here/small")
    with pytest.raises(RunError, match="memory://elsewhere is not a packed run"):
        open_archive("memory://elsewhere")


def test_nothing_is_left_at_a_url_after_an_error(small_run):
    small_run.store.states[3]["fc.bias"][0] += 1
    with pytest.raises(RunError, match="at step 3 is not what was recorded"):
        pack(small_run, "memory://bad")
    assert archive_bytes("memory://bad") == 0


def test_damage_at_a_url_is_named(small_run):
    import obstore

    from cnnviz.archive.object_store import open_object_store

    pack(small_run, "memory://damaged")
    store = open_object_store("memory://damaged")
    obstore.delete(store, "state/0/c/0/0")
    archive = open_archive("memory://damaged")
    with pytest.raises(RunError, match="memory://damaged/state/0/c/0/0 is not there"):
        archive.tensors(3)
    obstore.put(store, "state/1/c/0/0", b"short")
    with pytest.raises(RunError, match="memory://damaged/state/1/c/0/0 is damaged"):
        archive.tensors(3, ["fc.weight"])


def test_a_file_url(small_run, tmp_path):
    url = (tmp_path / "with space.zarr").as_uri()
    assert pack(small_run, url) == str(tmp_path / "with space.zarr")
    assert np.array_equal(open_archive(url).steps(), small_run.steps)


def test_urls_that_a_path_has_shortened():
    assert url_of("s3:/bucket/run/") == "s3://bucket/run"
    assert url_of("s3://bucket/run") == "s3://bucket/run"
    assert str(local_path("file:///tmp/a%20b")) == "/tmp/a b"
    assert local_path("s3://bucket/run") is None
    assert str(local_path("s3x/run")) == "s3x/run"


def test_urls_that_can_not_be_used(small_run, monkeypatch):
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    for call in (open_archive, lambda url: pack(small_run, url)):
        with pytest.raises(ConfigError, match=r"az://box/run can't be used: .*Account must be specified"):
            call("az://box/run")


def test_obstore_is_named_where_it_is_not_installed(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "obstore.exceptions", None)
    with pytest.raises(ConfigError, match=r"needs obstore: pip install 'cnnviz\[archive\]'"):
        open_archive("s3://bucket/run")
