"""The commands and their options; each command's work is in a module of its own."""

from __future__ import annotations

from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ndpool import get_num_threads
from ndpool.cli import usage

LOG_WIDTH = 120

app = typer.Typer(
    name="ndpool",
    cls=usage.OneLineGroup,
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
    """Pool photographs in many ways, check the results and gradients, draw them.

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
        code = _failed("bench", error, 2 if isinstance(error, ValueError) else 1)
    raise typer.Exit(code)


@app.command("apply", no_args_is_help=True)
def apply_(
    source: Annotated[Path, typer.Argument(metavar="IN", help="What is pooled: .npy, .png, .jpg or .tif.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Where the result goes: one of these too.")],
    window: Annotated[str, typer.Option("--window", "-w", help="Cells of a window: 2, or 2,3 for each axis.")],
    mode: Annotated[
        str, typer.Option("--mode", "-m", help="What a window is reduced to: max, avg, median ...")
    ] = "max",
    stride: Annotated[
        str | None, typer.Option(help="Cells from one window to the next; the window if not given.")
    ] = None,
    padding: Annotated[str, typer.Option(help="Cells around: 1, or 1,2, or 0:1,1:1, or same, same_lower.")] = "0",
    axis: Annotated[
        str | None,
        typer.Option(help="Pooled axes: 0,1. Of pictures height and width if not given, else the last ones."),
    ] = None,
    dilation: Annotated[str, typer.Option(help="Cells from one cell of a window to the next.")] = "1",
    ceil_mode: Annotated[bool, typer.Option("--ceil-mode", help="Round the number of windows up.")] = False,
    count_include_pad: Annotated[bool, typer.Option("--count-include-pad", help="Average over padding too.")] = False,
    nan_policy: Annotated[str, typer.Option(help="What a NaN does: propagate, omit or raise.")] = "propagate",
    min_count: Annotated[int, typer.Option(help="Windows with fewer valid cells give the fill value.")] = 1,
    fill_value: Annotated[str | None, typer.Option(help="Result of windows without enough valid cells.")] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            help="Dtype that is written: integers are rounded half to even, and clipped. That of IN for pictures."
        ),
    ] = None,
    option: Annotated[list[str], typer.Option("--option", "-o", help="An option of the mode: p=3, q=0.9 ...")] = [],  # noqa: B006
) -> None:
    """Pool an array or a picture into another file.

    Colour channels are kept. A file that exists is replaced, once the result is there whole.

    The exit code is 1 when a file cannot be read or written, 2 when an option is wrong.
    """
    from ndpool.cli import options
    from ndpool.cli.apply import Request, run
    from ndpool.cli.files import FileError

    try:
        request = Request(
            mode=mode,
            window=options.ints("window", window),
            stride=options.ints("stride", stride),
            padding=options.padding(padding),
            dilation=options.ints("dilation", dilation),
            axis=options.ints("axis", axis),
            ceil_mode=ceil_mode,
            dtype=options.dtype(dtype),
            options={
                "count_include_pad": count_include_pad,
                "nan_policy": nan_policy,
                "min_count": min_count,
                "fill_value": options.number("fill_value", fill_value),
                **options.named(option),
            },
        )
        code = run(source, target, request, _console())
    except (FileError, MemoryError) as error:
        code = _failed("apply", error, 1)
    except (TypeError, ValueError) as error:
        code = _failed("apply", error, 2)
    raise typer.Exit(code)


@app.command()
def info(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the version, the CPU level, the number of threads, and which optional packages are there."""
    from ndpool.cli.info import run

    raise typer.Exit(run(json, _console()))


def _failed(command: str, error: Exception, code: int) -> int:
    """Say in one line what went wrong; return the exit code."""
    usage.say(command, str(error).strip() or type(error).__name__)
    return code


def _console() -> Console:
    console = Console()
    # A log has no width of its own, and tables should not wrap in it.
    return console if console.is_terminal else Console(width=LOG_WIDTH)
