"""Options that several commands share."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import click

from rnnbench.cli._complete import NAMES

if TYPE_CHECKING:
    from rnnbench.registry import Registry

Command = TypeVar("Command", bound=Callable[..., object])


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

plot_option = click.option("--plot", "plot_file", metavar="FILE", help="Draw to FILE.svg, .png or .pdf too.")

results_option = click.option(
    "--results", default="results/runs", show_default=True, metavar="DIR", help="Folder of the stored runs."
)


def load_plugins(requests: tuple[str, ...]) -> "Registry":
    """Return everything registered; print a warning for each plugin that had to be left out."""
    from rnnbench.cli._console import warn
    from rnnbench.registry import configure

    registry = configure(requests)
    for problem in registry.problems:
        warn(f"plugin {problem.plugin}: {problem.message}")
    return registry


def finite(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """Refuse inf and nan, which Python's float reads."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number", ctx, param)
    return value


def items_option(flag: str, name: str, kind: type[str] | type[int], help: str) -> Callable[[Command], Command]:
    """Return a repeatable option that also takes commas; the command gets a tuple with each item once, in order."""

    def parse(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str | int, ...]:
        items = [item.strip() for value in values for item in value.split(",")]
        if not all(items):
            raise click.BadParameter("an item is empty; separate items by single commas", ctx, param)
        try:
            return tuple(dict.fromkeys(kind(item) for item in items))
        except ValueError:
            raise click.BadParameter(
                f"{','.join(items)!r} is not whole numbers with commas between", ctx, param
            ) from None

    metavar = "NAME" if kind is str else "N"
    return click.option(
        flag, name, multiple=True, callback=parse, metavar=f"{metavar}[,...]", help=help, shell_complete=NAMES.get(flag)
    )


def number_option(flag: str, name: str, kind: type[int] | type[float], help: str) -> Callable[[Command], Command]:
    """Return an option that takes one number, and says so where several are listed."""

    def parse(ctx: click.Context, param: click.Parameter, value: str | None) -> int | float | None:
        if value is None:
            return None
        if "," in value:
            raise click.BadParameter(f"it takes one value, and {value!r} are several; run once for each", ctx, param)
        number: int | float = click.types.convert_type(kind).convert(value, param, ctx)
        return number if isinstance(number, int) else finite(ctx, param, number)

    metavar = "N" if kind is int else "X"
    return click.option(flag, name, callback=parse, metavar=metavar, help=help)


def name_option(flag: str, help: str, default: str | None = None) -> Callable[[Command], Command]:
    """Return an option that takes one name of a kind: "--cell", "--task" or "--backend"."""
    shown = default is not None
    return click.option(
        flag, default=default, show_default=shown, metavar="NAME", help=help, shell_complete=NAMES[flag]
    )
