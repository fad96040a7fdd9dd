"""Which options the user gave, other than those left at their defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer


def given_options(ctx: typer.Context) -> set[str]:
    """Return the names of the parameters that the command line gives."""
    sources = {name: ctx.get_parameter_source(name) for name in ctx.params}
    return {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
