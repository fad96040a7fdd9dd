"""The network inside its wrappers: its names, its memory, and nothing of what is put around it or its parts."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributed, nn

import cnnviz
from cnnviz.errors import ModelError
from cnnviz.recording.bare import bare_module, bare_names, is_built, records_here, state_tensors, unwrapped


def compiled(model):
    return torch.compile(model, backend="eager")


@pytest.fixture
def alone(tmp_path):
    """A distributed training of one process."""
    store = distributed.FileStore(str(tmp_path / "store"), 1)
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


class Block(nn.Module):
    """A layer with a function of its own; `module` is just what its user calls it."""

    def __init__(self, a, b):
        super().__init__()
        self.module = nn.Conv2d(a, b, 3, padding=1)
        self.norm = nn.BatchNorm2d(b)

    def forward(self, images):
        return torch.relu(self.norm(self.module(images)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = Block(1, 2)
        self.body = nn.Sequential(Block(2, 2), Block(2, 2))
        self.head = nn.Linear(2 * 64, 3)
        self.other_head = nn.Linear(2 * 64, 3)
        self.other_head.weight = self.head.weight

    def forward(self, images):
        hidden = self.body(self.stem(images)).flatten(1)
        return self.head(hidden) + self.other_head(hidden)


def parallel_inside(wrap):
    def change(net):
        net.stem = wrap(net.stem)
        net.body[1].module = wrap(net.body[1].module)
        return net

    return change


def in_layers(wrap):
    """Wrap parts, what holds these parts, and all of it."""

    def change(net):
        net.body[0].module = wrap(net.body[0].module)
        net.body[0] = wrap(net.body[0])
        net.body = wrap(net.body)
        net.head = wrap(net.head)
        return wrap(net)

    return change


ddp = nn.parallel.DistributedDataParallel

WRAPPERS = {
    "bare": lambda net: net,
    "compiled": compiled,
    "parallel": nn.DataParallel,
    "distributed": ddp,
    "distributed, then compiled": lambda net: compiled(ddp(net)),
    "compiled, then distributed": lambda net: ddp(compiled(net)),
    "parallel in parallel": lambda net: nn.DataParallel(nn.DataParallel(net)),
    "compiled inside": parallel_inside(compiled),
    "parallel inside": parallel_inside(nn.DataParallel),
    "distributed inside": parallel_inside(ddp),
    "compiled at every level": in_layers(compiled),
    "parallel at every level": in_layers(nn.DataParallel),
    "both at every level": in_layers(lambda module: compiled(nn.DataParallel(compiled(module)))),
    "compiled inside of distributed": lambda net: ddp(in_layers(compiled)(net)),
}


def wrappers_of(model):
    kinds = (nn.DataParallel, ddp)
    return [m for m in model.modules() if isinstance(m, kinds) or type(m).__name__ == "OptimizedModule"]


@pytest.fixture(params=WRAPPERS)
def wrapped(request, alone):
    """A network, its own state by its own names before anything was put around it, and it wrapped."""
    torch.manual_seed(0)
    net = Net()
    state = net.state_dict()
    model = WRAPPERS[request.param](net)
    assert bool(wrappers_of(model)) == (request.param != "bare")
    return net, state, model


def test_the_network_is_found(wrapped):
    net, _, model = wrapped
    assert bare_module(model) is net
    assert bare_module(net) is net


def test_names_and_memory_are_those_of_the_bare_network(wrapped):
    _, state, model = wrapped
    found = state_tensors(model)
    assert list(found) == list(state)
    for name, tensor in found.items():
        assert tensor.data_ptr() == state[name].data_ptr()
        assert (tensor.shape, tensor.stride(), tensor.dtype) == (
            state[name].shape,
            state[name].stride(),
            state[name].dtype,
        )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7)
    assert (found["head.weight"] == 7).all()  # no copy: what is trained on is seen
    assert found["head.weight"].data_ptr() == found["other_head.weight"].data_ptr()


def test_an_unwrapped_network_is_one_of_its_own(wrapped):
    net, state, model = wrapped
    images = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        expected = copy.deepcopy(net).eval()(images) if not wrappers_of(net) else None
    modules, parameters = list(model.modules()), [(id(p), p.clone()) for p in model.parameters()]
    result = unwrapped(model)
    assert type(result) is Net
    assert wrappers_of(result) == []
    assert list(result.state_dict()) == list(state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in result.state_dict().items())
    assert result.head.weight is result.other_head.weight
    with torch.no_grad():
        expected = net.eval()(images) if expected is None else expected
        assert torch.equal(copy.deepcopy(result).eval()(images), expected)
    if result is not net:  # a copy, as wrappers were taken out of it
        for parameter in result.parameters():
            nn.init.constant_(parameter, 3)
        assert not {id(p) for p in result.parameters()} & {i for i, _ in parameters}
    else:
        assert not wrappers_of(net)
    assert [id(module) for module in model.modules()] == [id(module) for module in modules]
    for (number, before), parameter in zip(parameters, model.parameters(), strict=True):
        assert id(parameter) == number
        assert torch.equal(parameter, before)


def test_a_run_of_a_wrapped_network_is_that_of_the_bare_one(wrapped, tmp_path):
    net, state, model = wrapped
    samples = (torch.rand(2, 1, 8, 8), torch.tensor([0, 1]))
    with cnnviz.Recorder(tmp_path / "bare", copy.deepcopy(unwrapped(model)), samples=samples) as recorder:
        recorder.record(0)
    with cnnviz.Recorder(tmp_path / "wrapped", model, samples=samples) as recorder:
        recorder.record(0)
        with torch.no_grad():
            net.get_parameter("other_head.bias").add_(1)
        recorder.record(100)
    bare, run = (cnnviz.open_run(tmp_path / name, model=model) for name in ("bare", "wrapped"))
    assert run.layers == bare.layers
    names = [layer.name for layer in run.layers]
    assert names[:3] == ["stem.module", "stem.norm", "stem.relu"]
    assert "body.1" in names
    assert run.shapes == bare.shapes
    assert run.manifest.parameters == bare.manifest.parameters
    assert run.manifest.class_name == "Net"
    assert run.first.digest == bare.first.digest
    assert set(run.last.state) == set(state)
    assert all(torch.equal(run.last.state[name], tensor) for name, tensor in state.items())
    rebuilt = run.last.model()
    assert type(rebuilt) is Net
    assert torch.equal(rebuilt.other_head.bias, net.other_head.bias)


# --- names that only look like those of wrappers


class Legit(nn.Module):
    """Calls its parts what the wrappers call theirs."""

    def __init__(self):
        super().__init__()
        self._orig_mod = nn.Linear(2, 2)
        self.module = nn.Linear(2, 2)
        self.weight = nn.Parameter(torch.ones(3))
        self.bias = nn.Parameter(torch.ones(3))


class Lonely(nn.Module):
    """Has nothing but a part of that name."""

    def __init__(self, name):
        super().__init__()
        self.add_module(name, nn.Linear(2, 2))


@pytest.mark.parametrize(
    "make", [Legit, lambda: Lonely("_orig_mod"), lambda: Lonely("module"), lambda: Lonely("module_2")]
)
def test_modules_that_are_called_like_wrappers_stay(make):
    compiled(nn.Linear(1, 1))  # so that the real ones are known
    for model in (make(), nn.Sequential(make()), nn.ModuleDict({"module": make(), "_orig_mod": make()})):
        assert bare_module(model) is model
        assert unwrapped(model) is model
        names = list(model.state_dict())
        assert bare_names(model, names) == names
        assert list(state_tensors(model)) == names
        for wrap in (compiled, nn.DataParallel, lambda model: compiled(nn.DataParallel(model))):
            assert bare_module(wrap(model)) is model
            inside = nn.Sequential(wrap(model))
            assert list(state_tensors(inside)) == [f"0.{name}" for name in names]
            assert list(unwrapped(inside).state_dict()) == [f"0.{name}" for name in names]


def test_names_of_layers_and_of_what_only_begins_like_one():
    model = nn.Module()
    model.a = compiled(nn.Sequential(nn.DataParallel(nn.Linear(1, 1))))
    model.ab = nn.Linear(1, 1)
    names = {
        "a": "a", "a._orig_mod": "a", "a._orig_mod.0": "a.0", "a._orig_mod.0.module": "a.0",
        "a._orig_mod.0.module.weight": "a.0.weight", "a._orig_mod.0.modules": "a.0.modules",
        "a._orig_mod_2": "a._orig_mod_2", "ab._orig_mod.x": "ab._orig_mod.x", "ab.weight": "ab.weight", "": "",
    }  # fmt: skip
    assert bare_names(model, names) == list(names.values())
    assert bare_names(model, iter(["a.0", "ab"])) == ["a.0", "ab"]


class WithMore(nn.DataParallel):
    """A user's own wrapper, which has a parameter of its own: as one of its network it would be lost."""

    def __init__(self, module):
        super().__init__(module)
        self.weight = nn.Parameter(torch.ones(5))


