"""The command, as a person uses it: files in, files out, exit codes, and one clear line when something is wrong."""

import io
import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import ndpool
import numpy as np
import PIL.Image
import pytest
import skimage.data
from command import failed, pixels, process, ran, succeeded, written
from ndpool.cli import apply
from ndpool.cli.app import app
from rich.console import Console

COLOURS = skimage.data.astronaut()[:96, :120]
GREY = skimage.data.camera()[:90, :64]
FULL = Path("/dev/full")


# ---------------------------------------------------------------------------------------------------------------------
# Arrays
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        (["-w", "2"], {"window": 2}),
        (["-w", "2", "-m", "avg"], {"window": 2, "mode": "avg"}),
        (["-w", "2,3", "-m", "avg", "--stride", "1,2"], {"window": (2, 3), "mode": "avg", "stride": (1, 2)}),
        (["-w", "3", "--axis", "-1", "--padding", "same"], {"window": 3, "axis": -1, "padding": "same"}),
        (
            ["-w", "4,4", "--padding", "same_lower", "-m", "avg"],
            {"window": (4, 4), "padding": "same_lower", "mode": "avg"},
        ),
        (
            ["-w", "3", "--axis", "2,0", "--padding", "0:1,2:0"],
            {"window": 3, "axis": (2, 0), "padding": ((0, 1), (2, 0))},
        ),
        (
            ["-w", "2", "--dilation", "2", "--ceil-mode", "--axis", "1"],
            {"window": 2, "dilation": 2, "ceil_mode": True, "axis": 1},
        ),
        (
            ["-w", "3", "-m", "avg", "--padding", "1", "--count-include-pad", "--ceil-mode"],
            {"window": 3, "mode": "avg", "padding": 1, "count_include_pad": True, "ceil_mode": True},
        ),
        (["-w", "2", "-m", "gem", "-o", "p=4", "-o", "eps=0.5"], {"window": 2, "mode": "gem", "p": 4, "eps": 0.5}),
        (
            ["-w", "2", "-m", "quantile", "-o", "q=0.9", "-o", "method=lower"],
            {"window": 2, "mode": "quantile", "q": 0.9, "method": "lower"},
        ),
        (
            ["-w", "2", "-m", "stochastic", "-o", "rng=3", "-o", "training=true"],
            {"window": 2, "mode": "stochastic", "rng": 3, "training": True},
        ),
        (
            ["-w", "1", "--padding", "2", "--fill-value", "nan", "--nan-policy", "omit", "--min-count", "1"],
            {"window": 1, "padding": 2, "fill_value": np.nan, "nan_policy": "omit"},
        ),
    ],
)
def test_an_array_is_pooled_as_the_function_pools_it(tmp_path, arguments, call):
    x = np.random.default_rng(0).random((5, 8, 9))
    source, target = written(tmp_path, "x.npy", x), tmp_path / "y.npy"
    said = succeeded("apply", source, target, *arguments)
    y = np.load(target)
    np.testing.assert_array_equal(y, ndpool.pool(x, **call), strict=True)
    assert said == f"wrote {target}: shape {y.shape}, {y.dtype}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npy", "y.npy"]


