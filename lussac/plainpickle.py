"""Pickles of others, read without running anything they name.

A pickle is a program: it may call any function that Python can import. Here it may only build plain data (numbers, strings,
containers, NumPy arrays, paths) and descriptions of SpikeInterface's extractors, which stay descriptions: dicts.
"""

import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy._core import multiarray
from numpy.typing import NDArray

from lussac.errors import InputError

FAULTS = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What a damaged pickle can raise."""


def load(stream: BinaryIO, name: str) -> object:
    """Read the pickle at the present place of a stream.

    Parameters
    ----------
    stream
        Open for reading bytes.
    name
        What to call it in messages.

    Raises
    ------
    InputError
        Where it would run anything, with the name of that, or is damaged.
    """
    try:
        return _PlainUnpickler(stream, name).load()
    except FAULTS as error:
        reason = str(error) or type(error).__name__
        raise InputError(f"The pickle {name} is damaged: {reason}. Write it again.") from error


class _PlainUnpickler(pickle._Unpickler):  # noqa: SLF001 (the one in C takes all memory when a damaged file asks for it)
    """Gives a pickle nothing but harmless constructors."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        super().__init__(stream)
        self._name = name

    def find_class(self, module: str, name: str) -> Callable[..., object]:
        """Return the harmless stand-in for what a pickle names, or refuse."""
        try:
            return _HARMLESS[module, name]
        except KeyError:
            raise InputError(
                f"The pickle {self._name} is refused: it would run {module}.{name} on this machine. If you trust it, load it in "
                "Python and save the sorting with sorting.save(folder=...) or sorting.dump_to_json(...)."
            ) from None


def _description(description: Mapping[str, Any], *_: object) -> Mapping[str, Any]:
    """Stand in for the function that would build an extractor."""
    return description


def _path(*parts: str) -> Path:
    """Stand in for the classes of pathlib: paths of another system too."""
    return Path(*parts)


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Stand in for `_codecs.encode`, which old protocols use for bytes; other codecs may do more than encode."""
    if encoding not in {"latin1", "latin-1"}:
        raise ValueError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin-1")


def _from_buffer(
    buffer: bytes,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    order: Literal["C", "F", "K"],
    axes: tuple[int, ...] | None = None,
) -> NDArray[Any]:
    """Stand in for the function that protocol 5 makes arrays with."""
    array = np.frombuffer(buffer, dtype=dtype)
    return array.reshape(shape).transpose(axes) if order == "K" else array.reshape(shape, order=order)


_HARMLESS: Mapping[tuple[str, str], Callable[..., object]] = {
    **{(module, kind.__name__): kind for module in ("builtins", "__builtin__") for kind in (complex, frozenset, set, slice)},
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _encode,
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
    **{
        (f"{package}.{module}", function): constructor
        for package in ("numpy.core", "numpy._core")
        for module, function, constructor in (
            ("multiarray", "_reconstruct", multiarray._reconstruct),  # noqa: SLF001
            ("multiarray", "scalar", multiarray.scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
    **{
        (module, name): _path
        for module in ("pathlib", "pathlib._local")
        for name in ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
    },
    ("spikeinterface.core.base", "BaseExtractor.from_dict"): _description,
}
