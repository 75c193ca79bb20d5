"""`rnnbench cache`: where compiled kernels are kept and how much they take; clearing them."""

from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rnnbench.cli._console import error
from rnnbench.cli._exit_codes import FAILED, OK
from rnnbench.cli._listing import put_listing
from rnnbench.cli._options import json_flag, traceback_option
from rnnbench.report.text import counted, printable

if TYPE_CHECKING:
    from rnnbench.kernels.kernel_folder import KernelFile


@dataclass(frozen=True)
class CacheFacts:
    """What --json prints. bytes: of all kernels; oldest and newest: when kernels were written, None without any."""

    directory: str
    files: int
    bytes: int
    oldest: str | None
    newest: str | None
    foreign_files: int


@click.command()
@click.option("--clear", is_flag=True, help="Remove the kernels; whatever else lies there stays.")
@json_flag
@traceback_option
def command(clear: bool, as_json: bool) -> int:
    """Show the cache of compiled kernels, or clear it.

    A kernel whose sources or versions have changed is compiled anew; its old file stays until there is no room for it.
    """
    from rnnbench.kernels.kernel_folder import contents, directory, tidy

    folder = directory()
    if clear:
        tidy(folder)
    kernels, foreign = contents(folder)
    if clear:
        return _clear(folder, kernels, foreign, as_json)
    size, changed = sum(kernel.size for kernel in kernels), [kernel.changed for kernel in kernels]
    oldest, newest = (_moment(min(changed)), _moment(max(changed))) if changed else (None, None)
    facts = CacheFacts(str(folder), len(kernels), size, oldest, newest, foreign)
    if as_json:
        put_listing(**asdict(facts))
    else:
        _print(facts)
    return OK


def _print(facts: CacheFacts) -> None:
    from rich.filesize import decimal

    click.echo(f"kernel cache: {printable(facts.directory)}")
    click.echo(f"{counted(facts.files, 'kernel')}, {decimal(facts.bytes)}")
    if facts.files:
        click.echo(f"written from {facts.oldest} to {facts.newest}")
    else:
        click.echo("fill it with: rnnbench warmup")
    if facts.foreign_files:
        click.echo(f"{counted(facts.foreign_files, 'other file')}, never read or removed")


def _clear(folder: Path, kernels: "list[KernelFile]", foreign: int, as_json: bool) -> int:
    """Remove the kernels; the exit code is 1 where one could not be removed."""
    removed, size, refused = 0, 0, ""
    for kernel in kernels:
        try:
            kernel.path.unlink(missing_ok=True)
        except OSError as problem:
            refused = f"{kernel.path.name} cannot be removed: {problem.strerror}; check who owns {folder}"
        else:
            removed, size = removed + 1, size + kernel.size
    if as_json:
        put_listing(directory=str(folder), removed=removed, bytes=size, foreign_files=foreign)
    else:
        left = f"; left {counted(foreign, 'other file')} alone" if foreign else ""
        what = f"removed {counted(removed, 'kernel')}, {size} bytes"
        click.echo(f"{what}, from {printable(str(folder))}{left}")
    if refused:
        error(refused)
    return FAILED if refused else OK


def _moment(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds / 1e9).astimezone().isoformat(" ", "seconds")
