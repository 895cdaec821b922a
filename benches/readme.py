"""Write the speed section of README.md and its picture from the newest record for each number of threads.

Records are made by ``make record``, on a machine that does nothing else.
"""

from __future__ import annotations

from pathlib import Path

from ndpool.bench.chart import chart
from ndpool.bench.record import Record
from ndpool.bench.report import markdown, summary

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- bench: begin -->\n", "<!-- bench: end -->\n"
PICTURE = "docs/images/bench.png"


def main() -> None:
    records = [Record.read(path) for path in sorted((ROOT / "benches/record").glob("*.json"))]
    newest = {record.threads: record for record in sorted(records, key=lambda record: record.date)}
    if not newest:
        raise SystemExit("benches/record holds no record; `make record` makes one")
    most = newest[max(newest)]
    chart(most).savefig(ROOT / PICTURE)
    tables = [
        "  \n".join(summary(most)[:-1]) + "\n",
        f"![For each cell the time of the best peer over ndpool's, and the share of copy speed]({PICTURE})\n",
    ]
    for threads in sorted(newest, reverse=True):
        name = "1 thread" if threads == 1 else f"{threads} threads"
        tables.append(f"<details><summary>All cells, {name}</summary>\n\n{markdown(newest[threads])}\n\n</details>\n")
    page = ROOT / "README.md"
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"README.md lacks the lines {BEGIN.strip()} and {END.strip()}")
    content = "\n".join(tables)
    page.write_text(f"{before}{begin}{content}{end}{after}", encoding="utf-8")


main()
