"""``ndpool bench``: its cells, its checks, its processes, its report. Nothing here says how fast anything is."""

import dataclasses
import importlib.util
import io
import math
import os
import sys
import textwrap

import ndpool
import numpy as np
import pytest
from ndpool.bench import peers, reference
from ndpool.bench.cells import BOX, Cell, Regions, Window, cells
from ndpool.bench.process import EndedError
from ndpool.bench.record import Figure, Outcome, Problem, Record
from ndpool.bench.report import markdown, show
from ndpool.bench.rounds import Bench
from ndpool.cli.app import app
from rich.console import Console
from typer.testing import CliRunner

pytestmark = pytest.mark.thread_unsafe  # starts processes in an environment of its own


def window(kernel, stride, padding=0, dilation=1, rank=2):
    return Window(*((number,) * rank for number in (kernel, stride, padding, dilation)))


TINY = Cell("tiny", "max", (2, 3, 12, 10), "NCHW", (window(3, 2, 1),), "float32", "forward", "latency")
MEAN = dataclasses.replace(TINY, name="mean", mode="avg", windows=(window(2, 2),))
BYTES = dataclasses.replace(TINY, name="bytes", dtype="uint8")
HALVED = dataclasses.replace(MEAN, name="halved", shape=(20, 30), layout="HW", dtype="uint16")
SEVERAL = dataclasses.replace(TINY, name="several", windows=(window(3, 1, 1), window(5, 1, 2)))
SPARSE = dataclasses.replace(TINY, name="sparse", windows=(window(3, 1, 1, 2),))
VIEW = dataclasses.replace(TINY, name="view", step=2)
LAST = dataclasses.replace(TINY, name="last", shape=(2, 12, 10, 3), layout="NHWC")
SIGNAL = dataclasses.replace(MEAN, name="signal", shape=(2, 3, 50), layout="NCL", windows=(window(7, 3, rank=1),))
WHOLE = dataclasses.replace(MEAN, name="whole", shape=(2, 3, 7, 7), windows=(window(7, 7),), reach="global")
INDICES = dataclasses.replace(TINY, name="indices", direction="indices")
PULLBACK = dataclasses.replace(TINY, name="pullback", direction="pullback")
SHARES = dataclasses.replace(MEAN, name="shares", direction="pullback")
VJP = dataclasses.replace(TINY, name="vjp", direction="vjp")
OMITTED = dataclasses.replace(MEAN, name="omitted", shape=(120, 90), layout="HW", omit=True)
TOKENS = dataclasses.replace(WHOLE, name="tokens", shape=(3, 7, 10), layout="NLC", windows=(window(7, 7, rank=1),))
ALIGNED = dataclasses.replace(MEAN, name="aligned", regions=Regions(20, 3, 1 / 8))
UNPOOLED = dataclasses.replace(MEAN, name="unpooled", mode="max", direction="unpool")
FORWARD = (TINY, MEAN, BYTES, HALVED, SEVERAL, SPARSE, VIEW, LAST, SIGNAL, WHOLE, OMITTED, TOKENS, ALIGNED)
ALL = (*FORWARD, INDICES, PULLBACK, SHARES, VJP, UNPOOLED)

HERE = [name for name in ("onnxruntime", "torch") if all(map(importlib.util.find_spec, (name, "onnx")))]


