"""Ways to let a run's safetensors files say something else; each is like those in mutations.py."""

import json
import random
import struct

from hostile_json import EXTREMES, change_json

_DTYPES = [
    "BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F4", "F6_E2M3", "F6_E3M2", "I16", "U16", "F16", "BF16", "I32",
    "U32", "F32", "F64", "I64", "U64", "C64", "F33", "", "f32", "Q4",
]  # fmt: skip


def files(run):
    """Return the names of the run's files."""
    return sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())


def tensor_files(run):
    """Return the names of the run's safetensors files."""
    return [name for name in files(run) if name.endswith(".safetensors")]


def read_parts(path):
    """Return the header of a safetensors file, parsed, and the bytes behind it."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def write_parts(path, header, payload, length=None):
    """Write a safetensors file; `header` is its text, `length` what it says of its length."""
    text = header.encode("utf-8", "surrogatepass")
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", (len(text) if length is None else length) % 2**64) + text + payload)


def header_values(run, rng):
    """Change anything in a header."""
    name = rng.choice(tensor_files(run))
    header, payload = read_parts(run / name)
    length = (
        rng.choice([0, 1, 100_000_000, 100_000_001, 2**62, 2**63, 2**64 - 1]) if rng.random() < 0.1 else None
    )
    write_parts(run / name, change_json(header, rng), payload, length)
    return name, "header"


def header_shapes(run, rng):
    """Let tensors have other types, shapes and places, some of which fit together."""
    name = rng.choice(tensor_files(run))
    header, payload = read_parts(run / name)
    tensors = [key for key in header if key != "__metadata__"]
    if not tensors:
        header["x"] = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
        tensors = ["x"]
    for key in rng.sample(tensors, min(len(tensors), rng.choice([1, 1, 2]))):
        _reshape(header[key], len(payload), rng)
    write_parts(run / name, json.dumps(header), payload)
    return name, "shapes"


def _reshape(entry, size, rng):
    huge = [2**31, 2**32, 2**62, 2**63 - 1, 2**64 - 1, 10**12]
    start, end = entry["data_offsets"]
    how = rng.choice(["dtype", "dtype", "flat", "ones", "zero", "huge", "product", "offsets", "swap"])
    if how == "dtype":
        entry["dtype"] = rng.choice(_DTYPES)
    elif how == "flat":
        entry["dtype"], entry["shape"] = "U8", [end - start]
    elif how == "ones":
        entry["shape"] += [1] * rng.choice([1, 2, 30, 70, 3000])
    elif how == "swap":
        entry["shape"] = entry["shape"][::-1]
    elif how == "zero":
        entry["shape"] = rng.choice(
            [[0, rng.choice(huge)], [rng.choice(huge), 0], [0] * 5, [0, 2**40, 2**40]]
        )
        if rng.random() < 0.5:
            entry["data_offsets"] = [start, start]
    elif how == "huge":
        entry["shape"] = [rng.choice(huge) for _ in range(rng.choice([1, 2, 4]))]
        entry["data_offsets"] = [start, rng.choice([end, *huge])]
    elif how == "product":  # 2**64 of something is nothing, to who does not look
        entry["shape"] = rng.choice([[2**32, 2**32], [2**62, 4], [2**63, 2], [2**32 + 1, 2**32 - 1]])
    else:
        entry["data_offsets"] = [
            rng.choice([0, start, end, size, 2**63, -1]),
            rng.choice([0, start, end, size, 2**64]),
        ]


def elsewhere(run, rng):
    """Let a snapshot look for its tensors in other places."""
    name = rng.choice([name for name in tensor_files(run) if name.startswith("snapshots/")])
    header, payload = read_parts(run / name)
    metadata = header.setdefault("__metadata__", {})
    places = json.loads(
        metadata.get("cnnviz.elsewhere", '{"shared/00000001.safetensors": {"fc1.bias": "fc1.bias"}}')
    )
    part = rng.choice(list(places))
    bad = [
        "/etc/passwd", "../sibling/shared/00000001.safetensors", "shared/../../sibling/shared/00000001.safetensors",
        "snapshots/00000000.safetensors", "shared/00000009.safetensors", "shared/00000001.safetensors\n", "", "shared",
        "linked/00000007-0.safetensors", "linked/00000007-0.safetensors\0", "resume.safetensors", "\ud800",
        f"{run}/shared/00000001.safetensors", "file:///etc/passwd", "shared/١٢٣٤٥٦٧٨.safetensors",
    ]  # fmt: skip
    how = rng.choice(["part", "part", "stored", "many", "own", "type"])
    if how == "part":
        places[rng.choice(bad)] = places.pop(part)
    elif how == "stored":
        places[part] = {key: rng.choice([*map(str, EXTREMES), "fc1.weight"]) for key in places[part]}
    elif how == "many":
        stored = next(iter(places[part].values()))
        places[part] |= {f"x{i}": stored for i in range(3000)}
    elif how == "own":
        places[part] |= {key: next(iter(places[part].values())) for key in header}
    else:
        places[part] = rng.choice(EXTREMES)
    metadata["cnnviz.elsewhere"] = json.dumps(places)
    write_parts(run / name, json.dumps(header), payload)
    return name, f"elsewhere {how}"


def every_snapshot(run, rng):
    """Let a tensor be of another type or shape in all snapshots, or have extreme values in all."""
    names = [name for name in tensor_files(run) if name.startswith(("snapshots", "shared", "linked"))]
    tensor = rng.choice(["conv1.weight", "conv1.bias", "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"])
    seed = rng.randrange(10**6)
    how = rng.choice(["header", "header", "values"])
    value = rng.choice([float("nan"), float("inf"), -3.4e38, 3.4e38, 1e-45, 1e20])
    for name in names:
        header, payload = read_parts(run / name)
        entry = header.get(tensor) or header.get(f"net.{tensor}")
        if entry is None:
            continue
        start, end = entry["data_offsets"]
        if how == "values":
            some = [struct.pack("<f", rng.choice([value, value, -value])) for _ in range((end - start) // 4)]
            payload = payload[:start] + b"".join(some) + payload[end:]
        else:
            _same_size(entry, random.Random(seed))
        write_parts(run / name, json.dumps(header), payload)
    return " ".join(names), f"{tensor} {how}"


def _same_size(entry, rng):
    start, end = entry["data_offsets"]
    kinds = {"U8": 1, "F8_E4M3": 1, "I16": 2, "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F64": 8, "C64": 8}
    dtype = rng.choice([*kinds, *["I32"] * 5])
    count = (end - start) // kinds[dtype]
    shape = entry["shape"]
    entry["dtype"] = dtype
    entry["shape"] = (
        shape
        if kinds[dtype] == 4 and rng.random() < 0.5
        else rng.choice([[count], [1, count], [count, 1, 1, 1], [1] * 10 + [count], shape[::-1], [0, *shape]])
    )


def samples(run, rng):
    """Let the samples be others: of another shape, type or number, or with labels of no class."""
    path = run / "samples.safetensors"
    dtype, width = rng.choice(
        [("U8", 1), ("F32", 4), ("F16", 2), ("F64", 8), ("BOOL", 1), ("I64", 8), ("C64", 8)]
    )
    shape = [
        rng.choice([0, 1, 1, 2, 5]),
        rng.choice([0, 1, 1, 2, 3, 64]),
        *rng.choice([(8, 8), (1, 1), (0, 0), (8, 1)]),
    ]
    shape[2:] = rng.choice([shape[2:], [1, 3], [200, 100], [2, 2]])
    count = shape[0] * shape[1] * shape[2] * shape[3] * width
    if rng.random() < 0.2:
        shape.append(1)
    labels = b"".join(
        rng.choice([0, 2, 3, -1, -100, 2**62]).to_bytes(8, "little", signed=True) for _ in range(shape[0])
    )
    filling = rng.choice([b"\0", b"\xff", b"\x7f", b"\x80"])
    header = {
        "images": {"dtype": dtype, "shape": shape, "data_offsets": [0, count]},
        "labels": {"dtype": "I64", "shape": [shape[0]], "data_offsets": [count, count + len(labels)]},
    }
    write_parts(path, json.dumps(header), filling * count + labels)
    return "samples.safetensors", f"{dtype} {shape}"
