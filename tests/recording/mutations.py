"""Ways to damage a run's folder or to make it hostile: blind ones, and ones that know the formats.

Each takes the run's folder and a random generator, changes one file or some, and returns their names in the folder,
with blanks between, and what was done to them.
"""

import os
import shutil

from hostile_databases import bomb, encoding, pages, rows, schema, sidecars
from hostile_json import json_values, network
from hostile_tensors import elsewhere, every_snapshot, files, header_shapes, header_values, samples

# --- blind


def _positions(content, rng):
    # Headers lie at the front: half of all damage goes there.
    return rng.randrange(min(len(content), 600) if rng.random() < 0.5 else len(content))


def flip_bits(content, rng):
    for _ in range(rng.choice([1, 1, 2, 8, 50])):
        content[_positions(content, rng)] ^= 1 << rng.randrange(8)
    return content


def random_bytes(content, rng):
    start = _positions(content, rng)
    length = rng.choice([1, 2, 4, 8, 64, 1000])
    content[start : start + length] = rng.randbytes(len(content[start : start + length]))
    return content


def truncate(content, rng):
    return content[: rng.choice([0, 1, 7, 8, 9, len(content) - 1, rng.randrange(len(content))])]


def extend(content, rng):
    return content + rng.choice([b"\0", b"\0" * 5000, b"}", rng.randbytes(100), content])


def swap_blocks(content, rng):
    size = rng.choice([1, 8, 64, 512, 4096])
    a, b = (rng.randrange(0, len(content)) // size * size for _ in range(2))
    content[a : a + size], content[b : b + size] = content[b : b + size], content[a : a + size]
    return content


def zero(content, rng):
    start = _positions(content, rng)
    length = rng.choice([1, 8, 100, 4096, len(content)])
    content[start : start + length] = bytes(len(content[start : start + length]))
    return content


def magic_numbers(content, rng):
    start = _positions(content, rng)
    width, order = rng.choice([1, 2, 4, 8]), rng.choice(["little", "big"])
    number = rng.choice(
        [0, 1, 2 ** (8 * width) - 1, 2 ** (8 * width - 1), 2 ** (8 * width - 1) - 1, 127 % 2**width]
    )
    content[start : start + width] = number.to_bytes(width, order)
    return content


def move(content, rng):
    start, length = _positions(content, rng), rng.choice([1, 3, 8, 100])
    if rng.random() < 0.5:
        del content[start : start + length]
    else:
        content[start:start] = content[start : start + length]
    return content


def blind(change):
    """Return the mutation that does `change` to the bytes of a file."""

    def mutate(run, rng):
        name = rng.choice([name for name in files(run) if (run / name).stat().st_size])
        path = run / name
        path.write_bytes(change(bytearray(path.read_bytes()), rng))
        return name, change.__name__

    return mutate


# --- what lies in a file's place

LINKS = ["/etc/passwd", "/dev/zero", "/dev/tty", "/proc/self/mem", "nowhere", "."]


def in_its_place(run, rng):
    """Put something else than a file in a file's place, or nothing."""
    name = rng.choice(files(run))
    path = run / name
    sibling = os.path.relpath(run.parent / "sibling" / name, path.parent)
    how = rng.choice([*LINKS, "sibling", "self", "fifo", "folder", "nothing", "hidden"])
    moved = run.parent / "moved"
    if how == "hidden":
        path.chmod(0)
        return name, how
    path.rename(moved)
    if how == "fifo":
        os.mkfifo(path)
    elif how == "folder":
        path.mkdir()
        (path / "x").write_text("x")
    elif how != "nothing":
        path.symlink_to({"sibling": sibling, "self": path.name}.get(how, how))
    moved.unlink()
    return name, how


def folders(run, rng):
    """Put something else in the place of a folder."""
    name = rng.choice(["snapshots", "shared", "linked"])
    how = rng.choice(["sibling", "self", "file", "nothing", "empty", "inside"])
    if how == "inside":  # the files are the run's own, but who follows links may be led anywhere
        (run / name).rename(run / "hidden")
    else:
        shutil.rmtree(run / name)
    if how == "file":
        (run / name).write_bytes(b"x" * 100)
    elif how == "empty":
        (run / name).mkdir()
    elif how != "nothing":
        (run / name).symlink_to({"sibling": f"../sibling/{name}", "self": name, "inside": "hidden"}[how])
    return name, how


KINDS = {
    **{
        change.__name__: blind(change)
        for change in (flip_bits, random_bytes, truncate, extend, swap_blocks, zero, magic_numbers, move)
    },
    **{
        change.__name__: change
        for change in (
            json_values, network, header_values, header_shapes, every_snapshot, samples, elsewhere,
            pages, schema, rows, encoding, bomb, sidecars, in_its_place, folders,
        )
    },
}  # fmt: skip
"""All mutations by name."""