@pytest.mark.parametrize("axis", ["0", "1", "0,1", "-2,0"])
@pytest.mark.parametrize(
    "arguments",
    [
        {"window": 2},
        {"window": 5, "stride": 2, "padding": 1},
        {"window": 3, "stride": 4, "padding": ((2, 1), (0, 2)), "ceil_mode": True},
        {"window": 3, "stride": 2, "dilation": 3, "padding": 3, "ceil_mode": True},
        {"window": 4, "stride": 3, "padding": "same"},
        {"window": 2, "stride": 3, "padding": "same_lower"},
        {"window": 2, "padding": 3, "fill_value": -1.0},
    ],
)
@pytest.mark.parametrize("mode", ["max", "avg", "median", "stochastic"])
def test_parts_are_the_whole(monkeypatch, tmp_path, axis, arguments, mode):
    x = np.arange(37 * 23 * 2, dtype=np.int32).reshape(37, 23, 2) * 7919 % 1009
    axes = tuple(int(number) for number in axis.split(","))
    arguments = dict(arguments)
    if isinstance(arguments.get("padding"), tuple):
        arguments["padding"] = arguments["padding"][: len(axes)]
    options = {"mode": mode, "rng": 1} if mode == "stochastic" else {"mode": mode}
    if mode == "avg":
        options["count_include_pad"] = "fill_value" not in arguments
    want = ndpool.pool(x, axis=axes, **arguments, **options)
    counted = []
    monkeypatch.setattr(apply, "PART", x.nbytes // 10)
    pool = ndpool.pool
    monkeypatch.setattr(ndpool, "pool", lambda *args, **kwargs: counted.append(1) or pool(*args, **kwargs))
    source, target = written(tmp_path, "x.npy", x), tmp_path / "y.npy"
    padding = arguments.pop("padding", 0)
    if isinstance(padding, tuple):
        padding = ",".join(f"{low}:{high}" for low, high in padding)
    command = ["apply", source, target, "--axis", axis, "--padding", padding, "-m", mode]
    for name in ("window", "stride", "dilation", "fill_value"):
        command += [f"--{name.replace('_', '-')}", arguments[name]] if name in arguments else []
    command += ["--ceil-mode"] * arguments.get("ceil_mode", False)
    command += ["--count-include-pad"] * options.get("count_include_pad", False)
    command += ["-o", "rng=1"] * (mode == "stochastic")
    succeeded(*command)
    np.testing.assert_array_equal(np.load(target), want, strict=True)
    whole = mode == "stochastic" or (padding == 3 and "fill_value" in arguments and 0 in [a % 3 for a in axes])
    assert (len(counted) == 1) == whole


def test_a_large_array_is_pooled_in_parts(tmp_path):
    x = np.random.default_rng(0).integers(0, 1000, (40, 1000, 1000), dtype=np.int16)
    assert x.nbytes > 2 * apply.PART
    source, target = written(tmp_path, "x.npy", x), tmp_path / "y.npy"
    succeeded("apply", source, target, "-w", "2", "-m", "avg")
    np.testing.assert_array_equal(np.load(target), ndpool.pool(x, 2, "avg"), strict=True)


@pytest.mark.parametrize("dtype", ["float16", "float32", "int8", "uint8", "int64", "uint64"])
def test_a_dtype_is_rounded_to_and_clipped(tmp_path, dtype):
    x = np.array([-2.5, -1.5, 0.5, 1.5, 254.5, 300.0, -1e30, 1e30, np.nan, 2.0**63])
    source, target = written(tmp_path, "x.npy", x), tmp_path / "y.npy"
    said = succeeded("apply", source, target, "-w", "1", "--dtype", dtype)
    y = np.load(target)
    assert y.dtype == dtype
    if y.dtype.kind == "f":
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(y, x.astype(dtype))
        return
    info = np.iinfo(dtype)
    want = [0 if np.isnan(value) else min(max(round(value), info.min), info.max) for value in x.tolist()]
    assert y.tolist() == want
    misfits = sum(np.isnan(value) or not info.min <= round(value) <= info.max for value in x.tolist())
    assert f"{misfits} results did not fit {dtype} and were clipped" in said


def test_an_empty_batch(tmp_path):
    source, target = written(tmp_path, "x.npy", np.ones((0, 4, 6), np.float32)), tmp_path / "y.npy"
    succeeded("apply", source, target, "-w", "2,2")
    np.testing.assert_array_equal(np.load(target), np.ones((0, 2, 3), np.float32), strict=True)


# ---------------------------------------------------------------------------------------------------------------------
# Pictures
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["png", "tif", "TIFF"])
@pytest.mark.parametrize("mode", ["max", "avg", "median", "std"])
@pytest.mark.parametrize(
    "picture",
    [COLOURS, GREY, COLOURS[..., :2].copy(), GREY.astype(np.uint16) * 257],
    ids=["colours", "grey", "alpha", "16 bit"],
)
def test_a_picture_is_pooled_over_height_and_width(tmp_path, ending, mode, picture):
    source, target = written(tmp_path, "photo.png", picture), tmp_path / f"small.{ending}"
    said = succeeded("apply", source, target, "--window", 3, "--mode", mode)
    want = ndpool.pool(picture, 3, mode, axis=(0, 1))
    got = pixels(target)
    np.testing.assert_array_equal(got, np.rint(want).astype(picture.dtype), strict=True)
    assert said.startswith(f"wrote {target}: shape {want.shape}, {picture.dtype}")


