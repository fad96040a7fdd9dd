"""Making a database anew from what can be read of a damaged one."""

from __future__ import annotations

import shutil
import tempfile
import time
from bisect import bisect_left
from pathlib import Path
from typing import TYPE_CHECKING

from cnnviz.checking.ending import ENDING_LOST, came_to_its_end
from cnnviz.checking.report import counted
from cnnviz.checking.sqlite import Remains, change, remains
from cnnviz.errors import RunError
from cnnviz.recording.database import EXAMPLES_STEP, THINNED, Transaction
from cnnviz.recording.examples import decode_examples
from cnnviz.recording.layout import write_whole
from cnnviz.recording.lock import read_note

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cnnviz.checking.aside import Aside
    from cnnviz.recording.layout import Layout

_CHUNK = 1 << 20


def rebuild_database(layout: Layout, aside: Aside) -> str:
    """Put a new database in the place of a damaged one, which goes aside, and return in words what it holds.

    Its index holds the entries that could be read; snapshots that are not among them are orphans from then on.

    Raises:
        RunError: If it can't be written.
        OSError: If it can't be written.
    """
    with tempfile.TemporaryDirectory(prefix="cnnviz-") as name:
        new, copy, fresh = (Path(name) / part for part in ("new.db", "copy.db", "fresh.db"))
        found = _Found(layout)
        change(fresh, lambda transaction: None)
        old = [path for path in layout.database_files if path.is_file() and not path.is_symlink()]
        if layout.database in old:
            for path in old:
                shutil.copyfile(path, copy.with_name(path.name.replace(layout.database.name, copy.name, 1)))
            with remains(copy, fresh) as rest:
                change(new, lambda transaction: found.fill(transaction, rest))
        else:
            change(new, found.begin)
        for path in old:
            aside.copy(path)
            if path != layout.database:  # before the new one is there, of which it knows nothing
                path.unlink()
        write_whole(layout.database, _chunks(new), durable=True)
    return f"{found.words()}; {found.ending}" if found.ending else found.words()


class _Found:
    """Fills a database, and counts."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.metrics = 0
        self.entries = 0
        self.ending = ""

    def words(self) -> str:
        """Say what could be read."""
        if not self.metrics and not self.entries:
            return "nothing of the old one could be read: all metrics are gone, and what each example did"
        entries = counted(self.entries, "snapshot")
        if not self.metrics:
            return f"all metrics are gone; the entries of {entries} could be read"
        return f"{counted(self.metrics, 'value')} of metrics and the entries of {entries} could be read"

    def fill(self, transaction: Transaction, rest: Remains) -> None:
        for name, step, value in rest.metrics():
            transaction.metrics(step, {name: value}, replace=False)
            self.metrics += 1
        for entry in rest.entries():
            transaction.entry(entry)
            self.entries += 1
        state = rest.state()
        codes = _decodable(rest.examples())
        if codes:
            last = state.get(EXAMPLES_STEP, "")
            transaction.examples(codes, int(last) if last.isdecimal() else -1)
        state.pop(EXAMPLES_STEP, None)
        transaction.state(state)
        self.begin(transaction, state)

    def begin(self, transaction: Transaction, state: Mapping[str, str] | None = None) -> None:
        """Let readers who know the old index look at all of the new one, and say how the run ended if that is lost."""
        transaction.state({THINNED: str(time.time_ns() // 1_000_000)})
        if "status" in (state or {}) or "status" in read_note(self._layout.lock)[1]:
            return
        if came_to_its_end(self._layout):
            transaction.state({"status": "finished", "detail": ""})
            self.ending = f"by {self._layout.checkpoint.name} the run is finished"
        else:
            transaction.state({"detail": ENDING_LOST})
            self.ending = "how the run ended is lost, too, so that it counts as interrupted"


def _decodable(passes: dict[int, bytes]) -> dict[int, bytes]:
    """Return the passes over the examples up to the first that is absent or can't be decoded."""
    whole: list[bytes] = []
    while len(whole) in passes:
        whole.append(passes[len(whole)])
    count = bisect_left(range(len(whole)), 1, key=lambda last: not _decodes(whole[: last + 1]))
    return dict(enumerate(whole[:count]))


def _decodes(codes: list[bytes]) -> bool:
    try:
        decode_examples(codes)
    except RunError:
        return False
    return True


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
