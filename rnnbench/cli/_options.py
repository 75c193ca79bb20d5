"""Options that several commands share."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rnnbench.plugins import Registry

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass
class Diagnostics:
    """The context's object: what was asked about errors, still known after the command has failed."""

    traceback: bool = False


def _remember(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    ctx.ensure_object(Diagnostics).traceback |= value


traceback_option = click.option(
    "--traceback",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_remember,
    envvar="RNNBENCH_TRACEBACK",
    help="Show the Python traceback of an error.",
)

plugin_option = click.option(
    "-p",
    "--plugin",
    "plugins",
    multiple=True,
    metavar="PLUGIN",
    help="Load a plugin: FILE.py or a module; no:NAME leaves one out. Repeatable.",
)

json_flag = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")

json_option = click.option(
    "--json", "json_target", metavar="FILE|-", help="Write the rows as JSON; - is stdout, and nothing else goes there."
)

export_option = click.option(
    "--export",
    "exports",
    multiple=True,
    metavar="FILE",
    help="Write rows to FILE.csv, or the whole report to FILE.md. Repeatable.",
)

results_option = click.option(
    "--results", default="results/runs", show_default=True, metavar="DIR", help="Folder of the stored runs."
)


def load_plugins(requests: tuple[str, ...]) -> "Registry":
    """Everything registered; each plugin that had to be left out is told on stderr."""
    from rnnbench.cli._console import warn
    from rnnbench.plugins import configure

    registry = configure(requests)
    for problem in registry.problems:
        warn(f"plugin {problem.plugin}: {problem.message}")
    return registry


class Items(click.ParamType[Any]):
    """Comma-separated values, each of `kind`; with `multiple=True`, `flatten` joins the repetitions."""

    def __init__(self, kind: type[str] | type[int] = str) -> None:
        self.kind = kind
        self.name = "names" if kind is str else "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        items = [item.strip() for item in value.split(",")]
        if not all(items):
            self.fail(f"{value!r} has an empty item; separate items by single commas", param, ctx)
        try:
            return tuple(self.kind(item) for item in items)
        except ValueError:
            self.fail(f"{value!r} is not a whole number, or several separated by commas", param, ctx)


def flatten(ctx: click.Context, param: click.Parameter, value: tuple[tuple[Any, ...], ...]) -> tuple[Any, ...]:
    """All items of a repeatable option in order, each once."""
    return tuple(dict.fromkeys(item for items in value for item in items))


def finite(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """Refuses inf and nan, which Python's float reads."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number", ctx, param)
    return value


def items_option(flag: str, name: str, kind: type[str] | type[int], help: str) -> Callable[[Command], Command]:
    """A repeatable option that also takes commas."""
    metavar = "NAME" if kind is str else "N"
    return click.option(
        flag, name, type=Items(kind), multiple=True, callback=flatten, metavar=f"{metavar}[,...]", help=help
    )
