"""`rnnbench train`: a model of your own table to take home, with all that its forecasts need."""

from typing import Any

import click

from rnnbench.cli._exit_codes import OK
from rnnbench.cli._options import finite, load_plugins, name_option, number_option, plugin_option, traceback_option
from rnnbench.cli._table_options import table_options


@click.command()
@table_options
@name_option("--cell", "The cell.", "gru")
@number_option("--hidden", "hidden", int, "Units of each layer; the task's own by default, 32.")
@number_option("--layers", "layers", int, "Layers; 1 by default.")
@click.option("--bidirectional", is_flag=True, help="Run each layer in both directions.")
@click.option("--dtype", default="float32", show_default=True, metavar="NAME", help="float32 or float64.")
@number_option("--batch", "batch", int, "Sequences in a training batch.")
@number_option("--steps", "steps", int, "Training steps at most; early stopping takes fewer.")
@click.option("--lr", "lr", type=float, callback=finite, metavar="X", help="Learning rate.")
@number_option("--seed", "seed", int, "Of the initial weights and the order of training; 0 by default.")
@number_option(
    "--folds", "folds", int, "Folds that the intervals' errors come from; 3 or as many as there is room for."
)
@click.option("--refit", is_flag=True, help="Train again on all rows at last, with the steps that validation chose.")
@click.option(
    "--save",
    "targets",
    multiple=True,
    required=True,
    metavar="FILE",
    help="Write the forecaster: .safetensors or .onnx. Repeatable.",
)
@plugin_option
@traceback_option
def command(targets: tuple[str, ...], plugins: tuple[str, ...], **options: Any) -> int:
    """Train a model to forecast your own series, try it on their last part, and save it for `rnnbench forecast`."""
    from pathlib import Path

    from rnnbench.api import train
    from rnnbench.cli._console import console, note, warnings_told
    from rnnbench.cli._output import check_targets
    from rnnbench.forecasting.training import summary

    registry = load_plugins(plugins)
    for target in targets:  # what cannot be written is refused before anything is trained
        registry.converter(Path(target))
        check_targets(target)
    with warnings_told():
        forecaster = train(options.pop("csv"), **options, progress=note)
    for target in targets:
        forecaster.save(target)
        note(f"wrote {target}")
    for line in summary(forecaster):
        console().print(line, soft_wrap=True)
    return OK
