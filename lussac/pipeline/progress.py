"""News of a run, for whoever shows it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Progress:
    """News of one sorter or pass.

    Parameters
    ----------
    name
        Of the analysis that a sorter makes, or the label of the pass.
    state
        What it does.
    text
        The newest line that the sorter wrote, or the result in one clause.
    """

    name: str
    state: Literal["waiting", "running", "done", "reused", "failed"]
    text: str = ""


Watch = Callable[[Progress], None]
"""Told how sorters and passes get on; called from several threads."""
