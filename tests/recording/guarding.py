"""What reading must never do, noticed: start programs, reach out, open files of others, take memory without end."""

import re
import sys
from contextlib import contextmanager
from pathlib import Path


class Guard:
    """Notes what reading must not do: start programs, reach out, write or open files outside the run."""

    def __init__(self):
        self.root = None
        self.seen = []
        sys.addaudithook(self._look)

    @contextmanager
    def watching(self, parent):
        self.root, self.seen = str(parent), []
        try:
            yield self.seen
        finally:
            self.root = None

    def _look(self, event, arguments):
        if self.root is None:
            return
        if event.startswith(("subprocess.", "os.system", "os.exec", "os.posix_spawn", "socket.", "pickle.")):
            self.seen.append(f"{event} {arguments}")
        elif event == "open" and isinstance(arguments[0], str):
            name, mode, flags = arguments
            writes = bool(set(mode or "") & set("wax+")) or bool((flags or 0) & 3)
            if not self._may_open(name) or writes:
                self.seen.append(f"open {name} {mode} {flags}")

    def _may_open(self, name):
        here = str(Path(__file__).parents[2])
        return name.startswith((self.root, sys.prefix, sys.base_prefix, here, "/proc/", "/sys/"))


def peak_megabytes(*, reset=False):
    """Return the most memory that this process took since the last reset; 0 where the system doesn't tell."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        (line,) = re.findall(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    except (OSError, ValueError):
        return 0
    return int(line) / 1024
