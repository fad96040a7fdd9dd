"""Make the embedded sample `mnist-mini` from the whole of MNIST, the same bytes every time.

    python benchmarks/make_mnist_mini.py --data-root DATA [--out cnnviz/data/mnist_mini]

DATA is a torchvision root: it holds MNIST/raw/. The sample is chosen by a rule, without chance: training takes
the first 600 digits of each class among the 60,000 training images, validation the first 100 of each class among
test images 0-4999, test the first 100 of each class among test images 5000-9999. All keep the order that they have
in their source file. The files are IDX, gzipped at level 9 with no name and no time in the header.
"""

from __future__ import annotations

import argparse
import gzip
import io
from pathlib import Path

import numpy as np

from cnnviz.data.idx import read_idx

PARTS = {  # part: source file, range of images there, digits a class
    "train": ("train", slice(0, 60000), 600),
    "validation": ("t10k", slice(0, 5000), 100),
    "test": ("t10k", slice(5000, 10000), 100),
}


def first_of_each_class(labels: np.ndarray, count: int) -> np.ndarray:
    """Return the positions of the first `count` digits of each class, in rising order."""
    return np.sort(np.concatenate([np.flatnonzero(labels == digit)[:count] for digit in range(10)]))


def idx_bytes(array: np.ndarray) -> bytes:
    """Return `array` (uint8) as an IDX file, gzipped reproducibly."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    packed = io.BytesIO()
    # GzipFile and not gzip.compress, whose header tells the operating system, differently by Python version.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=packed, mtime=0) as file:
        file.write(header + array.tobytes())
    return packed.getvalue()


def main() -> None:
    """Write the six files and print their sizes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data-root", type=Path, required=True, help="the folder that holds MNIST/raw")
    parser.add_argument("--out", type=Path, default=Path("cnnviz/data/mnist_mini"))
    options = parser.parse_args()
    raw, total = options.data_root / "MNIST" / "raw", 0
    for part, (source, where, count) in PARTS.items():
        images = read_idx(raw / f"{source}-images-idx3-ubyte", dimensions=3).numpy()[where]
        labels = read_idx(raw / f"{source}-labels-idx1-ubyte", dimensions=1).numpy()[where]
        chosen = first_of_each_class(labels, count)
        for what, array in (("images-idx3", images[chosen]), ("labels-idx1", labels[chosen])):
            path = options.out / f"{part}-{what}-ubyte.gz"
            total += path.write_bytes(idx_bytes(array))
            print(f"{path}  {array.shape}  {path.stat().st_size:,} bytes")
    print(f"total {total:,} bytes")


if __name__ == "__main__":
    main()