def test_a_jpeg_is_read_and_written(tmp_path):
    source = tmp_path / "photo.jpg"
    PIL.Image.fromarray(COLOURS).save(source, quality=95)
    read = pixels(source)
    for name in ("small.jpg", "small.JPEG", "small.png"):
        succeeded("apply", source, tmp_path / name, "-w", "2", "-m", "avg")
    want = np.rint(ndpool.pool(read, 2, "avg", axis=(0, 1)))
    np.testing.assert_array_equal(pixels(tmp_path / "small.png"), want)
    with PIL.Image.open(tmp_path / "small.jpg") as picture:
        assert picture.format == "JPEG"
    assert np.abs(pixels(tmp_path / "small.jpg") - want).mean() < 3


def test_pictures_and_arrays_turn_into_each_other(tmp_path):
    source = written(tmp_path, "photo.png", COLOURS)
    succeeded("apply", source, tmp_path / "y.npy", "-w", "2", "-m", "avg")
    want = ndpool.pool(COLOURS, 2, "avg", axis=(0, 1))
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), want, strict=True)
    succeeded("apply", tmp_path / "y.npy", tmp_path / "z.png", "-w", "1", "--dtype", "uint8")
    np.testing.assert_array_equal(pixels(tmp_path / "z.png"), np.rint(want).astype(np.uint8), strict=True)
    floats = written(tmp_path, "floats.npy", GREY / np.float32(255))
    succeeded("apply", floats, tmp_path / "floats.tif", "-w", "2", "-m", "avg")
    np.testing.assert_array_equal(pixels(tmp_path / "floats.tif"), ndpool.pool(GREY / np.float32(255), 2, "avg"))


