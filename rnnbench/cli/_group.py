"""The `rnnbench` command: a group whose commands are the modules of this folder, each holding a `command`.

Nothing heavy is imported until a command runs, so that `--help` answers at once (tests/test_startup.py).
"""

import errno
import io
import os
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import click

from rnnbench import __version__
from rnnbench.cli._console import error
from rnnbench.cli._exit_codes import FAILED, INTERRUPTED, USAGE
from rnnbench.cli._options import Diagnostics, traceback_option
from rnnbench.errors import UnknownName, UsageError

LAST_STANDARD = 2  # the descriptor of stderr
# What helps where the system refuses, by its reason.
REMEDIES = {
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there",
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.ENFILE: "close other programs",
    errno.EAGAIN: "allow more processes (ulimit -u)",
    errno.ENOMEM: "try smaller sizes, or close other programs",
}


class Strict(click.Group):
    """A group whose commands refuse an option that takes one value and is given several: one would be lost."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and not ctx.resilient_parsing:
            with click.Context(command, info_name=name, parent=ctx) as inner:
                _, _, given = command.make_parser(inner).parse_args(list(rest))
            for option, count in Counter(given).items():
                if count == 1 or not isinstance(option, click.Option) or option.multiple:
                    continue
                if not option.is_flag or option.secondary_opts:
                    raise UsageError(f"{option.opts[0]} takes one value and is given {count} times; give it once")
        return name, command, rest


class Folder(Strict):
    """Commands found by folder: a file added beside this one is a command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        folder = str(Path(__file__).parent)
        return sorted(module.name for module in iter_modules([folder]) if not module.name.startswith("_"))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(ctx):
            return None
        command: click.Command = import_module(f"rnnbench.cli.{name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = args[0].startswith("-") or self.get_command(ctx, args[0]) is not None
        if not known and not ctx.resilient_parsing:
            raise UnknownName("command", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


@click.group(cls=Folder, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
@traceback_option
@click.pass_context
def group(ctx: click.Context) -> None:
    """Which recurrent cell, at which size, on which runtime, for my sequence task?

    The same task, data, initial weights and optimiser on every backend; accuracy, speed and parameters side by side.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; `args` without the program's name, None for the process's own.

    0 ok, 1 some rows failed (or a fault of rnnbench's own), 2 usage, 3 nothing ran, 130 interrupted.
    """
    _fill_descriptors()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks "µ" shows "?" instead of failing
    diagnostics = Diagnostics()
    try:
        if sys.stdout is None:
            raise UsageError("standard output is closed; send it to a file, or to /dev/null")
        code = int(group.main(args, prog_name="rnnbench", standalone_mode=False, obj=diagnostics) or 0)
        sys.stdout.flush()  # while a full disk can still be told
        return code
    except click.Abort:
        error("interrupted")
        return INTERRUPTED
    except click.ClickException as problem:
        return _fail(diagnostics, problem.format_message(), USAGE)
    except UsageError as problem:
        return _fail(diagnostics, str(problem), USAGE)
    except MemoryError:
        return _fail(diagnostics, "there is too little memory for this; try smaller sizes", FAILED)
    except OSError as problem:
        with suppress(OSError, ValueError):  # what cannot be written now cannot be at exit either
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        where = f"{problem.filename!r}: " if problem.filename else ""
        remedy = REMEDIES.get(problem.errno or 0, "--traceback shows where")
        return _fail(diagnostics, f"the system refuses: {where}{problem.strerror or problem}; {remedy}", FAILED)
    except Exception as problem:
        hint = "" if diagnostics.traceback else "; --traceback shows where"
        return _fail(diagnostics, f"rnnbench failed with {type(problem).__name__}: {problem}{hint}", FAILED)


def _fill_descriptors() -> None:
    """Give /dev/null to those of the standard streams that are closed: the next file opened would take their place, and
    get what was meant for them."""
    with suppress(OSError):
        while (opened := os.open(os.devnull, os.O_RDWR)) <= LAST_STANDARD:
            os.set_inheritable(opened, True)
        os.close(opened)


def _fail(diagnostics: Diagnostics, message: str, code: int) -> int:
    if diagnostics.traceback:
        import traceback

        traceback.print_exc()
    error(message)
    return code
