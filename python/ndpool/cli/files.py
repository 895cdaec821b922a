"""Arrays and pictures in files: written beside the target and renamed, so that no half of a file is left."""

from __future__ import annotations

import secrets
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.format import dtype_to_descr, open_memmap, write_array_header_1_0

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL.Image import Image

ARRAY = ".npy"
#: What Pillow calls the formats of pictures.
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF"}
#: Kinds of pixels that are numbers in the order of a NumPy array; others, such as palettes, are turned into colours.
PLAIN = ("L", "LA", "RGB", "RGBA", "I", "F")
JPEG_QUALITY = 95
MATRIX = 2  # axes of a picture without channels


class FileError(Exception):
    """A file that cannot be read or written, or holds something else."""


@dataclass(frozen=True)
class Content:
    """What a file holds: an array, and whether it is a picture, and what a picture says of its colours."""

    array: NDArray[Any]
    picture: bool
    save: dict[str, Any] = field(default_factory=dict)


def kind(path: Path) -> str:
    """Return the lower-case ending of a file's name.

    Raises
    ------
    ValueError
        When it is of no format that can be read and written.
    """
    suffix = path.suffix.lower()
    if suffix != ARRAY and suffix not in FORMATS:
        raise ValueError(f"{path}: the name must end in {', '.join([ARRAY, *FORMATS])}")
    return suffix


def read(path: Path) -> Content:
    """Read an array or a picture; arrays stay on disk until they are used.

    Raises
    ------
    FileError
        When the file cannot be read.
    """
    try:
        if kind(path) == ARRAY:
            return Content(_read_array(path), picture=False)
        return _read_picture(path)
    except FileNotFoundError:
        raise FileError(f"{path}: there is no such file") from None
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise FileError(f"{path}: cannot be read: {_line(error)}") from error


def _read_array(path: Path) -> NDArray[Any]:
    try:
        return open_memmap(path, mode="r")
    except (OSError, MemoryError):
        raise
    except Exception as error:  # NumPy parses the header as Python
        raise FileError(f"{path}: cannot be read: is no whole .npy file of numbers") from error


def _read_picture(path: Path) -> Content:
    import PIL.Image
    import PIL.ImageOps

    with warnings.catch_warnings():
        # Too large a picture is still refused, at twice the size.
        warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
        try:
            with PIL.Image.open(path) as opened:
                frames = getattr(opened, "n_frames", 1)
                if frames > 1:
                    raise FileError(f"{path}: holds {frames} pictures; only files of one can be pooled")
                picture = PIL.ImageOps.exif_transpose(opened)
                profile = opened.info.get("icc_profile")
                if picture.mode == "1":
                    picture = picture.convert("L")
                elif picture.mode not in PLAIN and not picture.mode.startswith("I;16"):
                    picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
                    profile = None if opened.mode == "CMYK" else profile
                array = np.asarray(picture)
        except PIL.Image.DecompressionBombError as error:
            raise FileError(f"{path}: {_line(error)}") from error
    return Content(array, picture=True, save={"icc_profile": profile} if profile else {})


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the name of a file beside `path`, which takes its place if the block succeeds and goes away if not.

    Raises
    ------
    FileError
        When the file cannot be written.
    """
    if path.is_dir():
        raise FileError(f"{path}: is a folder")
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        try:
            yield beside
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {_line(error)}") from error


def converted(array: NDArray[Any], dtype: np.dtype[Any]) -> tuple[NDArray[Any], int]:
    """Return numbers in a dtype of numbers, and how many of them did not fit.

    As integers they are rounded half to even; those that do not fit become the smallest or largest, NaN becomes 0.
    """
    if array.dtype == dtype:
        return array, 0
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return array.astype(dtype), 0
    info = np.iinfo(dtype)
    numbers = np.rint(array.astype(np.float64)) if array.dtype.kind == "f" else array.astype(np.int64, copy=False)
    if array.dtype == np.uint64:
        numbers = array
    # Bounds that the numbers' own type can hold: 2**63 is one more than the largest int64.
    below = numbers < info.min
    above = numbers >= float(info.max) + 1 if numbers.dtype.kind == "f" else numbers > info.max
    misfit = below | above | np.isnan(numbers)
    result = np.where(misfit, 0, numbers).astype(dtype)
    result[below], result[above] = info.min, info.max
    return result, int(np.count_nonzero(misfit))


def is_picture(path: Path) -> bool:
    """Whether a file of this name holds a picture."""
    return kind(path) != ARRAY


@contextmanager
def result(path: Path, shape: tuple[int, ...], save: dict[str, Any]) -> Iterator[Callable[[NDArray[Any]], None]]:
    """Yield a function that takes the parts of an array, in order; the whole is `path` if the block succeeds.

    Raises
    ------
    FileError
        When the format cannot hold such an array, the file cannot be written, or the parts are not of this shape.
    """
    if is_picture(path):
        parts: list[NDArray[Any]] = []
        yield parts.append
        whole = np.concatenate(parts)
        _expect_shape(path, whole.shape, shape)
        _write_picture(path, whole, save)
        return
    with replacing(path) as beside, beside.open("xb") as file:
        length = 0

        def write(part: NDArray[Any]) -> None:
            nonlocal length
            if file.tell() == 0:
                header = {"descr": dtype_to_descr(part.dtype), "fortran_order": False, "shape": shape}
                write_array_header_1_0(file, header)
            file.write(np.ascontiguousarray(part).data)
            length += len(part)
            _expect_shape(path, (length, *part.shape[1:]), (length, *shape[1:]))

        yield write
        _expect_shape(path, (length, *shape[1:]), shape)


def _expect_shape(path: Path, got: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """Refuse to leave a file whose cells are not those that it announces."""
    if got != shape:
        raise FileError(f"{path}: results of shape {got} came where {shape} was to be written")


def _write_picture(path: Path, array: NDArray[Any], save: dict[str, Any]) -> None:
    name = FORMATS[kind(path)]
    with replacing(path) as beside:
        try:
            picture = _picture(array)
            quality = {"quality": JPEG_QUALITY} if name == "JPEG" else {}
            picture.save(beside, format=name, **quality, **save)
        except (TypeError, ValueError, KeyError, OSError) as error:
            if getattr(error, "errno", None) is not None:
                raise
            shape = f"{array.dtype} of shape {array.shape}"
            raise FileError(f"{path}: a {name} file cannot hold {shape}: use another format, or --dtype") from error


def _picture(array: NDArray[Any]) -> Image:
    import PIL.Image

    if array.ndim == MATRIX + 1:
        if array.dtype == np.bool_:
            array = array * np.uint8(255)  # black and white in each channel
        if array.shape[-1] == 1:
            array = array[..., 0]
    return PIL.Image.fromarray(np.ascontiguousarray(array))


def _line(error: BaseException) -> str:
    """Return what an error says, on one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())