def test_a_wrapper_with_a_state_of_its_own_keeps_it(tmp_path):
    for model in (WithMore(nn.Linear(2, 2)), nn.Sequential(WithMore(nn.Linear(2, 2)))):
        assert bare_module(model) is model
        assert list(state_tensors(model)) == list(model.state_dict())
    with cnnviz.Recorder(tmp_path / "r", model) as recorder:
        recorder.record(0)
    state = cnnviz.open_run(tmp_path / "r").last.state
    assert state["0.weight"].shape == (5,)
    assert state["0.module.weight"].shape == (2, 2)


# --- any tree of modules


NAMES = ["a", "module", "_orig_mod", "_orig_mod_2", "0"]
WRAPS = {"": lambda m: m, "c": compiled, "p": nn.DataParallel, "cp": lambda m: compiled(nn.DataParallel(m)),
         "pc": lambda m: nn.DataParallel(compiled(m))}  # fmt: skip
TREES = st.recursive(
    st.tuples(st.sampled_from(["", "w"]), st.sampled_from(sorted(WRAPS)), st.just({})),
    lambda inner: st.tuples(
        st.sampled_from(["", "w"]),
        st.sampled_from(sorted(WRAPS)),
        st.dictionaries(st.sampled_from(NAMES), inner | st.just("again"), max_size=3),
    ),
    max_leaves=6,
)


