"""What can go wrong, and what it means for the caller.

One class is one meaning and one exit code. A message is one sentence of what happened and where (``file:line:column`` or a
path), and one of what to do next. Anything that is not a `LussacError` is a bug of ours and shows a traceback.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar


class LussacError(Exception):
    """Base of all errors that belong to the user."""

    exit_code: ClassVar[int] = 1
    record: Mapping[str, Any] = MappingProxyType({})
    """What is to be recorded of the sorter run that failed; empty where none was started."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong with a file.

    Parameters
    ----------
    line, column
        Counted from 1; 0 where the problem has no place in a file.
    path
        Keys that lead to the value, joined by dots: ``lussac.pipeline.align_units.all.threshold``.
    message
        What is wrong, what is allowed, what to write instead.
    """

    line: int
    column: int
    path: str
    message: str

    def render(self, file: str) -> str:
        """Return the problem as one line that editors can jump to."""
        place = f"{file}:{self.line}:{self.column}" if self.line else file
        return ": ".join(part for part in (place, self.path, self.message) if part)


class ParamsError(LussacError):
    """The params or the command line are wrong; holds every problem found, in the order of the file."""

    exit_code = 2

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        self.file = file
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(problem.render(file) for problem in self.problems))


class UsageError(LussacError):
    """The command line or a call of the Python interface asks for something that can't be."""

    exit_code = 2


class InputError(LussacError):
    """A recording, probe or sorting can't be read or doesn't fit the others."""

    exit_code = 2


class FolderError(LussacError):
    """A folder can't be used: not ours, in use by another run, not writable, no space."""

    exit_code = 2


class EngineError(LussacError):
    """An engine (docker, singularity, this machine) or an image can't do what is asked."""

    exit_code = 3


class SorterError(LussacError):
    """A sorter failed."""

    exit_code = 3


class ModuleError(LussacError):
    """A module of the pipeline failed."""

    exit_code = 4


class ReproducibilityError(LussacError):
    """What should be equal is not."""

    exit_code = 5


INTERRUPTED = "Interrupted. What was finished is kept: the same command goes on from there."


class InterruptedRunError(LussacError):
    """The run was stopped by the user or by the system."""

    exit_code = 130