def test_kinds_of_pictures(tmp_path):
    palette = tmp_path / "palette.png"
    PIL.Image.fromarray(COLOURS).quantize(16).save(palette)
    with PIL.Image.open(palette) as picture:
        assert picture.mode == "P"
        colours = np.asarray(picture.convert("RGB"))
    succeeded("apply", palette, tmp_path / "colours.png", "-w", "2")
    np.testing.assert_array_equal(pixels(tmp_path / "colours.png"), ndpool.pool(colours, 2, axis=(0, 1)), strict=True)

    black = written(tmp_path, "black.png", GREY > 128)
    succeeded("apply", black, tmp_path / "share.png", "-w", "3", "-m", "avg")
    np.testing.assert_array_equal(pixels(tmp_path / "share.png"), np.rint(ndpool.pool(GREY > 128, 3, "avg") * 255))
    succeeded("apply", black, tmp_path / "any.png", "-w", "3", "-m", "any")
    np.testing.assert_array_equal(pixels(tmp_path / "any.png"), ndpool.pool(GREY > 128, 3, "any"), strict=True)
    coloured = written(tmp_path, "masks.png", COLOURS // 200)
    succeeded("apply", coloured, tmp_path / "masked.png", "-w", "3", "-m", "all")
    np.testing.assert_array_equal(
        pixels(tmp_path / "masked.png"), ndpool.pool(COLOURS // 200, 3, "all", axis=(0, 1)) * 255
    )

    turned = tmp_path / "turned.jpg"
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    PIL.Image.fromarray(COLOURS).save(turned, exif=exif)
    succeeded("apply", turned, tmp_path / "upright.png", "-w", "2")
    assert pixels(tmp_path / "upright.png").shape == (60, 48, 3)


def test_sums_of_pictures_are_clipped_and_it_is_said(tmp_path):
    source, target = written(tmp_path, "photo.png", GREY), tmp_path / "sum.png"
    said = succeeded("apply", source, target, "-w", "2", "-m", "sum")
    want = ndpool.pool(GREY, 2, "sum")
    np.testing.assert_array_equal(pixels(target), np.minimum(want, 255))
    assert f"{(want > 255).sum()} results did not fit uint8 and were clipped" in said


# ---------------------------------------------------------------------------------------------------------------------
# Mistakes
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-w", "0"], "window: 0 must be at least 1"),
        (["-w", "two"], "window: two must be ints, with commas between"),
        (["-w", "2.0"], "window: 2.0 must be ints"),
        (["-w", "50"], "window: 50 "),
        (["-w", "2,2,2"], "window: (2, 2, 2) has 3 values"),
        (["-w", "2", "-m", "maximum"], "mode: 'maximum' must be one of"),
        (["-w", "2", "-m", "quantile"], "q: "),
        (["-w", "2", "-m", "lip"], "g: "),
        (["-w", "2", "-o", "p=3"], "p: only mode"),
        (["-w", "2", "-o", "p"], "option: p must be name=value"),
        (["-w", "2", "-o", "return_indices=true"], "option: return_indices is no option of a mode"),
        (["-w", "2", "-o", "out=1"], "option: out is no option of a mode"),
        (["-w", "2", "--axis", "3"], "axis: 3 is not an axis"),
        (["-w", "2", "--stride", "0"], "stride: 0 must be at least 1"),
        (["-w", "2", "--padding", "1:2:3"], "padding: "),
        (["-w", "2", "--padding", "all"], "padding: all must be ints"),
        (["-w", "2", "--padding", "-1"], "padding: -1 "),
        (["-w", "2", "--padding", "3"], "padding: "),
        (["-w", "2", "--nan-policy", "skip"], "nan_policy: 'skip' must be"),
        (["-w", "2", "--fill-value", "none"], "fill_value: none must be a number"),
        (["-w", "2", "--dtype", "int12"], "dtype: int12 must be"),
        (["-w", "2", "--dtype", "complex64"], "dtype: complex64 must be"),
    ],
)
def test_a_wrong_option_is_one_line_and_code_2(tmp_path, arguments, says):
    source, target = written(tmp_path, "x.npy", np.ones((6, 8))), tmp_path / "y.npy"
    target.write_text("before")
    assert failed(2, "apply", source, target, *arguments).startswith(says)
    assert target.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npy", "y.npy"]


def test_a_wrong_file_is_one_line_and_code_1(tmp_path):
    target = tmp_path / "y.npy"
    target.write_text("before")
    missing, text, empty = tmp_path / "missing.npy", tmp_path / "text.png", tmp_path / "empty.npy"
    text.write_text("no picture")
    empty.write_bytes(b"")
    junk, archive, header = tmp_path / "junk.npy", tmp_path / "archive.npy", tmp_path / "header.npy"
    junk.write_text("no array")
    with archive.open("wb") as file:
        np.savez(file, x=np.ones(3))
    header.write_bytes(written(tmp_path, "x.npy", np.ones((2, 3))).read_bytes().replace(b"(2, 3)", b"(2, 3("))
    part = tmp_path / "part.npy"
    part.write_bytes((tmp_path / "x.npy").read_bytes()[:-1])
    objects, cut, pages = tmp_path / "objects.npy", tmp_path / "cut.png", tmp_path / "pages.tif"
    np.save(objects, np.array([{}], object), allow_pickle=True)
    cut.write_bytes(written(tmp_path, "whole.png", COLOURS).read_bytes()[:2000])
    frames = [PIL.Image.fromarray(GREY)] * 3
    frames[0].save(pages, save_all=True, append_images=frames[1:])
    for source, says in [
        (missing, "there is no such file"),
        (text, "cannot be read: "),
        *((path, "cannot be read: is no whole .npy file of numbers") for path in (empty, junk, archive, header, part)),
        (objects, "cannot be read: is no whole .npy file of numbers"),
        (cut, "cannot be read: "),
        (pages, "holds 3 pictures"),
    ]:
        assert failed(1, "apply", source, target, "-w", "2").startswith(f"{source}: {says}")
        assert target.read_text() == "before"

    whole = tmp_path / "whole.png"
    assert failed(1, "apply", whole, tmp_path / "no" / "y.npy", "-w", "2").startswith(f"{tmp_path / 'no' / 'y.npy'}: ")
    (tmp_path / "folder.npy").mkdir()
    assert "is a folder" in failed(1, "apply", whole, tmp_path / "folder.npy", "-w", "2")
    alpha = written(tmp_path, "alpha.png", np.dstack([COLOURS, COLOURS[..., :1]]))
    assert "a JPEG file cannot hold uint8 of shape (48, 60, 4)" in failed(
        1, "apply", alpha, tmp_path / "y.jpg", "-w", "2"
    )
    floats = written(tmp_path, "floats.npy", np.ones((4, 4)))
    assert "a PNG file cannot hold float64" in failed(1, "apply", floats, tmp_path / "y.png", "-w", "2")
    assert not [
        path.name for path in tmp_path.iterdir() if path.name.startswith(".") or (path.stem == "y" and path != target)
    ]


