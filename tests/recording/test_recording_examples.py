"""What each training example did: packed by the writer, read back as passes, and what follows from them."""

import math
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cnnviz.errors import ConfigError, RunError
from cnnviz.recording import visits as module
from cnnviz.recording.examples import Examples, decode_examples
from cnnviz.recording.visits import Visits

NAN = math.nan
visits_strategy = st.lists(
    st.lists(
        st.tuples(st.integers(0, 20), st.booleans(), st.floats(width=32) | st.floats(0, 30, width=32)),
        max_size=12,
    ),
    max_size=12,
)


def level(loss, right):
    """Return the loss that is stored for `loss`, by the definition."""
    top = 62 if right else 63
    if math.isnan(loss) or loss == math.inf:
        number = top
    elif loss <= 0:
        number = 0
    else:
        number = min(max(round(5 * (math.log2(loss) + 8)), 0), top)
    return 2 ** (number / 5 - 8)


class SlowVisits:
    """A dictionary from each example to what it did."""

    def __init__(self):
        self.seen = {}

    def add(self, batch):
        for index, right, loss in batch:
            self.seen.setdefault(index, []).append((right, loss))

    def arrays(self):
        n = max(self.seen, default=-1) + 1
        passes = max(map(len, self.seen.values()), default=0)
        correct, loss = np.full((passes, n), -1), np.full((passes, n), NAN)
        for index, did in self.seen.items():
            for number, (right, value) in enumerate(did):
                correct[number, index] = right
                loss[number, index] = level(value, right)
        return correct, loss


def columns(batch):
    """Return a batch of triples as the three arguments of `add`."""
    return tuple(map(list, zip(*batch, strict=True))) if batch else ([], [], [])


def decoded(blobs):
    assert sorted(blobs) == list(range(len(blobs)))
    return decode_examples([blobs[number] for number in range(len(blobs))])


def assert_same(examples, correct, loss, *, exact=True):
    assert examples.correct.dtype == np.int8
    assert examples.loss.dtype == np.float32
    assert np.array_equal(examples.correct, correct)
    # Between two levels, roundings of the logarithm may differ.
    assert np.allclose(examples.loss, loss, rtol=1e-6 if exact else 0.16, equal_nan=True)


def recorded(*batches):
    visits = Visits()
    for step, batch in enumerate(batches):
        visits.add(step, *columns(batch))
    return decoded(visits.flush())


# --- the writer


def test_a_visit_is_kept():
    examples = recorded([(2, True, 1.0), (0, False, 2.0)])
    assert len(examples) == 3
    assert_same(examples, [[0, -1, 1]], [[2.0, NAN, 1.0]])


def test_the_bytes():
    visits = Visits()
    visits.add(0, [0, 1, 2], [True, False, True], [1.0, 1.0, 0.0])
    # 41 right at level 40, 104 wrong at level 40, 1 right at level 0: 7 bits each, the first lowest
    code = 41 | 104 << 7 | 1 << 14
    assert visits.flush() == {0: code.to_bytes(3, "little")}
    visits.add(1, [2, 7], [False, False], [NAN, 1.0])
    assert visits.flush() == {
        0: (code | 104 << 49).to_bytes(7, "little"),
        1: (127 << 14).to_bytes(7, "little"),  # as long as the examples are many by then
    }
    assert visits.flush() == {}


@pytest.mark.parametrize("n", [1, 6, 7, 8, 9, 15, 16, 17, 50, 1001])
def test_seven_bits_an_example(n):
    visits = Visits()
    visits.add(0, range(n), torch.arange(n) % 2 == 0, torch.arange(n) / n)
    (blob,) = visits.flush().values()
    assert len(blob) == math.ceil(7 * n / 8)
    assert len(decode_examples([blob])) == n


def test_losses_are_known_within_seven_percent():
    losses = np.geomspace(2**-8, 2**4.4, 5000)
    for right in (True, False):
        kept = recorded([(i, right, loss) for i, loss in enumerate(losses)]).loss[0]
        assert (np.abs(np.log2(kept / losses)) <= 0.1001).all()
        assert np.abs(kept / losses - 1).max() < 0.072
    edges = [0.0, -0.0, -1.0, -math.inf, 1e-30, 1e-3, 24.0, 1e30, math.inf, NAN]
    low, high = [2**-8] * 6, [2**4.4] * 4
    assert_same(recorded([(i, True, loss) for i, loss in enumerate(edges)]), [[1] * 10], [low + high])
    high = [2**4.6] * 4
    assert_same(recorded([(i, False, loss) for i, loss in enumerate(edges)]), [[0] * 10], [low + high])


