"""The commands and their options; each command's work is in a module of its own."""

from __future__ import annotations

from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(
    name="ndpool",
    help="Pooling for NumPy arrays, forward and backward.",
    no_args_is_help=True,
    add_completion=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(installed_version("ndpool"))
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Pooling for NumPy arrays, forward and backward."""


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where the pictures go; made when it is missing.")] = Path("demo"),
    seconds: Annotated[
        float, typer.Option(min=0.0, help="Time spent on each timing, at most; a single call may take longer.")
    ] = 0.1,
) -> None:
    """Pool photographs with every function, check the results and gradients, draw them.

    The photographs are those inside the scikit-image package; nothing is downloaded.

    The exit code is 1 when a result or a gradient is wrong.
    """
    from ndpool.cli.demo import run

    console = Console()
    if not console.is_terminal:
        console = Console(width=120)  # a log has no width of its own, and the table should not wrap in it
    raise typer.Exit(run(folder, seconds, console))
