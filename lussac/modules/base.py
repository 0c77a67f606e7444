"""What a module is: parameters, a function, and what the function is given and gives back."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from numpy.typing import NDArray
from spikeinterface.core import BaseRecording, BaseSorting

from lussac.params import Strict
from lussac.traces import Traces
from lussac.units import Decision, Selector

Sortings = Mapping[str, BaseSorting]


class ModuleParams(Strict):
    """Parameters that every module takes."""

    sortings: tuple[str, ...] | None = None
    """Names of the analyses to work on; the others pass through untouched. All by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a module may use besides its sortings and parameters.

    Parameters
    ----------
    recording
        The preprocessed recording, with its probe, quick to read; never modified. It may lie in the scratch folder.
    source
        The same recording as a chain on the user's files: what an export may name.
    traces
        Band-passed traces, noise levels and templates of that recording; what was computed once is shared by all steps.
    selector
        The category that this pass works on; the sortings given hold only its units.
    folder
        An empty scratch folder of this pass; removed afterwards.
    base
        The folder of params.json: relative paths in the parameters start here.
    seed
        For every random choice of this pass.
    jobs
        SpikeInterface's job kwargs.
    log
        For what the user may want to read; decisions about units go into the outcome instead.
    """

    recording: BaseRecording
    source: BaseRecording
    traces: Traces
    selector: Selector
    folder: Path
    base: Path
    seed: int
    jobs: Mapping[str, object]
    log: logging.Logger

    def samples(self, milliseconds: float) -> int:
        """Return a time as a count of samples, rounded to the nearest."""
        return round(milliseconds * 1e-3 * self.recording.sampling_frequency)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a module gives back.

    Parameters
    ----------
    sortings
        The selected units after the module, by analysis. An analysis that is missing here has lost all its selected units.
    decisions
        What was done with which unit, and why.
    arrays
        Tables and matrices worth keeping for the report, by name.
    exports
        Folders written for the user, outside the logs.
    """

    sortings: Sortings
    decisions: tuple[Decision, ...] = ()
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    exports: tuple[Path, ...] = ()


P = TypeVar("P", bound=ModuleParams)


@dataclass(frozen=True, slots=True)
class Module(Generic[P]):
    """A step of the pipeline.

    Parameters
    ----------
    params
        The class that its parameters are read into.
    run
        Does the work. It never changes what it is given.
    version
        Raised whenever the same input would give another result, so that stored results are not mistaken for new ones.
    fuses
        Whether its result replaces the analyses by new sortings (as merge_sortings does), so that its passes must not overlap.
    exports
        Fields of the parameters that name folders it writes for the user.
    """

    params: type[P]
    run: Callable[[Sortings, P, Context], Outcome]
    version: int = 1
    fuses: bool = False
    exports: tuple[str, ...] = ()