def test_a_name_of_no_format_is_code_2(tmp_path):
    source = written(tmp_path, "x.npy", np.ones((4, 4)))
    assert "must end in .npy, .png" in failed(2, "apply", source, tmp_path / "y.gif", "-w", "2")
    assert failed(2, "apply", tmp_path / "x.csv", tmp_path / "y.npy", "-w", "2").startswith(
        f"{tmp_path / 'x.csv'}: the name"
    )
    strings = written(tmp_path, "strings.npy", np.array(["a", "b"]))
    assert failed(2, "apply", strings, tmp_path / "y.npy", "-w", "2").startswith("x: ")
    scalar = written(tmp_path, "scalar.npy", np.array(3.0))
    assert "holds a single number" in failed(2, "apply", scalar, tmp_path / "y.npy", "-w", "2")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["apply", "x.npy", "y.npy"], "Missing option '--window'"),
        (["apply", "x.npy", "-w", 2], "Missing argument 'OUT'"),
        (["apply", "x.npy", "y.npy", "z.npy", "-w", 2], "Got unexpected extra argument"),
        (["apply", "x.npy", "y.npy", "-w", 2, "--pad", 1], "No such option"),
        (["apply", "x.npy", "y.npy", "-w"], "Option '-w' requires an argument"),
        (["apply", "x.npy", "y.npy", "-w", 2, "--min-count", "one"], "Invalid value for '--min-count'"),
        (["demo", "--seconds", -1], "Invalid value for '--seconds'"),
        (["bench", "--threads", 0], "Invalid value for '--threads'"),
        (["info", "--json=yes"], "Option '--json' does not take a value"),
        (["poll"], "No such command 'poll'"),
        (["--quiet"], "No such option"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_code_2(tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert failed(2, *arguments).startswith(says)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [[], ["apply"]])
def test_a_command_without_arguments_shows_its_help(arguments):
    assert "Usage: " in ran(*arguments).output


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_must_not_be_written(tmp_path):
    source = written(tmp_path, "x.npy", np.ones((4, 4)))
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    assert "cannot be written" in failed(1, "apply", source, folder / "y.npy", "-w", "2")


def test_an_interrupted_write_leaves_what_was_there(monkeypatch, tmp_path):
    source, target = written(tmp_path, "x.npy", np.ones((4, 4))), tmp_path / "y.npy"
    target.write_text("before")

    def interrupted(*_):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(apply, "parts", interrupted)
    assert ran("apply", source, target, "-w", "2").exit_code != 0
    assert target.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npy", "y.npy"]


def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path):
    resource = pytest.importorskip("resource", reason="POSIX")
    source, target = written(tmp_path, "x.npy", np.zeros(10**6)), tmp_path / "y.npy"
    target.write_text("before")
    limit = 10**5
    done = process(
        "apply", source, target, "-w", 1, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    )
    assert done.returncode == 1
    assert done.stderr == f"ndpool apply: {target}: cannot be written: File too large\n"
    assert target.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npy", "y.npy"]


