"""Ways to let a run's JSON say something else; each is like those in mutations.py."""

import copy
import json

EXTREMES = [
    0, -1, 1, 2**31, 2**31 - 1, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), 10**9, 10**30, 1.5,
    1e308, float("nan"), float("inf"), -float("inf"), True, False, None, "", "x" * 100_000, "0", "\ud800", "a\0b",
    "../../x", "/etc/passwd", "<script>", [], {}, [[]], [None], {"": {}}, [0] * 10_000, ["x"] * 1000, [10**7],
    list(range(70)),
]  # fmt: skip
RAW = [
    "[" * 100_000, "[" * 900 + "]" * 900, "[" * 150 + "]" * 150, '{"a":' * 100_000, "9" * 10_000, "-" + "9" * 4000,
    "1e999999", "1" + "0" * 400, "NaN", "\"\\ud800\"", "\"\\u0000\"", "\"\\x\"", "'a'", "",
]  # fmt: skip
_MARK = "\ue000raw\ue000"


def _places(value, path=()):
    yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(item, (*path, key))


def change_json(content, rng):
    """Return JSON text of `content` with one value replaced, taken out, doubled or named otherwise."""
    content = copy.deepcopy(content)
    place = rng.choice(list(_places(content)))
    raw = rng.choice(RAW)
    if not place:
        return rng.choice([json.dumps(rng.choice(EXTREMES)), raw])
    holder = content
    for key in place[:-1]:
        holder = holder[key]
    how = rng.choice(["extreme", "extreme", "raw", "delete", "double", "rename", "other"])
    if how == "extreme":
        holder[place[-1]] = rng.choice(EXTREMES)
    elif how == "raw":
        holder[place[-1]] = _MARK
    elif how == "delete":
        del holder[place[-1]]
    elif how == "other":
        holder[place[-1]] = _value(content, rng.choice(list(_places(content))))
    elif isinstance(holder, list):
        holder.insert(0, holder[place[-1]])
    elif how == "rename":
        holder[rng.choice(["", "x", "../x", "\ud800", *holder])] = holder.pop(place[-1])
    else:  # the same key twice, which json.dumps can't
        twice = json.dumps(place[-1])
        text = json.dumps(content)
        return text.replace(f"{twice}: ", f"{twice}: {json.dumps(rng.choice(EXTREMES))}, {twice}: ", 1)
    return json.dumps(content).replace(json.dumps(_MARK), raw)


def _value(content, place):
    for key in place:
        content = content[key]
    return copy.deepcopy(content)


def json_values(run, rng):
    """Change what run.json, or the note in writer.lock, says."""
    name = rng.choice(["run.json"] * 4 + ["writer.lock"])
    path = run / name
    text = path.read_bytes().strip(b" \0")
    content = (
        json.loads(text) if text else {"missing": [[1, 2, 2]], "reason": "r", "ending": {"status": "failed"}}
    )
    path.write_bytes(change_json(content, rng).encode("utf-8", "surrogatepass"))
    return name, "json"


_NETWORKS = ["convnet"] * 6 + [
    "resnet18", "densenet121", "vit_b_32", "maxvit_t", "mobilenet_v2", "swin_t", "inception_v3", "googlenet",
    "os:system", "builtins:exec", "convnet ", "", "..", "torch.nn:Linear",
]  # fmt: skip
_ARGUMENTS = [
    "block_config", "layers", "width_per_group", "norm_layer", "inverted_residual_setting", "weights", "progress",
    "self", "name", "dropout", "growth_rate", "replace_stride_with_dilation",
]  # fmt: skip


def network(run, rng):
    """Ask for another network, or for one with other arguments."""
    path = run / "run.json"
    content = json.loads(path.read_bytes())
    description = content["description"]
    name = rng.choice(_NETWORKS)
    arguments = description["arguments"]
    if name != "convnet" and rng.random() < 0.8:
        arguments = {key: arguments[key] for key in ("channels", "classes", "image_size")}
    for _ in range(rng.choice([1, 1, 2])):
        key = rng.choice([*arguments, *_ARGUMENTS])
        arguments[key] = rng.choice(
            [*EXTREMES, 28, 224, [1, 10**8, 10**8, 1], [[1, 8, 10**9, 1]], [10**9, 10**9]]
        )
    content["description"] = {**description, "model": name, "arguments": arguments}
    path.write_text(json.dumps(content))
    return "run.json", f"network {name} {str(arguments)[:200]}"