def test_names_are_distinct():
    names = [cell.name for cell in cells()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("cell", cells(), ids=lambda cell: cell.name)
def test_traffic_and_size_are_as_stated(cell):
    base = np.empty(0, cell.kind)
    source = math.prod(cell.input_shape)
    values = 0
    if cell.regions is not None:
        ((count, *_),) = cell.output_shapes
        source, values = source + count * BOX, math.prod(cell.output_shapes[0])
    for one in () if cell.regions else cell.windows:
        options = {"axis": cell.axes, "stride": one.stride, "padding": one.padding, "dilation": one.dilation}
        shape = ndpool.output_shape(cell.input_shape, one.kernel, **options)
        assert shape in cell.output_shapes
        values += math.prod(shape)
    moved = (source + values) * base.itemsize
    extra = {"forward": 0, "pullback": 0, "indices": values * 8, "unpool": values * 8, "vjp": moved}[cell.direction]
    assert cell.traffic == moved + extra
    footprint = cell.traffic * cell.step**2  # what lies between the cells of a view comes along
    limits = {"latency": (0, 1e5), "L2": (1e5, 1.7e6), "L3": (1.7e6, 48e6), "DRAM": (48e6, 1e9)}
    low, high = limits[cell.size]
    assert low <= footprint < high


def test_data_are_the_same_every_time_and_floats_do_not_tie():
    data, again = VJP.data(), VJP.data()
    assert np.array_equal(data.x, again.x)
    assert np.array_equal(data.dy, again.dy)
    assert len(np.unique(data.x)) == data.x.size
    assert VIEW.data().x.shape == VIEW.input_shape == (2, 3, 6, 5)


def prepared(cell, library="ndpool"):
    data = cell.data()
    return data, peers.prepare(library, cell, data, 1)


@pytest.mark.parametrize("cell", ALL, ids=lambda cell: cell.name)
@pytest.mark.parametrize("library", ["ndpool", "numpy"])
def test_results_pass_the_checks(library, cell):
    data, jobs = prepared(cell)
    expected = jobs[0].results(jobs[0].call())
    assert reference.misplaced(cell, data, expected, exact=True) is None
    for job in peers.prepare(library, cell, data, 1):
        results = job.results(job.call())
        assert reference.misplaced(cell, data, results) is None
        assert reference.different(cell, data, results, expected) is None


@pytest.mark.parametrize("cell", ALL, ids=lambda cell: cell.name)
def test_every_wrong_cell_is_noticed(cell):
    data, jobs = prepared(cell)
    right = jobs[0].results(jobs[0].call())
    for number, result in enumerate(right):
        wrong = [array.copy() for array in right]
        place = tuple(length - 1 for length in result.shape)
        wrong[number][place] += 2
        assert reference.misplaced(cell, data, tuple(wrong)) is not None
        assert reference.different(cell, data, tuple(wrong), right) is not None


def test_equal_cells_have_several_right_indices_but_one_first():
    cell = dataclasses.replace(INDICES, dtype="uint8", windows=(window(2, 2),))
    data, jobs = prepared(cell)
    data.base[:] = 7
    values, indices = jobs[0].results(jobs[0].call())
    assert reference.misplaced(cell, data, (values, indices), exact=True) is None
    assert reference.misplaced(cell, data, (values, indices + 1)) is None
    assert reference.misplaced(cell, data, (values, indices + 1), exact=True) is not None
    assert reference.misplaced(cell, data, (values, indices + 2)) is not None
    assert reference.different(cell, data, (values, indices + 1), (values, indices)) is None


def test_windows_of_nothing_but_nan_have_no_mean():
    data, jobs = prepared(OMITTED)
    assert 0.05 < np.isnan(data.x).mean() < 0.15
    data.base[-2:, -2:] = np.nan
    (means,) = jobs[0].results(jobs[0].call())
    assert np.isnan(means[-1, -1])
    assert reference.misplaced(OMITTED, data, (means,), exact=True) is None
    assert reference.misplaced(OMITTED, data, (np.nan_to_num(means),)) is not None
    assert reference.different(OMITTED, data, (means,), (means,)) is None
    assert reference.different(OMITTED, data, (np.nan_to_num(means),), (means,)) is not None


def test_boxes_lie_within_the_image_and_are_not_smaller_than_a_cell():
    numbers, low, high = np.split(ALIGNED.data().boxes, (1, 3), axis=1)
    assert np.unique(numbers).tolist() == [0, 1]
    assert (low >= 0).all()
    assert ((high - low) * ALIGNED.regions.scale >= 1).all()
    assert (high * ALIGNED.regions.scale <= ALIGNED.spatial[::-1]).all()


def test_what_a_library_cannot_do_it_is_not_asked():
    for cell in (OMITTED, ALIGNED, UNPOOLED):
        assert peers.prepare("scipy", cell, cell.data(), 1) == []


def test_shapes_and_numbers_of_results_are_checked():
    data = TINY.data()
    assert "results" in reference.misplaced(TINY, data, ())
    assert "shape" in reference.misplaced(TINY, data, (data.x,))


def test_a_run_has_figures_of_all(monkeypatch):
    monkeypatch.setenv("TORCHDYNAMO_DISABLE", "1")  # compiling takes longer than all tests of this file
    heard = set()
    with Bench(["numpy", *HERE], threads=1, rounds=2, seconds=1e-4) as bench:
        tried = [TINY, INDICES, PULLBACK, UNPOOLED, OMITTED, ALIGNED]
        *_, record = bench.measure(tried, lambda cell, library: heard.add((cell, library)))
    assert ("pullback", "numpy") in heard
    for outcome in record.outcomes:
        assert outcome.problems == ()
        figures = {figure.library: figure for figure in outcome.figures}
        others = {"onnxruntime"} & {*HERE} if outcome.cell == "aligned" else {"numpy"}
        assert {"ndpool", "copy"} | others <= set(figures)
        for figure in figures.values():
            assert 0 < figure.least <= figure.median
            assert 1 <= figure.rounds <= 2
        assert outcome.ratio is None or outcome.ratio > 0
    assert record.outcomes[0].of_copy("out") > 0
    assert {"ndpool", "numpy", *HERE} <= set(record.versions)
    for library in HERE:
        assert record.outcomes[0].figure(library) is not None


def spoil(monkeypatch, folder, library, body):
    """Replace what a library's jobs do, in every process that starts from now on."""
    script = f"""
        import sys
        if sys.argv[-1:] and "ndpool.bench.worker" in " ".join(sys.orig_argv) and {library!r} in sys.orig_argv:
            import os
            from dataclasses import replace
            import ndpool.bench.peers.{library} as peer

            prepare = peer.prepare

            def spoiled(cell, data, threads):
                def wrap(job):
                    def call():
                        result = job.call()
                        {body}
                        return result
                    return replace(job, call=call)
                return [wrap(job) for job in prepare(cell, data, threads)]

            peer.prepare = spoiled
    """
    (folder / "sitecustomize.py").write_text(textwrap.dedent(script))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *filter(None, sys.path)]))


