"""Columns: what is known of each unit, as an array with a row for each. Joined with gaps, and written as JSON."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Column = NDArray[Any]
Properties = Mapping[str, Column]

_TEXT, _PLAIN = "str", "object"
_MISSING = {"f": np.nan, "c": np.nan, "U": "", "O": None}


def take(column: Column, indices: Column) -> Column:
    """Return the rows at `indices`; a missing value where the index is -1."""
    if (indices >= 0).all():
        return column[indices]
    values = _with_gaps(column)
    taken = np.empty((len(indices), *values.shape[1:]), dtype=values.dtype)
    taken[indices >= 0] = values[indices[indices >= 0]]
    taken[indices < 0] = _MISSING[values.dtype.kind]
    return taken


def _with_gaps(column: Column) -> Column:
    """Return a column in a type that has a missing value: numbers as float, anything else as it is."""
    if column.dtype.kind in _MISSING:
        return column
    return column.astype(np.float64) if column.dtype.kind in "iub" else column.astype(object)


def join(first: Properties, second: Properties, first_units: int, second_units: int) -> dict[str, Column]:
    """Return the columns of both, one below the other, with missing values where one has no such column."""
    joined: dict[str, Column] = {}
    for key in sorted({*first, *second}):
        a = first[key] if key in first else take(second[key], np.full(first_units, -1))
        b = second[key] if key in second else take(first[key], np.full(second_units, -1))
        if a.shape[1:] != b.shape[1:] or "O" in (a.dtype.kind, b.dtype.kind) or (a.dtype.kind == "U") != (b.dtype.kind == "U"):
            a, b = _as_objects(a), _as_objects(b)
        joined[key] = np.concatenate([a, b])
    return joined


def _as_objects(column: Column) -> Column:
    """Return a one-dimensional column of Python values; a row of several becomes a list."""
    values = np.empty(len(column), dtype=object)
    values[:] = column.tolist() if column.ndim == 1 else [row.tolist() for row in column]
    return values


def to_json(column: Column) -> dict[str, object]:
    """Return a property as JSON values, with what is needed to read it back as it was."""
    kind = column.dtype.kind
    if kind in "iufb":
        flat = [value if math.isfinite(value) else repr(value) for value in column.ravel().tolist()]
        return {"dtype": column.dtype.newbyteorder("<").str, "shape": list(column.shape), "values": flat}
    return {
        "dtype": _TEXT if kind in "US" else _PLAIN,
        "shape": list(column.shape),
        "values": [_plain(value) for value in column.tolist()],
    }


def from_json(column: Mapping[str, Any]) -> Column:
    """Undo `to_json`."""
    if column["dtype"] != _PLAIN:
        dtype = str if column["dtype"] == _TEXT else column["dtype"]
        return np.array(column["values"], dtype=dtype).reshape(column["shape"])
    values = np.empty(len(column["values"]), dtype=object)
    values[:] = [_unplain(value) for value in column["values"]]
    return values


def _plain(value: object) -> object:
    """Return a value as JSON holds it, NaN and infinities as ``{"float": "nan"}``."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(inner) for inner in value]
    return text(value)


def _unplain(value: object) -> object:
    """Undo `_plain`."""
    if isinstance(value, dict):
        return float(value["float"])
    return [_unplain(inner) for inner in value] if isinstance(value, list) else value


def text(value: object) -> str:
    """Return a value as text; bytes are decoded."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
