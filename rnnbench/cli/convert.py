"""`rnnbench convert`: trained weights from one file format to another."""

from pathlib import Path

import click

from rnnbench.cli._console import note, warn
from rnnbench.cli._exit_codes import OK
from rnnbench.cli._options import load_plugins, name_option, plugin_option, traceback_option
from rnnbench.cli._output import check_targets


@click.command()
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@name_option("--cell", "The cell, for a file that does not tell: a torch state_dict of nn.RNN.")
@plugin_option
@traceback_option
def command(source: str, target: str, cell: str | None, plugins: tuple[str, ...]) -> int:
    """Convert trained weights from file IN to file OUT.

    What a file holds is told by its suffix: .safetensors, .onnx, or that of a plugin.
    """
    from rnnbench.loading import load_weights, save_weights

    registry = load_plugins(plugins)
    converter = registry.converter(Path(target))  # a type nobody knows is refused before anything is read
    check_targets(target)
    trained = load_weights(source, cell)
    for remark in trained.remarks:
        warn(f"{source!r}: {remark}")
    if trained.attached and not converter.reread:
        warn(f"a {converter.suffix} file holds weights alone: how to forecast with them is left out")
    save_weights(target, trained.model, trained.params, trained.attached if converter.reread else "")
    model = trained.model
    sides = ", both directions" if model.bidirectional else ""
    head = "no head" if model.output_size is None else f"head of {model.output_size}"
    note(
        f"wrote {target}: {model.cell}, input {model.input_size}, hidden {model.hidden_size}, layers {model.layers}"
        f"{sides}, {head}, readout {model.readout}, {model.dtype}; {model.count_parameters()} parameters"
    )
    return OK