WRONG = "(result[0] if isinstance(result, list) else result).reshape(-1)[-1] += 1"


def test_a_wrong_peer_is_listed_and_not_timed(monkeypatch, tmp_path):
    spoil(monkeypatch, tmp_path, "numpy", WRONG)
    with Bench(["numpy"], threads=1, rounds=1, seconds=1e-4) as bench:
        (record,) = bench.measure([TINY])
    (outcome,) = record.outcomes
    assert [(problem.library, problem.kind) for problem in outcome.problems] == [("numpy", "wrong")]
    assert outcome.figure("numpy") is None
    assert outcome.ours is not None


def test_a_wrong_result_of_ndpool_fails_the_run(monkeypatch, tmp_path):
    spoil(monkeypatch, tmp_path, "ndpool", WRONG)
    arguments = ["bench", "--cells", "^L1$", "--peers", "numpy", "--rounds", "1"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    assert "ndpool is wrong or failed on L1" in done.output


def test_a_right_peer_is_not_blamed_for_a_wrong_result_of_ndpool(monkeypatch, tmp_path):
    spoil(monkeypatch, tmp_path, "ndpool", WRONG)
    with Bench(["numpy"], threads=1, rounds=1, seconds=1e-4) as bench:
        (record,) = bench.measure([TINY])
    (outcome,) = record.outcomes
    assert {(problem.library, problem.kind) for problem in outcome.problems} == {("ndpool", "wrong")}
    assert (outcome.ours, outcome.ratio) == (None, 0.1)
    assert outcome.figure("numpy") is not None


@pytest.mark.skipif(sys.platform == "win32", reason="exit codes are others")
def test_a_peer_whose_process_ends_is_left_out(monkeypatch, tmp_path):
    spoil(monkeypatch, tmp_path, "numpy", "os._exit(3)")
    with Bench(["numpy"], threads=1, rounds=1, seconds=1e-4) as bench:
        before, record = bench.measure([TINY, MEAN])
    assert before.outcomes == record.outcomes[:1]
    assert record.notes == ("numpy: its process ended with code 3 at 'check'",)
    assert [len(outcome.problems) for outcome in record.outcomes] == [1, 0]
    assert all(outcome.ours for outcome in record.outcomes)


@pytest.mark.skipif(sys.platform == "win32", reason="exit codes are others")
def test_a_peer_may_end_while_it_is_timed(monkeypatch, tmp_path):
    spoil(monkeypatch, tmp_path, "numpy", "sys.calls = getattr(sys, 'calls', 0) + 1; sys.calls < 3 or os._exit(3)")
    with Bench(["numpy"], threads=1, rounds=2, seconds=1e-4) as bench:
        (record,) = bench.measure([MEAN])
    assert record.notes == ("numpy: its process ended with code 3 at 'run'",)
    assert [problem.name for problem in record.outcomes[0].problems] == ["numpy", "numpy:reshape"]
    assert record.outcomes[0].figure("numpy") is None
    assert record.outcomes[0].ours.rounds == 2


def test_ndpool_is_wrong_if_nobody_agrees_beyond_the_sampled_places(monkeypatch, tmp_path):
    spoil(monkeypatch, tmp_path, "numpy", WRONG.replace("[-1]", "[7777]"))
    cell = dataclasses.replace(TINY, shape=(4, 3, 120, 100))
    with Bench(["numpy"], threads=1, rounds=1, seconds=1e-4) as bench:
        (record,) = bench.measure([cell])
    found = [(problem.library, problem.kind) for problem in record.outcomes[0].problems]
    assert found == [("numpy", "different"), ("ndpool", "wrong")]


def test_without_ndpool_there_is_nothing_to_measure(monkeypatch, tmp_path):
    spoil(monkeypatch, tmp_path, "ndpool", "os._exit(3)")
    with pytest.raises(EndedError, match="ndpool: its process ended"), Bench([], threads=1, rounds=1) as bench:
        list(bench.measure([TINY]))


def figure(library, median, variant="", *, native=True):
    return Figure(library, variant, native, median, median / 2, 3)


def outcome(name, ours, *figures, problems=()):
    own = () if ours is None else (figure("ndpool", ours), figure("ndpool", ours / 2, "out"))
    return Outcome(name, f"what {name} is", "L3", "forward", 1000, (*own, *figures, figure("copy", 0.5)), problems)


RECORD = Record(
    date="2026-01-02",
    machine="a machine",
    threads=2,
    rounds=3,
    cpu_level="avx2",
    versions={"ndpool": "0.1.0", "torch": "2.0"},
    outcomes=(
        outcome("won", 1.0, figure("torch", 4.0), figure("numpy", 8.0), figure("loop", 0.1)),
        outcome("alone", 1.0),
        outcome("lost", 1.0, figure("torch", 0.5), figure("torch", 0.25, "cl", native=False)),
        outcome("bad", None, figure("torch", 1.0), problems=(Problem("ndpool", "", "wrong", "1.0 at (0,), not 2"),)),
    ),
    notes=("a note",),
)


def test_a_record_survives_json(tmp_path):
    RECORD.write(tmp_path / "record.json")
    assert Record.read(tmp_path / "record.json") == RECORD


def test_ratios_are_to_the_best_peer_in_the_same_layout():
    won, _, lost, _ = RECORD.outcomes
    assert (won.best.name, won.ratio, won.of_copy(), won.of_copy("out")) == ("torch", 4.0, 0.5, 1.0)
    assert (lost.best.name, lost.ratio, lost.any_layout.name) == ("torch", 0.5, "torch:cl")
    assert RECORD.mean() == pytest.approx((4.0 * 0.5 * 0.1) ** (1 / 3))
    assert [outcome.cell for outcome in RECORD.wrong] == ["bad"]


def test_losses_come_first():
    assert [outcome.cell for outcome in RECORD.losses_first] == ["bad", "lost", "won", "alone"]
    text = io.StringIO()
    show(RECORD, Console(file=text, width=140))
    positions = [text.getvalue().index(f"what {name} is") for name in ("bad", "lost", "won", "alone")]
    assert positions == sorted(positions)
    assert "bad: ndpool is wrong: 1.0 at (0,), not 2" in text.getvalue()
    lines = [line for line in markdown(RECORD).splitlines() if line.startswith("| ")]
    assert [line.split()[1] for line in lines] == ["cell", "bad", "lost", "won", "alone"]


def test_the_chart_has_a_row_for_each_cell_with_a_ratio():
    from ndpool.bench.chart import chart

    labels = [label.get_text() for label in chart(RECORD).axes[0].get_yticklabels()]
    assert [label.split()[1] for label in labels] == ["bad", "lost", "won"]


def test_the_command_writes_a_record_and_a_picture(tmp_path):
    record, picture = tmp_path / "a.json", tmp_path / "a.png"
    arguments = ["bench", "--cells", "^L1$", "--peers", "numpy", "--threads", "1", "--rounds", "1"]
    done = CliRunner().invoke(app, [*arguments, "--json", str(record), "--plot", str(picture)])
    assert done.exit_code == 0, done.output
    assert [outcome.cell for outcome in Record.read(record).outcomes] == ["L1"]
    assert picture.stat().st_size > 0
    assert "Geometric mean over 1 cell:" in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--peers", "nosuch"], "peers: 'nosuch' is none of torch, onnxruntime"),
        (["--cells", "nosuch"], "cells: 'nosuch' matches none of R1, R2"),
        (["--cells", "("], "cells: '(' is no regular expression"),
        (["--json", "no/such/folder.json"], "json: the folder of"),
        (["--peers", "loop"], "peers: loop is not installed (numba cannot be imported)"),
    ],
)
def test_wrong_options_are_one_clear_line(monkeypatch, arguments, message):
    monkeypatch.setattr(peers, "installed", lambda: ["numpy"])
    done = CliRunner().invoke(app, ["bench", *arguments])
    assert done.exit_code == 2
    assert message in done.output
    assert len(done.output.strip().splitlines()) == 1
