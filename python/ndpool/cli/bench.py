"""``ndpool bench``: choose cells and peers, measure, show and save."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ndpool.bench.cells import Cell, cells
from ndpool.bench.report import show
from ndpool.bench.rounds import Bench, chosen

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console


def run(
    pattern: str,
    peers: str | None,
    threads: int,
    rounds: int,
    *,
    plot: Path | None,
    json: Path | None,
    console: Console,
) -> int:
    """Measure the cells whose names match; the exit code is 0 unless a result of ndpool is wrong.

    Raises
    ------
    ValueError
        When the pattern is no pattern or matches no cell, a peer is unknown or missing, or a folder does not exist.
    """
    todo, names = _matching(pattern), chosen(peers)
    for option, path in (("plot", plot), ("json", json)):
        if path is not None and not path.parent.is_dir():
            raise ValueError(f"{option}: the folder of {path} does not exist")
    columns = (
        TextColumn("[progress.description]{task.description:<20}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, refresh_per_second=1) as progress:
        task = progress.add_task("starting", total=len(todo))

        def told(cell: str, library: str) -> None:
            progress.update(task, description=f"{cell} {library}")

        with Bench(names, threads, rounds) as bench:
            for record in bench.measure(todo, told):
                progress.advance(task)
                if json is not None:  # now, lest an hour be lost
                    record.write(json)
    show(record, console)
    if json is not None:
        console.print(f"wrote {json}", highlight=False)
    if plot is not None:
        from ndpool.bench.chart import chart

        chart(record).savefig(plot)
        console.print(f"wrote {plot}", highlight=False)
    if record.wrong:
        failed = ", ".join(outcome.cell for outcome in record.wrong)
        console.print(f"ndpool is wrong or failed on {failed}", style="bold red")
        return 1
    return 0


def _matching(pattern: str) -> list[Cell]:
    try:
        found = [cell for cell in cells() if re.search(pattern, cell.name)]
    except re.error as error:
        raise ValueError(f"cells: {pattern!r} is no regular expression: {error}") from None
    if not found:
        raise ValueError(f"cells: {pattern!r} matches none of {', '.join(cell.name for cell in cells())}")
    return found
