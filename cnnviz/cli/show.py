"""`cnnviz show`: all that one run tells of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnviz.cli.console import new_table, status_style, stdout_console
from cnnviz.cli.facts import details
from cnnviz.cli.formats import local_time, number, percent, size
from cnnviz.cli.locating import find_run

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

# How many classes the card names; --json names them all.
_NAMED = 20


def show(
    run: Annotated[str, typer.Argument(help="A run's folder, or its name under ./runs.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object instead of a card.")] = False,
) -> None:
    """Show all that one run tells of itself."""
    facts = details(find_run(run))
    if as_json:
        import json

        print(json.dumps(facts, indent=2))
        return
    console = stdout_console()
    console.print(_title(facts))
    console.print(_card(facts))
    by_layer = _metrics_by_layer(facts)
    console.print()
    console.print(_metrics(facts, {metric for column in by_layer.values() for metric in column.values()}))
    console.print()
    console.print(_layers(facts, by_layer))


def _title(facts: dict[str, Any]) -> Text:
    from rich.text import Text

    detail = f" {facts['detail']}" if facts["detail"] else ""
    return Text.assemble(
        (facts["name"], "bold"), "  ", (facts["status"], status_style(facts["status"])), detail
    )


def _card(facts: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _card_rows(facts):
        table.add_row(name, value)
    return table


def _card_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    classes = facts["classes"]
    more = ", …" if len(classes) > _NAMED else ""
    network = facts["network"]
    kind = "" if facts["class_name"] == network else f" ({facts['class_name']})"
    shown = {"model", "model_arguments", "data"}
    options = {name: value for name, value in facts["config"].items() if name not in shown}
    span = f" (steps {facts['first_step']:,} to {facts['last_step']:,})" if facts["snapshots"] else ""
    return [
        ("network", f"{network}{kind}, {facts['parameters']:,} parameters"),
        ("arguments", _pairs(facts["arguments"])),
        ("data", f"{facts['data'] or 'not named'}, {_samples(facts)}"),
        ("classes", f"{len(classes)}: {', '.join(classes[:_NAMED])}{more}" if classes else "not named"),
        ("options", _pairs(options)),
        ("snapshots", f"{facts['snapshots']:,}{span}, {size(facts['bytes'])}"),
        *([("missing", facts["missing"])] if facts["missing"] else []),
        *([("examples", f"{facts['examples']:,}, what each did at every pass")] if facts["examples"] else []),
        ("layers from", facts["layers_from"]),
        ("created", local_time(facts["created"])),
        ("software", _pairs(facts["software"], " ")),
        ("folder", facts["path"]),
    ]


def _samples(facts: dict[str, Any]) -> str:
    from cnnviz.checking.report import counted

    if facts["samples"] or not facts["samples_recorded"]:
        return f"{counted(facts['samples'], 'sample')} kept"
    were = "was" if facts["samples_recorded"] == 1 else "were"
    return f"{counted(facts['samples_recorded'], 'sample')} {were} recorded, and are gone"


def _pairs(values: dict[str, Any], between: str = "=") -> str:
    import json

    texts = (v if isinstance(v, str) else json.dumps(v) for v in values.values())
    return ", ".join(f"{name}{between}{text}" for name, text in zip(values, texts, strict=True)) or "none"


def _metrics_by_layer(facts: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return what is measured of each layer ("gradient_norm"), as a dict from layer to the metric's name."""
    layers = {layer["name"] for layer in facts["layers"]}
    found: dict[str, dict[str, str]] = {}
    for metric in facts["metrics"]:
        what, _, layer = metric.partition("/")
        if layer in layers:
            found.setdefault(what, {})[layer] = metric
    return found


def _metrics(facts: dict[str, Any], in_layers: set[str]) -> Table:
    table = new_table()
    table.add_column("metric", overflow="fold")
    table.add_column("last value", justify="right", no_wrap=True)
    for name, value in facts["metrics"].items():
        if name not in in_layers:
            table.add_row(name, percent(value) if name.split("/")[-1] == "error" else number(value))
    return table


def _layers(facts: dict[str, Any], by_layer: dict[str, dict[str, str]]) -> Table:
    table = new_table()
    table.add_column("layer", overflow="fold")
    table.add_column("kind", overflow="fold")
    table.add_column("output", no_wrap=True)
    for what in by_layer:
        table.add_column(what.replace("_", " "), justify="right")
    for layer in facts["layers"]:
        shape = " × ".join(str(n) for n in layer["shape"]) if layer["shape"] else "–"
        metrics = [column.get(layer["name"]) for column in by_layer.values()]
        values = [number(facts["metrics"][metric]) if metric else "" for metric in metrics]
        table.add_row(layer["name"], layer["kind"], shape, *values)
    return table
