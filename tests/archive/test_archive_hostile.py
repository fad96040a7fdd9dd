"""Archives come from anybody: what is damaged, or made to hurt, is an error that names it, and takes no memory."""

import json
import os
import struct
import tracemalloc

import google_crc32c
import numpy as np
import pytest
import torch
from runs_in_memory import DictStore, same, walk

import cnnviz
from cnnviz.archive import open_archive, pack
from cnnviz.errors import RunError
from cnnviz.recording.run import Run

ARRAY = "state/1"  # fc.weight
SHARD = f"{ARRAY}/c/0/0"
STEPS = np.arange(150)


def read_all(path):
    store = open_archive(path)
    store.entries(STEPS)
    for name in store.metric_names():
        store.metric(name)
    store.samples()
    store.examples()
    return store.stacked(store.steps(), store.tensor_names(0))


def edit(path, change):
    """Change the parsed JSON of a file."""
    content = json.loads(path.read_text())
    changed = change(content)
    path.write_text(json.dumps(content if changed is None else changed))


def sharding(content):
    return content["codecs"][0]["configuration"]


def inner(content, name):
    return next(codec for codec in sharding(content)["codecs"] if codec["name"] == name)


def cut(content, chunk):
    content["chunk_grid"]["configuration"]["chunk_shape"] = chunk
    sharding(content)["chunk_shape"] = chunk


EDITS = {
    "another format": lambda c: c.update(zarr_format=2),
    "a group": lambda c: c.update(node_type="group"),
    "objects": lambda c: c.update(data_type="object"),
    "a type of its own": lambda c: c.update(data_type={"name": "numpy.void"}),
    "another type": lambda c: c.update(data_type="uint64"),
    "more": lambda c: c.update(shape=[36, 150]),
    "less": lambda c: c.update(shape=[35, 149]),
    "much more": lambda c: c.update(shape=[2**61, 150]),
    "too much": lambda c: c.update(shape=[2**63, 150]),
    "a text": lambda c: c.update(shape="35"),
    "no shape": lambda c: c.pop("shape"),
    "fractions": lambda c: c.update(shape=[35.0, 150.0]),
    "truths": lambda c: c.update(shape=[True, 150]),
    "one axis": lambda c: c.update(shape=[35 * 150]),
    "transformers": lambda c: c.update(storage_transformers=[{"name": "x"}]),
    "another grid": lambda c: c["chunk_grid"].update(name="rectangular"),
    "other names": lambda c: c["chunk_key_encoding"].update(name="v2"),
    "other separators": lambda c: c["chunk_key_encoding"].update(configuration={"separator": "."}),
    "no chunks": lambda c: c["chunk_grid"]["configuration"].update(chunk_shape=[0, 0]),
    "chunks of a shard": lambda c: sharding(c).update(chunk_shape=[35, 149]),
    "huge chunks": lambda c: cut(c, [2**40, 150]),
    "an index in front": lambda c: sharding(c).update(index_location="start"),
    "an index in gzip": lambda c: sharding(c).update(index_codecs=[{"name": "gzip"}]),
    "no sharding": lambda c: c.update(codecs=sharding(c)["codecs"]),
    "another codec": lambda c: inner(c, "blosc").update(name="numcodecs.pickle"),
    "one more codec": lambda c: sharding(c)["codecs"].append({"name": "gzip"}),
    "no checksums": lambda c: sharding(c)["codecs"].pop(),
    "another compressor": lambda c: inner(c, "blosc")["configuration"].update(cname="lz4"),
    "bits shuffled": lambda c: inner(c, "blosc")["configuration"].update(shuffle="bitshuffle"),
    "big endian": lambda c: inner(c, "bytes")["configuration"].update(endian="big"),
    "no period": lambda c: inner(c, "cnnviz.changes")["configuration"].update(period=0),
    "another period": lambda c: inner(c, "cnnviz.changes")["configuration"].update(period=7),
    "another divisor": lambda c: inner(c, "cnnviz.changes")["configuration"].update(divisor=-1),
    "a list": lambda _: [],
    "nothing": lambda _: {},
    "null": lambda c: c.update(codecs=None),
    "texts": lambda c: c.update(codecs=["blosc"]),
}


@pytest.mark.parametrize("change", EDITS.values(), ids=EDITS)
def test_metadata_that_cnnviz_never_writes(packed, change):
    edit(packed / ARRAY / "zarr.json", change)
    with pytest.raises(RunError, match=ARRAY):
        read_all(packed)