def test_the_pth_visit_is_of_pass_p():
    examples = recorded(
        [(0, True, 1.0), (1, False, 1.0), (0, False, 2.0)],  # twice in a batch
        [(1, True, 0.5), (0, True, 4.0)],
    )
    assert_same(examples, [[1, 0], [0, 1], [1, -1]], [[1.0, 1.0], [2.0, 0.5], [4.0, NAN]])


@pytest.mark.parametrize("waiting", [1, 5, 20_000])
def test_against_the_slow_twin(waiting, monkeypatch):
    monkeypatch.setattr(module, "_WAITING", waiting)

    @given(visits_strategy, st.sets(st.integers(0, 12)), st.integers(0, 12))
    def check(batches, flushed, killed):
        visits, twin, disk = Visits(), SlowVisits(), {}
        for step, batch in enumerate(batches):
            visits.add(step, *columns(batch))
            twin.add(batch)
            assert visits.last_step == step
            if step in flushed:
                disk |= visits.flush()
                assert_same(decoded(disk), *twin.arrays(), exact=False)
                if step == killed:  # and the resumed training repeats two steps
                    visits = Visits()
                    visits.restore(disk, step)
                    assert visits.last_step == step
                    visits.add(max(step - 1, 0), [99], [True], [1.0])
                    visits.add(step, [99], [True], [1.0])
        disk |= visits.flush()
        assert_same(decoded(disk), *twin.arrays(), exact=False)
        assert visits.flush() == {}

    check()


@given(visits_strategy, st.lists(st.booleans(), min_size=12, max_size=12))
def test_with_recall_passes_are_let_go_and_all_is_the_same(batches, flushes):
    disk = {}
    visits, twin = Visits(disk.__getitem__), SlowVisits()
    for step, (batch, flush) in enumerate(zip(batches, flushes, strict=False)):
        visits.add(step, *columns(batch))
        twin.add(batch)
        if flush:
            disk |= visits.flush()
    disk |= visits.flush()
    assert_same(decoded(disk), *twin.arrays(), exact=False)


def test_complete_passes_take_no_memory_with_recall():
    disk, asked = {}, []

    def recall(number):
        asked.append(number)
        return disk[number]

    visits = Visits(recall)
    for epoch in range(9):
        for batch in range(4):  # in order: after the first batch all examples so far were visited
            visits.add(epoch * 4 + batch, range(batch * 5, batch * 5 + 5), [True] * 5, [1.0] * 5)
            disk |= visits.flush()
    assert asked == []
    assert sorted(visits._passes) == [7, 8]
    restored = Visits(recall)
    restored.restore(disk, 35)
    assert sorted(restored._passes) == [8]
    for late in (visits, restored):
        asked.clear()
        late.add(36, [30, 30, 2], [False, True, True], [1.0, 2.0, 1.0])
        again = disk | late.flush()
        assert asked == [0, 1]
        examples = decoded(again)
        assert examples.correct[:3, 30].tolist() == [0, 1, -1]
        assert (examples.correct[:9, :20] == 1).all()
        assert examples.visits().tolist() == [9, 9, 10, *[9] * 17, *[0] * 10, 2]


def test_without_recall_nothing_is_let_go():
    visits = Visits()
    for epoch in range(6):
        visits.add(epoch, range(5), [True] * 5, [1.0] * 5)
        assert list(visits.flush()) == [epoch]
    visits.add(6, [9], [True], [1.0])
    assert list(visits.flush()) == [0]


def test_only_what_changed_is_flushed():
    visits = Visits()
    visits.add(0, [0, 1, 2], [True] * 3, [1.0] * 3)
    visits.add(1, [0], [True], [1.0])
    assert list(visits.flush()) == [0, 1]
    visits.add(2, [1], [True], [1.0])
    blobs = visits.flush()
    assert list(blobs) == [1]
    visits.flush_again([1, 77])
    assert visits.flush() == blobs
    assert visits.flush() == {}


