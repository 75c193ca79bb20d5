"""`rnnbench plugins`: what was loaded and from where."""

import click

from rnnbench.cli._options import json_flag, load_plugins, plugin_option, traceback_option


@click.group()
def command() -> None:
    """See which plugins are loaded, and from where."""


@command.command("list")
@plugin_option
@json_flag
@traceback_option
def list_plugins(plugins: tuple[str, ...], as_json: bool) -> None:
    """List every plugin, the built-in ones too, and those left out with the reason."""
    from rnnbench.cli._listing import Column, show

    registry = load_plugins(plugins)
    rows: list[dict[str, object]] = [
        {"plugin": name, "origin": origin, "status": "loaded", "problem": ""}
        for name, origin in registry.plugins.items()
    ]
    rows += [
        {"plugin": problem.plugin, "origin": "", "status": "left out", "problem": problem.message}
        for problem in registry.problems
    ]
    show(rows, [Column("plugin"), Column("origin"), Column("status"), Column("problem", wraps=True)], as_json)