ROOTS = {
    "a later format": (lambda c: c.update(archive=2), "packed in format 2"),
    "a later run": (lambda c: c["manifest"].update(format=99), "format 99"),
    "no format": (lambda c: c.pop("archive"), "damaged"),
    "a format in words": (lambda c: c.update(archive="one"), "damaged"),
    "no manifest": (lambda c: c.update(manifest=None), "damaged"),
    "no state": (lambda c: c.update(state=[1]), "damaged"),
    "no missing": (lambda c: c.update(missing=3), "damaged"),
    "negative": (lambda c: c.update(snapshots=-1), "damaged"),
    "more snapshots": (lambda c: c.update(snapshots=10**12), "steps"),
    "fewer snapshots": (lambda c: c.update(snapshots=100), "damaged"),
    "another type": (lambda c: c["tensors"][1].update(dtype="F64"), ARRAY),
    "an unknown type": (lambda c: c["tensors"][1].update(dtype="object"), "damaged"),
    "another shape": (lambda c: c["tensors"][1].update(shape=[5, 8]), ARRAY),
    "a huge shape": (lambda c: c["tensors"][1].update(shape=[2**50, 2**50]), "damaged"),
    "a large shape": (lambda c: c["tensors"][1].update(shape=[2**36]), ARRAY),
    "a negative shape": (lambda c: c["tensors"][1].update(shape=[-5, -7]), "damaged"),
    "spans that overlap": (lambda c: c["tensors"][1].update(spans=[[0, 100], [50, 150]]), "damaged"),
    "spans that end late": (lambda c: c["tensors"][1].update(spans=[[0, 151]]), "damaged"),
    "no spans": (lambda c: c["tensors"][1].update(spans=[]), "damaged"),
    "one name twice": (lambda c: c["tensors"][1].update(name="fc.bias"), "damaged"),
    "no name": (lambda c: c["tensors"][1].update(name=None), "damaged"),
    "metrics behind the end": (lambda c: c["metrics"].update(x=[0, 10**9]), "metrics/steps"),
    "metrics backwards": (lambda c: c["metrics"].update(x=[5, 3]), "metrics/steps"),
    "more samples": (lambda c: c.update(samples=10**9), "samples"),
    "more examples": (lambda c: c.update(examples=[10**6, 10**6]), "examples"),
    "a list": (lambda _: [], "damaged"),
}


@pytest.mark.parametrize(("change", "words"), ROOTS.values(), ids=ROOTS)
def test_roots_that_cnnviz_never_writes(packed, change, words):
    def at_root(content):
        changed = change(content["attributes"]["cnnviz"])
        if changed is not None:
            content["attributes"]["cnnviz"] = changed

    edit(packed / "zarr.json", at_root)
    with pytest.raises(RunError, match=words):
        read_all(packed)