@pytest.mark.skipif(not FULL.exists(), reason="Linux")
def test_output_that_cannot_be_printed_is_one_line():
    with FULL.open("w") as full:
        done = process("info", stdout=full)
    assert (done.returncode, done.stderr) == (1, "ndpool: output: No space left on device\n")


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "demo").write_text("a file")
    done = process("demo", tmp_path / "demo")
    assert done.returncode == 1
    assert done.stderr.startswith(f"ndpool: {tmp_path / 'demo'}: ")
    assert done.stderr.count("\n") == 1


def test_a_file_may_be_pooled_into_itself(tmp_path):
    x = np.arange(16.0).reshape(4, 4)
    source = written(tmp_path, "x.npy", x)
    succeeded("apply", source, source, "-w", "2")
    np.testing.assert_array_equal(np.load(source), ndpool.pool(x, 2))


# ---------------------------------------------------------------------------------------------------------------------
# The command itself
# ---------------------------------------------------------------------------------------------------------------------


def test_info_says_what_show_config_says():
    said = json.loads(succeeded("info", "--json"))
    packages = said.pop("packages")
    assert said == ndpool.show_config()
    assert packages["typer"]
    text = succeeded("info")
    for word in (ndpool.__version__, said["cpu_level"], f"typer {packages['typer']}"):
        assert word in text


def test_the_command_runs_as_a_process(tmp_path):
    source, target = written(tmp_path, "photo.png", COLOURS), tmp_path / "small.png"
    command = ["apply", source, target, "-w"]
    done = process(*command, 2, stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"wrote {target}: shape (48, 60, 3), uint8\n"
    done = process(*command, 0, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "ndpool apply: window: 0 must be at least 1\n"
    done = process(*command[:-1], stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "ndpool apply: Missing option '--window' / '-w'\n"


def test_min_count_is_of_real_windows(tmp_path):
    x = np.arange(64).reshape(8, 8)
    source, target = written(tmp_path, "x.npy", x), tmp_path / "y.npy"
    succeeded("apply", source, target, "-w", 2, "--min-count", 4)
    np.testing.assert_array_equal(np.load(target), ndpool.pool(x, 2, min_count=4), strict=True)
    assert failed(2, "apply", source, target, "-w", 2, "--min-count", 5).startswith("fill_value: None must be a number")


def test_a_terminal_shows_progress(tmp_path, monkeypatch):
    monkeypatch.setattr(apply, "PART", 1000)
    source, target = written(tmp_path, "x.npy", np.ones((64, 64))), tmp_path / "y.npy"
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100)
    assert apply.run(source, target, apply.Request("max", 2), terminal) == 0
    shown = terminal.file.getvalue()
    assert "y.npy" in shown and "100%" in shown
    assert f"wrote {target}: shape (32, 32), float64" in shown
    log = Console(file=io.StringIO(), width=100)
    apply.run(source, target, apply.Request("max", 2), log)
    assert log.file.getvalue() == f"wrote {target}: shape (32, 32), float64\n"


PAGE = (Path(__file__).resolve().parents[2] / "docs" / "command.md").read_text(encoding="utf-8")
CONSOLE = "".join(re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL))


def test_the_manual_shows_what_the_command_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    PIL.Image.fromarray(skimage.data.astronaut()).save("photo.jpg", quality=95)
    np.save("volume.npy", np.random.default_rng(0).random((40, 64, 64), dtype=np.float32))
    shown = re.findall(r"^\$ ndpool (.*)\n((?:(?!\$).*\n)*)", CONSOLE, re.MULTILINE)
    assert len(shown) == CONSOLE.count("$") > 5
    for command, said in shown:
        result = ran(*shlex.split(command))
        # The number of clipped pixels depends on the decoder of the JPEG file.
        assert re.sub(r"^\d+", "", result.output, flags=re.MULTILINE) == re.sub(r"^\d+", "", said, flags=re.MULTILINE)
        assert result.exit_code == (1 if said.startswith("ndpool apply: ") else 0)


def test_the_manual_names_every_command():
    table = re.findall(r"^\| `ndpool (\w+)", PAGE, re.MULTILINE)
    assert sorted(table) == sorted(command.name or command.callback.__name__ for command in app.registered_commands)
