"""The tables and pages about modes, against the library: what they say of each mode is what it does."""

import re
from pathlib import Path
from typing import get_args

import ndpool
import numpy as np
import pytest
import reference_modes as modes
import strategies_modes as drawn
from ndpool import invariance, nn, viz
from ndpool.any_axes import Mode

ROOT = Path(__file__).resolve().parents[2]
MANUAL = ROOT / "docs" / "modes"
SHAPE = (4, 6)
X = np.random.default_rng(0).uniform(0.25, 4, SHAPE)
# A value of every option that some mode has.
VALUES = {
    "alpha": 0.25,
    "beta": 2.0,
    "count_include_pad": True,
    "ddof": 1,
    "dtype": "float64",
    "eps": 0.5,
    "g": X,
    "ignore": 1,
    "method": "lower",
    "p": 2.5,
    "q": 0.25,
    "r": 2.0,
    "return_indices": True,
    "rng": 0,
    "training": False,
    "weights": X,
}


# What is public in modules that `import ndpool` does not import.
OF_MODULES = {f"invariance.{name}" for name in invariance.__all__} | {f"viz.{name}" for name in viz.__all__}


def read(path):
    """Read a page."""
    return path.read_text(encoding="utf-8")


def rows(text, heading):
    """List the cells of each row of the table whose heading begins so."""
    lines = text[text.index(heading) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" |")] for line in lines]


def quoted(cell):
    """List what stands between backticks: option names without their defaults."""
    return [item.split("=")[0] for item in re.findall(r"`([^`]*)`", cell)]


TABLE = {re.match(r"\[(\w+)\]", row[0])[1]: row for row in rows(read(MANUAL / "index.md"), "| mode | gives |")}
EVERY_MODE = pytest.mark.parametrize("name", sorted(TABLE))


def needed(name, shape=SHAPE):
    """Return options that a mode cannot do without."""
    return drawn.settings_of(name, shape) if name in ("lip", "quantile") else {}


def test_the_table_lists_every_mode_and_no_other():
    with pytest.raises(ValueError, match="must be one of") as caught:
        ndpool.pool(X, 2, "no mode")
    names = str(caught.value).split("must be one of ")[1].split(", ")
    assert list(TABLE) == names
    assert sorted(get_args(Mode)) == sorted(names)


@EVERY_MODE
def test_a_mode_has_a_page_with_its_picture(name):
    page = MANUAL / re.search(r"\((.+)\)", TABLE[name][0])[1]
    assert f"(../generated/modes/{name}.png)" in read(page)
    for heading in ("## Example", "## Gradient", "## Numerical care", "## When to use it", "## Elsewhere"):
        assert f"\n{heading}\n" in read(page)


def test_every_page_is_in_the_table_and_in_the_contents():
    pages = {path.stem for path in MANUAL.glob("*.md")} - {"index"}
    assert {re.search(r"\((.+)\.md\)", row[0])[1] for row in TABLE.values()} == pages
    contents = re.search(r"```{toctree}\n.*?\n\n(.*?)\n```", read(MANUAL / "index.md"), re.DOTALL)[1]
    assert set(contents.splitlines()) == pages


@EVERY_MODE
@pytest.mark.parametrize("option", sorted(VALUES))
def test_a_mode_has_the_options_of_the_table(name, option):
    arguments = needed(name) | {option: VALUES[option]}
    if option in quoted(TABLE[name][2]):
        ndpool.pool(X, 2, name, **arguments)
    else:
        with pytest.raises(TypeError, match=f"^{option}: only mode"):
            ndpool.pool(X, 2, name, **arguments)


@EVERY_MODE
def test_defaults_are_those_of_the_table(name):
    given = dict(re.findall(r"`(\w+)=([^`]+)`", TABLE[name][2]))
    values = {option: {"None": None, "True": True}.get(text) for option, text in given.items()}
    values |= {option: float(text) for option, text in given.items() if values[option] is None and text != "None"}
    seed = {"rng": 0} if name == "stochastic" else {}
    got = ndpool.pool(X, 2, name, **needed(name), **seed, **values)
    np.testing.assert_array_equal(got, ndpool.pool(X, 2, name, **needed(name), **seed))


@EVERY_MODE
@pytest.mark.parametrize("dtype", ["float32", "float16", "int16", "uint8", "bool"])
def test_results_have_the_dtypes_of_the_table(name, dtype):
    says = TABLE[name][3 if np.dtype(dtype).kind == "f" else 4]
    x = np.ones(SHAPE, dtype)
    result = ndpool.pool(x, 2, name, **needed(name)).dtype
    if says == "as x":
        assert result == dtype
    elif says == "`int64`, `uint64`":
        assert result == ("uint64" if np.dtype(dtype).kind == "u" else "int64")
    else:
        assert [result.name] == quoted(says)


@EVERY_MODE
def test_a_mode_is_differentiable_in_what_the_table_says(name):
    says = quoted(TABLE[name][5])
    given = needed(name) | {option: VALUES[option] for option in says if option != "x"}
    if not says:
        with pytest.raises(TypeError, match="not differentiable"):
            ndpool.vjp(ndpool.pool, X, 2, name, **given)
        return
    y, pullback = ndpool.vjp(ndpool.pool, X, 2, name, **given)
    slopes = pullback(np.ones_like(y))
    slopes = slopes if isinstance(slopes, tuple) else (slopes,)
    assert [slope.shape for slope in slopes] == [np.shape(X if say == "x" else VALUES[say]) for say in says]
    known = modes.MODES[name]
    learned = ["weights"] * known.weights + ["g"] * (name == "lip") + [known.scalar] * bool(known.scalar)
    assert says == ["x", *learned]


def test_every_public_function_is_on_the_page_of_functions():
    page = read(ROOT / "docs" / "functions.md")
    listed = set(re.findall(r"^   (?!:)([\w.]+)$", page, re.MULTILINE))
    public = {name for name in ndpool.__all__ if callable(getattr(ndpool, name)) and name != "Pullback"}
    assert listed == public | OF_MODULES


def test_every_layer_is_on_the_page_of_layers():
    page = read(ROOT / "docs" / "layers.md")
    assert sorted(re.findall(r"^   (?!:)(\w+)$", page, re.MULTILINE)) == sorted(nn.__all__)


def test_every_public_function_is_in_the_table_of_the_readme():
    page = read(ROOT / "README.md")
    listed = [name for row in rows(page, "| function | what") for name in quoted(row[0])]
    public = [name for name in ndpool.__all__ if callable(getattr(ndpool, name)) and name != "Pullback"]
    # `max_pool1d/2d/3d` stands for three; arguments do not matter.
    kinds = [{re.sub(r"\dd(/\dd)*$", "", name.split("(")[0]) for name in names} for names in (listed, public)]
    assert kinds[0] == kinds[1]


def test_the_readme_counts_every_mode():
    compared = {name for row in rows(read(ROOT / "README.md"), "| | ndpool |") for name in quoted(row[0])}
    assert set(TABLE) <= compared
