"""IDX files: written by hand, read back; every way in which one can be damaged."""

import gzip
import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnviz.data.idx import read_idx
from cnnviz.errors import DataError

LABELS = b"\x00\x00\x08\x01" + b"\x00\x00\x00\x03" + b"\x07\x02\x01"
IMAGES = (
    b"\x00\x00\x08\x03"
    + b"\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x03"
    + bytes([0, 1, 2, 253, 254, 255])
)
ZIPPED = gzip.compress(LABELS, mtime=0)


def test_labels_and_images_written_by_hand(tmp_path):
    (tmp_path / "labels").write_bytes(LABELS)
    (tmp_path / "images").write_bytes(IMAGES)
    labels = read_idx(tmp_path / "labels", dimensions=1)
    assert labels.dtype == torch.uint8
    assert labels.tolist() == [7, 2, 1]
    assert read_idx(tmp_path / "images", dimensions=3).tolist() == [[[0, 1, 2]], [[253, 254, 255]]]


def test_gzipped(tmp_path):
    (tmp_path / "labels.gz").write_bytes(gzip.compress(LABELS))
    assert read_idx(tmp_path / "labels.gz", dimensions=1).tolist() == [7, 2, 1]


@settings(deadline=None)  # it writes files
@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=4), seed=st.integers(0, 99), zipped=st.booleans()
)
def test_round_trip(tmp_path_factory, shape, seed, zipped):
    values = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    written = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape) + values.numpy().tobytes()
    path = tmp_path_factory.mktemp("idx") / ("file.gz" if zipped else "file")
    path.write_bytes(gzip.compress(written) if zipped else written)
    assert torch.equal(read_idx(path, dimensions=len(shape)), values)


def test_longer_than_a_chunk(tmp_path):
    count = (1 << 20) * 2 + 5
    (tmp_path / "big").write_bytes(
        b"\x00\x00\x08\x01" + struct.pack(">I", count) + bytes(count - 1) + b"\x09"
    )
    big = read_idx(tmp_path / "big", dimensions=1)
    assert len(big) == count
    assert big[-1] == 9


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("labels", LABELS[:-1], r"promises 3 bytes .* holds only 2"),
        ("labels", LABELS + b"\x00", r"promises 3 bytes .* holds more"),
        ("labels", b"", "starts with nothing, not with 00000801"),
        ("labels", b"\x00\x00\x0d\x01" + LABELS[4:], "starts with 00000d01, not with 00000801"),
        ("labels", IMAGES, "starts with 00000803, not with 00000801"),
        ("labels", LABELS[:6], "ends within its header"),
        ("labels", b"\x00\x00\x08\x01" + b"\x00\x00\x00\x00", "promises no bytes"),
        ("labels", b"\x00\x00\x08\x01\xff\xff\xff\xff\x01", "promises 4294967295 bytes .* only 1"),
        ("labels.gz", LABELS, "Not a gzipped file"),
        ("labels.gz", ZIPPED[:-9], "is damaged"),
        ("labels.gz", ZIPPED[:-8] + bytes(8), "is damaged: CRC check failed"),
        ("labels.gz", ZIPPED[:10] + b"\xff" + ZIPPED[11:], "is damaged"),
        ("labels.gz", gzip.compress(LABELS + bytes(1 << 22), mtime=0), "holds more"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)}-bytes",
)
def test_a_damaged_file_is_named_with_the_way_out(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        read_idx(tmp_path / name, dimensions=1)
    assert str(tmp_path / name) in str(error.value)
    assert "delete it, so that it is downloaded again" in str(error.value)


def test_a_lying_header_costs_no_memory(tmp_path):
    (tmp_path / "images").write_bytes(b"\x00\x00\x08\x03" + b"\xff" * 12 + b"\x00" * 10)
    with pytest.raises(DataError, match="only 10"):
        read_idx(tmp_path / "images", dimensions=3)


def test_an_absent_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(DataError, match=r"absent can't be read: No such file.*; call someone"):
        read_idx(tmp_path / "absent", dimensions=1, way_out="call someone")
    with pytest.raises(DataError, match="can't be read: Is a directory"):
        read_idx(tmp_path, dimensions=1)
