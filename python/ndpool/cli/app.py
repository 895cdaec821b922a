"""The commands and their options; each command's work is in a module of its own."""

from __future__ import annotations

from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ndpool import get_num_threads

LOG_WIDTH = 120

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

    raise typer.Exit(run(folder, seconds, _console()))


@app.command()
def bench(
    cells: Annotated[str, typer.Option(help="Which cells: a regular expression that their names match.")] = "",
    peers: Annotated[
        str | None,
        typer.Option(help="Which libraries to compare with, by commas; all that are installed if not given."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, max=1024, help="Threads of every library.")] = get_num_threads(),
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each library on each cell.")] = 15,
    plot: Annotated[Path | None, typer.Option(help="Where to draw the results, a picture.", dir_okay=False)] = None,
    json: Annotated[Path | None, typer.Option(help="Where to write them, as JSON.", dir_okay=False)] = None,
) -> None:
    """Time pooling here and in the other libraries that are installed, results checked before.

    The exit code is 1 when a result of ndpool is wrong, 2 when an option is.
    """
    from ndpool.bench.process import LibraryError
    from ndpool.cli.bench import run

    try:
        code = run(cells, peers, threads, rounds, plot=plot, json=json, console=_console())
    except (ValueError, LibraryError) as error:
        typer.echo(f"ndpool bench: {error}", err=True)
        code = 2 if isinstance(error, ValueError) else 1
    raise typer.Exit(code)


def _console() -> Console:
    console = Console()
    # A log has no width of its own, and tables should not wrap in it.
    return console if console.is_terminal else Console(width=LOG_WIDTH)