class Node(nn.Module):
    def forward(self, x):
        return x


def grow(tree, wrap, made):
    """Return the module of `tree`; with `wrap` its parts in their wrappers. "again" is the one that was made last."""
    own, wraps, children = tree
    node = Node()
    if own:
        node.weight = nn.Parameter(torch.full((2,), float(len(made))))
        node.register_buffer("_orig_mod_buffer", torch.full((1,), -float(len(made))))
    for name, child in children.items():
        if child == "again" and made:
            node.add_module(name, made[-1])
        elif child != "again":
            node.add_module(name, grow(child, wrap, made))
    made.append(WRAPS[wraps](node) if wrap else node)
    return made[-1]


@given(TREES)
@settings(max_examples=50, derandomize=True, deadline=None)
def test_any_tree_of_wrapped_modules_against_the_same_tree_bare(tree):
    bare, wrapped = grow(tree, False, []), grow(tree, True, [])
    expected, found = bare.state_dict(), state_tensors(wrapped)
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    memory = {tensor.data_ptr() for tensor in wrapped.state_dict().values()}
    assert {tensor.data_ptr() for tensor in found.values()} == memory
    names = [name for name, _ in bare_module(wrapped).named_modules(remove_duplicate=False)]
    own = [name for name, _ in bare.named_modules(remove_duplicate=False)]
    assert set(bare_names(bare_module(wrapped), names)) == set(own)
    result = unwrapped(wrapped)
    assert wrappers_of(result) == []
    assert list(result.state_dict()) == list(expected)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in result.state_dict().items())
    # What is one module or tensor under two names stays one.
    assert len(list(result.modules())) == len(list(bare.modules()))
    assert len(list(result.parameters())) == len(list(bare.parameters()))
    assert [name for name, _ in result.named_modules()] == [name for name, _ in bare.named_modules()]


