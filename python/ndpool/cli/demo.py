"""``ndpool demo``: photographs pooled in many ways, checked, timed, tabled and drawn."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

import ndpool
from ndpool import viz
from ndpool.cli import checks
from ndpool.cli.cases import Case, cases, crops, photograph, photographs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.figure import Figure
    from rich.console import Console

Array = NDArray[Any]

MOST_CALLS = 200
LONG = 100  # milliseconds from which on one digit behind the point is enough
WIDE = 120  # columns that the table needs with a line for each row
WIDE_NUMBERS = ("forward", "backward", "NumPy", "difference", "gradient")
#: The pictures, by the name of the file.
PICTURES: dict[str, Callable[[], Figure]] = {
    "diagram.png": viz.diagram,
    "gallery.png": lambda: viz.gallery(photograph("chelsea"), focus=(112, 172)),
    "shifts.png": lambda: viz.shift_plot(photograph("camera") / 255.0),
}


@dataclass(frozen=True)
class Outcome:
    """What running one case gave; times in milliseconds."""

    case: Case
    shape: str
    result_shape: str
    forward: float
    backward: float | None
    numpy: float
    difference: float
    gradient: float | None
    right: bool


def run(folder: Path, seconds: float, console: Console) -> int:
    """Run every case and draw the pictures into ``folder``; the exit code is 0 when every check holds, else 1."""
    folder.mkdir(parents=True, exist_ok=True)  # first, so that a wrong name is found before the work
    arrays = photographs()
    small = crops(arrays)
    todo = cases()
    columns = (
        TextColumn("[progress.description]{task.description:<22}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    outcomes: list[Outcome] = []
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(todo) + len(PICTURES))
        for case in todo:
            progress.update(task, description=case.function)
            outcomes.append(_outcome(case, arrays[case.data], small[case.data], seconds))
            progress.advance(task)
        pictures = []
        for name, draw in PICTURES.items():
            progress.update(task, description=name)
            draw().savefig(folder / name)
            pictures.append(folder / name)
            progress.advance(task)

    console.print(_table(outcomes, narrow=console.width < WIDE))
    console.print(
        f"Times are medians in milliseconds: ndpool on {_threads(ndpool.get_num_threads())} (backward in float32), "
        "NumPy by its shortest way to the same result. Difference is the largest from NumPy in float64, gradient the "
        "largest from central differences in float64 on a small part of the photograph. "
        "k, s, p: window, stride, padding.",
        style="dim",
        highlight=False,
    )
    for path in pictures:
        console.print(f"wrote {path}", highlight=False)
    wrong = [outcome.case for outcome in outcomes if not outcome.right]
    if wrong:
        names = ", ".join(case.name for case in wrong)
        console.print(f"{len(wrong)} of {len(outcomes)} operations failed their check: {names}", style="bold red")
        return 1
    console.print(f"All {len(outcomes)} operations agree with NumPy and with finite differences.", style="green")
    return 0


def _outcome(case: Case, x: Array, small: Array, seconds: float) -> Outcome:
    function: Callable[..., Any] = getattr(ndpool, case.function)
    result = np.asarray(function(x, *case.args, **case.options))
    exact = x if x.dtype.kind != "f" else x.astype(np.float64)
    largest, right = checks.difference(result, case.numpy(exact), case.numpy(x).dtype)

    backward = slope = None
    if case.differentiable:
        slope, slope_right = checks.gradient(function, small, *case.args, **case.options)
        right = right and slope_right
        y, pullback = ndpool.vjp(function, x.astype(np.float32), *case.args, **case.options)
        dy = np.ones_like(y)
        backward = _milliseconds(lambda: pullback(dy), seconds)
    return Outcome(
        case=case,
        shape=_shape(x),
        result_shape=_shape(result),
        forward=_milliseconds(lambda: function(x, *case.args, **case.options), seconds),
        backward=backward,
        numpy=_milliseconds(lambda: case.numpy(x), seconds),
        difference=largest,
        gradient=slope,
        right=right,
    )


def _milliseconds(call: Callable[[], object], seconds: float) -> float:
    """Return the median time of a call, from as many as ``seconds`` allow, and at least one."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or (time.perf_counter() < end and len(times) < MOST_CALLS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


def _table(outcomes: list[Outcome], narrow: bool) -> Table:
    """Give each operation a row; on a narrow terminal it takes two lines, arguments and result shape on the second."""
    table = Table(
        title="Pooling photographs",
        title_style="bold",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=not narrow,
        collapse_padding=narrow,
    )
    for name in ("operation", "shape, result") if narrow else ("operation", "shape", "result"):
        table.add_column(name, no_wrap=True)
    numbers = ("fwd", "bwd", "NumPy", "diff.", "grad.") if narrow else WIDE_NUMBERS
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    for outcome, following in zip(outcomes, [*outcomes[1:], None], strict=True):
        operation = Text(outcome.case.function, style="cyan")
        operation.append(f"{chr(10) if narrow else ' '}{outcome.case.label}", style="dim")
        shapes = [outcome.shape, outcome.result_shape]
        table.add_row(
            operation,
            *(["\n".join(shapes)] if narrow else shapes),
            _time(outcome.forward),
            _time(outcome.backward),
            _time(outcome.numpy),
            _error(outcome.difference),
            _error(outcome.gradient),
            style="" if outcome.right else "bold red",
            end_section=following is not None and following.case.group != outcome.case.group,
        )
    return table


def _shape(array: Array) -> str:
    """Write sizes, kind and bits: ``3x512x512 f32``."""
    return f"{'x'.join(map(str, array.shape))} {array.dtype.kind}{8 * array.dtype.itemsize}"


def _time(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds:.{1 if milliseconds >= LONG else 3}f}"


def _error(value: float | None) -> str:
    return "-" if value is None else "0" if value == 0 else f"{value:.0e}"


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"