def test_many_visits_are_taken_up_on_the_way(monkeypatch):
    taken = []
    monkeypatch.setattr(Visits, "_take_up", lambda self: taken.append(self._waiting_visits))
    visits = Visits()
    for step in range(4):
        visits.add(step, range(6000), torch.ones(6000), torch.ones(6000))
    assert taken == [24_000]


def test_one_example_again_and_again():
    visits = Visits()
    visits.add(0, [0] * 30_000, [True, False] * 15_000, [1.0] * 30_000)
    examples = decoded(visits.flush())
    assert examples.correct.shape == (30_000, 1)
    assert examples.forgetting_events().tolist() == [15_000]


def test_there_is_an_end_to_passes(monkeypatch):
    monkeypatch.setattr(module, "_MOST_CODES", 40)
    visits = Visits()
    visits.add(0, [9, *[0] * 30], [True] * 31, [1.0] * 31)
    blobs = visits.flush()
    assert list(blobs) == [0, 1, 2, 3]  # of ten examples
    visits.add(1, [0, 1], [False, False], [1.0, 1.0])
    assert list(visits.flush()) == [0]
    again = Visits()
    again.restore(blobs, 0)
    again.add(1, [0, 9], [False, False], [1.0, 1.0])
    assert list(again.flush()) == [1]
    monkeypatch.setattr(module, "_MOST_PASSES", 2)
    assert decoded(blobs).visits().tolist() == [4, *[0] * 8, 1]
    assert len(recorded([(0, True, 1.0)] * 5).correct) == 2


@pytest.mark.parametrize(
    "kind",
    [
        list,
        tuple,
        np.array,
        torch.tensor,
        lambda values: torch.tensor(values)[None].expand(2, -1)[0],
        lambda values: torch.tensor([v for v in values for _ in range(2)])[::2],
        lambda values: [torch.tensor(v) for v in values],
    ],
)
def test_any_kind_of_numbers(kind):
    visits = Visits()
    visits.add(0, kind([3, 0]), kind([True, False]), kind([1.0, 2.0]))
    visits.add(
        1, torch.tensor([1], dtype=torch.int32), np.array([1]), torch.tensor([0.5], dtype=torch.bfloat16)
    )
    visits.add(2, np.array([2], np.uint16), torch.tensor([0.0]), np.array([1e300]))
    visits.add(3, torch.tensor([0], dtype=torch.uint8), [1], torch.tensor([4], dtype=torch.int16))
    assert_same(
        decoded(visits.flush()), [[0, 1, 0, 1], [1, -1, -1, -1]], [[2, 0.5, 2**4.6, 1], [4, NAN, NAN, NAN]]
    )


def test_what_was_added_is_a_copy():
    indices, correct, loss = torch.tensor([0, 1]), torch.tensor([True, False]), torch.tensor([1.0, 2.0])
    rows = loss.numpy()
    visits = Visits()
    visits.add(0, indices, correct, loss)
    visits.add(1, indices, correct, rows)
    indices.fill_(5)
    correct.fill_(True)
    loss.fill_(9.0)
    assert_same(decoded(visits.flush()), [[1, 0]] * 2, [[1.0, 2.0]] * 2)