@pytest.mark.parametrize("wrap", [compiled, nn.DataParallel, lambda m: nn.DataParallel(compiled(m))])
def test_a_module_that_is_shared_in_its_wrapper(wrap):
    shared = wrap(nn.Linear(2, 2))
    model = nn.Sequential(shared, nn.Sequential(shared), shared)
    found = state_tensors(model)
    assert list(found) == ["0.weight", "0.bias", "1.0.weight", "1.0.bias", "2.weight", "2.bias"]
    assert len({tensor.data_ptr() for tensor in found.values()}) == 2
    result = unwrapped(model)
    assert result[0] is result[1][0] is result[2]
    assert type(result[0]) is nn.Linear
    both = nn.ModuleDict({"plain": bare_module(shared), "wrapped": shared})
    assert list(state_tensors(both)) == ["plain.weight", "plain.bias", "wrapped.weight", "wrapped.bias"]
    result = unwrapped(both)
    assert result["plain"] is result["wrapped"]


# --- what is no tensor, or none with values


class Extra(nn.Linear):
    def __init__(self, extra):
        super().__init__(2, 2)
        self.extra = extra

    def get_extra_state(self):
        return self.extra

    def set_extra_state(self, state):
        self.extra = state


@pytest.mark.parametrize("wrap", [lambda m: m, compiled, lambda m: nn.Sequential(nn.DataParallel(m))])
def test_an_extra_state(wrap, tmp_path):
    for extra in ({"a": 1}, None, "text", 3):
        with pytest.raises(ModelError, match="_extra_state', which is no tensor"):
            state_tensors(wrap(Extra(extra)))
    model = wrap(Extra(torch.arange(3)))
    (name,) = {name for name in state_tensors(model) if name.endswith("_extra_state")}
    assert name in ("_extra_state", "0._extra_state")
    with cnnviz.Recorder(tmp_path / "r", model) as recorder:
        recorder.record(0)
    assert cnnviz.open_run(tmp_path / "r").last.state[name].tolist() == [0, 1, 2]


@pytest.mark.parametrize("background", [False, True])
def test_tensors_without_values_cannot_be_recorded(background, tmp_path):
    model = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1, device="meta"))
    with pytest.raises(ModelError, match=r"'1\.weight', which has no values: it is on the meta device"):
        state_tensors(model)
    recorder = cnnviz.Recorder(tmp_path / "r", model, background=background)
    with pytest.raises(ModelError, match="it is on the meta device"):
        recorder.record(0)
    model[1].to_empty(device="cpu")
    nn.init.ones_(model[1].weight)
    recorder.record(0)
    recorder.close()
    assert cnnviz.open_run(tmp_path / "r").last.state["1.weight"].item() == 1


def test_what_is_built():
    assert is_built([])
    assert is_built(nn.Linear(1, 1).parameters())
    assert not is_built(nn.Sequential(nn.Linear(1, 1), nn.LazyLinear(1)).parameters())
    assert not is_built(nn.LazyBatchNorm2d(affine=False).buffers())


# --- which process records


def test_the_process_that_records(monkeypatch):
    for name in ("RANK", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    assert records_here()
    monkeypatch.setenv("RANK", "1")  # of another launcher, who knows what for
    assert records_here()
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    assert not records_here()
    monkeypatch.setenv("RANK", "0")
    assert records_here()


def test_the_process_group_knows_better(alone, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("RANK", "1")
    assert records_here()
    monkeypatch.setattr(distributed, "get_rank", lambda: 1)
    assert not records_here()
    with cnnviz.Recorder(tmp_path / "r", nn.Linear(1, 1)) as recorder:
        recorder.record(0, {"a": 1}, snapshot=True)
        recorder.record_examples(0, [0], [True], [0.1])
        recorder.flush()
    assert not (tmp_path / "r").exists()