@pytest.mark.parametrize("text", ["", "{", "null", "[]", '{"attributes": 3}', "[" * 100_000, "\xff"])
def test_roots_that_are_no_json(packed, text):
    (packed / "zarr.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(RunError, match=r"zarr\.json"):
        cnnviz.open_run(packed)


@pytest.mark.parametrize("name", ["steps", "digests", "metrics/values", ARRAY])
def test_every_byte_counts(packed, name):
    """A byte that is another is seen, wherever in a file it is."""
    (path,) = (path for path in (packed / name / "c").rglob("*") if path.is_file())
    good = path.read_bytes()
    for place in {*range(0, len(good), max(1, len(good) // 60)), len(good) - 1}:
        bad = bytearray(good)
        bad[place] ^= 0x10
        path.write_bytes(bad)
        with pytest.raises(RunError, match=name):
            read_all(packed)
    for end in (0, 3, 19, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:end])
        with pytest.raises(RunError, match=name):
            read_all(packed)
    path.unlink()
    with pytest.raises(RunError, match=f"{name}.* is not there"):
        read_all(packed)


def test_arrays_that_are_not_there(packed):
    (packed / ARRAY).rename(packed / "away")
    with pytest.raises(RunError, match=f"{ARRAY} is not there"):
        read_all(packed)


def rewritten(path, change):
    """Write the first chunk anew, with right checksums all over; `change` gets its bytes and those of its entry."""
    content = path.read_bytes()
    count = 1
    index = content[-(16 * count + 4) : -4]
    start, length = struct.unpack("<QQ", index)
    chunk, entry = change(content[start : start + length - 4], [start, length])
    stored = chunk + google_crc32c.value(chunk).to_bytes(4, "little")
    entry = entry or [0, len(stored)]
    index = struct.pack("<QQ", *entry)
    path.write_bytes(stored + index + google_crc32c.value(index).to_bytes(4, "little"))


HEADER = struct.Struct("<BBBBIII")


def with_header(chunk, **fields):
    names = ("version", "versionlz", "flags", "typesize", "nbytes", "blocksize", "cbytes")
    values = dict(zip(names, HEADER.unpack_from(chunk), strict=True)) | fields
    return HEADER.pack(*values.values()) + chunk[HEADER.size :]


CHUNKS = {
    "a size of two gigabytes": lambda chunk, _: (with_header(chunk, nbytes=2**31 - 17), None),
    "a smaller size": lambda chunk, _: (with_header(chunk, nbytes=100), None),
    "another size in the file": lambda chunk, _: (with_header(chunk, cbytes=50), None),
    "another width": lambda chunk, _: (with_header(chunk, typesize=8), None),
    "another compressor": lambda chunk, _: (with_header(chunk, flags=0x21), None),
    "a block of nothing": lambda chunk, _: (with_header(chunk, blocksize=0), None),
    "a huge block": lambda chunk, _: (with_header(chunk, blocksize=2**32 - 1), None),
    "nothing": lambda _, __: (b"", None),
    "half a header": lambda chunk, _: (chunk[:9], None),
    "noise": lambda chunk, _: (chunk[:16] + bytes(len(chunk) - 16), None),
    "a missing chunk": lambda chunk, _: (chunk, [2**64 - 1, 2**64 - 1]),
    "a place behind the end": lambda chunk, entry: (chunk, [entry[1], entry[1]]),
    "a place far away": lambda chunk, entry: (chunk, [2**63, entry[1]]),
    "a length that overflows": lambda chunk, _: (chunk, [0, 2**64 - 2]),
    "a sum that overflows": lambda chunk, _: (chunk, [2**64 - 5, 10]),
}


@pytest.mark.parametrize("change", CHUNKS.values(), ids=CHUNKS)
def test_chunks_with_right_checksums(packed, change):
    rewritten(packed / SHARD, change)
    with pytest.raises(RunError, match=ARRAY):
        read_all(packed)


def test_the_rewriting_itself_is_right(packed):
    good = read_all(packed)["fc.weight"]
    rewritten(packed / SHARD, lambda chunk, _: (with_header(chunk), None))
    assert torch.equal(read_all(packed)["fc.weight"], good)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_only_plain_files_are_read(packed, kind, tmp_path):
    path = packed / SHARD
    path.rename(tmp_path / "elsewhere")
    if kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(RunError, match=ARRAY):
        read_all(packed)


def test_chunks_that_share_their_bytes_take_no_memory(tmp_path):
    """A file that claims the same few bytes for each of many chunks would otherwise become gigabytes."""
    run = Run(DictStore(same(64, zeros=torch.zeros(2**20))))
    pack(run, tmp_path / "a.zarr")
    path = tmp_path / "a.zarr/state/0/c/0/0"
    content = path.read_bytes()
    metadata = json.loads((tmp_path / "a.zarr/state/0/zarr.json").read_text())
    wide = metadata["chunk_grid"]["configuration"]["chunk_shape"][0] // sharding(metadata)["chunk_shape"][0]
    index = np.frombuffer(content[-(16 * wide + 4) : -4], "<u8").reshape(wide, 2)
    first = content[int(index[0, 0]) : int(index[0].sum())]
    text = np.tile(np.array([0, len(first)], "<u8"), (wide, 1)).tobytes()
    path.write_bytes(first + text + google_crc32c.value(text).to_bytes(4, "little"))
    with pytest.raises(RunError, match="leads out of it"):
        read_all(tmp_path / "a.zarr")


def test_a_small_archive_takes_little_memory_whatever_it_says(packed):
    """Shape, chunks and header agree on a gigabyte, and all checksums are right."""

    def grow(content):
        content["shape"] = [2**22, 150]
        cut(content, [2**21, 150])

    edit(packed / ARRAY / "zarr.json", grow)
    edit(packed / "zarr.json", lambda c: c["attributes"]["cnnviz"]["tensors"][1].update(shape=[2**22]))
    rewritten(packed / SHARD, lambda chunk, _: (with_header(chunk, nbytes=2**21 * 150 * 4), None))
    tracemalloc.start()
    with pytest.raises(RunError, match=f"{ARRAY}.*can't hold|is not there"):
        read_all(packed)
    assert tracemalloc.get_traced_memory()[1] < 30e6
    tracemalloc.stop()


def test_steps_that_fall(tmp_path):
    store = DictStore(walk((2, 2), 5))
    store.steps = lambda: np.array([0, 1, 3, 2, 4])
    pack(Run(store), tmp_path / "a.zarr", verify=False)
    with pytest.raises(RunError, match="steps is damaged"):
        cnnviz.open_run(tmp_path / "a.zarr")