def test_a_loss_with_a_gradient_keeps_no_graph():
    weight = torch.ones(2, requires_grad=True)
    visits = Visits()
    visits.add(0, [0, 1], [True, True], weight * 2)
    assert not visits._waiting[0][2].requires_grad
    assert_same(decoded(visits.flush()), [[1, 1]], [[2, 2]])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_nothing_waits_for_an_accelerator():
    visits = Visits()
    indices, correct = torch.tensor([1, 0]), torch.tensor([True, False], device="cuda")
    loss = torch.tensor([1.0, 2.0], device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        visits.add(0, indices, correct, loss)
        visits.add(1, indices.tolist(), correct, loss.double())
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert_same(decoded(visits.flush()), [[0, 1]] * 2, [[2.0, 1.0]] * 2)


def test_empty_batches():
    visits = Visits()
    assert visits.last_step == -1
    assert visits.flush() == {}
    visits.add(4, [], [], [])
    assert visits.last_step == 4
    assert visits.flush() == {}


@pytest.mark.parametrize(
    ("batch", "problem"),
    [
        (([0, 1], [True], [1.0, 2.0]), "one entry an example each; they have 2, 1, 2"),
        (([0], [True], [1.0, 2.0]), "they have 1, 1, 2"),
        (
            ([0], [True], 1.0),
            r"loss must be one number for each example, as a loss with reduction='none' gives",
        ),
        (
            (torch.tensor([0]), torch.tensor([True]), torch.tensor(1.0)),
            r"of shape \(b,\), not \(\) of torch.float32",
        ),
        (([[0]], [True], [1.0]), r"indices must be one number for each example: .* not \(1, 1\)"),
        (([0], [[True]], [1.0]), r"correct must be one number .* not \(1, 1\)"),
        (([0], [True], [1j]), "loss must be one number .* of torch.complex128"),
        (([0.0], [True], [1.0]), "indices must be whole numbers, not torch.float64"),
        (([True], [True], [1.0]), "indices must be whole numbers, not torch.bool"),
        ((["a"], [True], [1.0]), "indices must be numbers, one for each example"),
        (([0], [None], [1.0]), "correct must be numbers, one for each example"),
        (([0, 1], [True, True], [[1.0], [1.0, 2.0]]), "loss must be numbers, one for each example"),
        (([2**70], [True], [1.0]), "indices must be numbers"),
    ],
)
def test_batches_that_do_not_fit(batch, problem):
    visits = Visits()
    visits.add(3, [0], [True], [1.0])
    with pytest.raises(ConfigError, match=problem):
        visits.add(4, *batch)
    assert visits.last_step == 3
    assert_same(decoded(visits.flush()), [[1]], [[1.0]])


@pytest.mark.parametrize("index", [-1, 2**25, 2**62])
def test_indices_that_are_none(index):
    visits = Visits()
    visits.add(0, [0, index], [True, True], [1.0, 1.0])
    with pytest.raises(
        ConfigError, match=f"the index {index} is not that of a training example: 0 to 33,554,431"
    ):
        visits.flush()
    visits.add(1, [0], [False], [1.0])  # and it goes on
    assert_same(decoded(visits.flush()), [[0]], [[1.0]])


def test_steps_never_fall():
    visits = Visits()
    for step in (3, 3, 5):
        visits.add(step, [0], [True], [1.0])
    with pytest.raises(ConfigError, match="examples at step 4 can't follow those at step 5"):
        visits.add(4, [0], [True], [1.0])
    assert len(decoded(visits.flush()).correct) == 3


def test_a_resumed_training_repeats_nothing():
    first = Visits()
    for step in range(4):
        first.add(step, [step % 2], [True], [1.0])
    blobs = first.flush()
    resumed = Visits()
    resumed.restore(blobs, first.last_step)
    assert resumed.flush() == {}
    for step in (2, 3, 4):  # from a checkpoint at step 1
        resumed.add(step, [step % 2], [False], [2.0])
    blobs |= resumed.flush()
    assert_same(decoded(blobs), [[1, 1], [1, 1], [0, -1]], [[1, 1], [1, 1], [2, NAN]])
    fresh = Visits()
    fresh.restore({}, -1)
    fresh.add(0, [0], [True], [1.0])
    assert len(fresh.flush()) == 1


# --- the reader


def test_nothing_recorded():
    examples = decode_examples([])
    assert len(examples) == 0
    assert examples.correct.shape == examples.loss.shape == (0, 0)
    for name in ("visits", "learned", "forgetting_events", "confidence", "variability", "correctness"):
        assert getattr(examples, name)().shape == (0,)


def test_known_values():
    # five examples: always right; forgotten twice; never right; right once, then not seen; never visited
    correct = np.array([[1, 1, 0, 1, -1], [1, 0, 0, -1, -1], [1, 1, 0, -1, -1], [1, 0, 0, -1, -1]], np.int8)
    p = np.array([[0.5, 0.8, 0.1, 0.6, NAN], [0.5, 0.2, 0.1, NAN, NAN]] * 2)
    p[2:, 3] = NAN
    examples = Examples(correct, -np.log(p).astype(np.float32))
    assert examples.visits().tolist() == [4, 4, 4, 1, 0]
    assert examples.forgetting_events().tolist() == [0, 2, 0, 0, 0]
    assert examples.forgetting_events().dtype == np.int64
    assert examples.learned().tolist() == [True, True, False, True, False]
    assert np.allclose(examples.correctness(), [1, 0.5, 0, 1, NAN], equal_nan=True)
    assert np.allclose(examples.confidence(), [0.5, 0.5, 0.1, 0.6, NAN], equal_nan=True)
    assert np.allclose(examples.variability(), [0, 0.3, 0, 0, NAN], equal_nan=True, atol=1e-7)


@given(visits_strategy)
def test_what_follows_against_the_slow_twin(batches):
    examples, twin = recorded(*batches), SlowVisits()
    for batch in batches:
        twin.add(batch)
    for index in range(len(examples)):
        did = twin.seen.get(index, [])
        rights = [right for right, _ in did]
        forgotten = sum(before and not after for before, after in pairwise(rights))
        assert examples.forgetting_events()[index] == forgotten
        assert examples.learned()[index] == any(rights)
        assert examples.visits()[index] == len(did)
        found = [examples.correctness()[index], examples.confidence()[index], examples.variability()[index]]
        if not did:
            assert np.isnan(found).all()
            continue
        own = np.exp(-examples.loss[: len(did), index].astype(float))
        assert np.allclose(found, [np.mean(rights), np.mean(own), np.std(own)])


def test_a_million_examples_take_a_few_times_their_bytes():
    visits = Visits()
    for epoch in range(3):
        visits.add(epoch, torch.arange(1_000_000), torch.ones(1_000_000), torch.ones(1_000_000))
    blobs = list(visits.flush().values())
    assert [len(blob) for blob in blobs] == [875_000] * 3
    tracemalloc.start()
    try:
        examples = decode_examples(blobs)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert examples.correct.shape == (3, 1_000_000)
    assert peak < 20 * sum(map(len, blobs))


@pytest.mark.parametrize(
    "blobs",
    [
        [b""],
        [b"\0"],
        [b"\x01", b""],
        [b"\x80"],  # the bit behind one code
        [b"\x81"],
        [b"\x01\x00\x20"],  # behind three codes
        [bytes(7) + b"\x80"],
        [b"\x01", b"\x80\x00"],
        [(1 << 7).to_bytes(2, "little"), b"\x01"],  # visited in pass 1 and not in pass 0
        [b"\x01", (1 << 7).to_bytes(2, "little")],
        ["text"],
        [None],
        [5],
    ],
)
def test_damaged_bytes(blobs):
    with pytest.raises(RunError, match="what the training examples did is damaged"):
        decode_examples(blobs)
    with pytest.raises(RunError, match="what the training examples did is damaged"):
        Visits().restore(dict(enumerate(blobs)), 5)


def test_a_missing_pass():
    for numbers in ([1], [0, 2], [-1, 0]):
        with pytest.raises(RunError, match="a pass is missing"):
            Visits().restore(dict.fromkeys(numbers, b"\x01"), 5)


def test_a_few_bytes_do_not_fill_the_memory():
    long = bytes(99_999) + b"\x01"
    begun = b"\x01" + bytes(99_999)
    assert decode_examples([bytes([1]) + long[1:], b"\x01"]).correct.shape[0] == 2
    tracemalloc.start()
    try:
        with pytest.raises(RunError, match="too different lengths"):
            decode_examples([bytes([1]) + long[1:], *[b"\x01"] * 100_000])
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert decode_examples([begun] * 3).correct.shape == (3, 1)


@given(st.lists(st.binary(max_size=30), max_size=4))
def test_any_bytes_are_examples_or_a_run_error(blobs):
    try:
        examples = decode_examples(blobs)
    except RunError:
        return
    assert set(np.unique(examples.correct)) <= {-1, 0, 1}
    assert np.array_equal(np.isnan(examples.loss), examples.correct == -1)
    visits = Visits()
    visits.restore(dict(enumerate(blobs)), 0)
    visits.flush_again(range(len(blobs)))
    assert_same(decoded(visits.flush()), examples.correct, examples.loss)
