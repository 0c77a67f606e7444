"""The modules of the pipeline: one file each, found by the file's name."""

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lussac.modules.base import Module

MERGED = "merged_sorting"
"""Name of the sorting that merge_sortings makes of all analyses."""
MEMBER_AGREEMENT = "member_agreement"
"""Number of a decision to merge a unit: the share of the spikes of the unit or of the neuron that both have, 0 .. 1."""
EXPORT_MARKER = "LUSSAC-EXPORT"
"""File in every exported folder: only a folder that holds it is ever replaced."""

_NO_MODULES = {"base"}


def names() -> tuple[str, ...]:
    """Return the names of all modules, sorted."""
    found = {file.name for file in pkgutil.iter_modules(__path__) if not file.name.startswith("_")}
    return tuple(sorted(found - _NO_MODULES))


def load(name: str) -> "Module[Any]":
    """Return a module.

    Raises
    ------
    ModuleNotFoundError
        Where there is no module of this name; `names` has them all.
    """
    module: Module[Any] = importlib.import_module(f"{__name__}.{name}").MODULE
    return module
