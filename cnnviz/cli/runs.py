"""`cnnviz runs`: the runs under a folder, the newest first."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnviz.cli.console import new_table, status_style, stdout_console
from cnnviz.cli.facts import ERRORS, summary_or_problem, unreadable
from cnnviz.cli.formats import local_time, percent
from cnnviz.cli.locating import RUNS, find_root, lost_manifest

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

# From this width on everything has a column of its own.
_WIDE = 110


def runs(
    root: Annotated[Path, typer.Argument(help="The folder that holds the runs.")] = RUNS,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list instead of a table.")] = False,
) -> None:
    """List the runs under a folder, the newest first."""
    found = _find(root)
    if as_json:
        import json

        print(json.dumps(found, indent=2))
    elif not found:
        print(f"No runs under {root} yet; train one with: cnnviz train")
    else:
        console = stdout_console()
        console.print(_table(found, narrow=console.width < _WIDE))
        for run in found:
            if "problem" in run:
                console.print(f"{run['name']} can't be read: {run['problem']}", style="red")


def _find(root: Path) -> list[dict[str, Any]]:
    from cnnviz.recording.run import run_paths

    root = find_root(root)
    found = [summary_or_problem(path) for path in run_paths(root)]
    damaged = ((path, lost_manifest(path)) for path in sorted(root.iterdir()))
    found += [unreadable(path, problem) for path, problem in damaged if problem]
    return sorted(found, key=lambda run: str(run.get("created", "")), reverse=True)


def _table(found: list[dict[str, Any]], *, narrow: bool) -> Table:
    """Return a row a run; in a narrow terminal the text under name and status, in place of columns of its own."""
    table = new_table()
    for title in ("name", "status") if narrow else ("name", "status", "network", "data", "created"):
        table.add_column(title, overflow="fold")
    for title in ("snapshots", *(error.split("/")[0] for error in ERRORS)):
        table.add_column(title, justify="right", no_wrap=True)
    for run in found:
        texts = _texts(run)
        cells = [_stacked(texts[0], *texts[2:4]), _stacked(texts[1], texts[4])] if narrow else texts
        table.add_row(*cells, *_numbers(run))
    return table


def _texts(run: dict[str, Any]) -> list[Text]:
    """Return name, status, network, data and time; empty where the run can't be read."""
    from rich.text import Text

    name, status = Text(run["name"], "bold"), Text(run["status"], status_style(run["status"]))
    rest = [
        run.get("network", ""),
        run.get("data") or "",
        local_time(run["created"]) if "created" in run else "",
    ]
    return [name, status, *(Text(text) for text in rest)]


def _numbers(run: dict[str, Any]) -> list[str]:
    if "problem" in run:
        return []
    return [f"{run['snapshots']:,}", *(percent(run[error.replace("/", "_")]) for error in ERRORS)]


def _stacked(first: Text, *below: Text) -> Text:
    from rich.text import Text

    second = " on ".join(text.plain for text in below if text.plain)
    return Text.assemble(first, "\n", (second, "dim")) if second else first
