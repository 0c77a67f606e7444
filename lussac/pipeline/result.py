"""What a run is told and what it gives back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from spikeinterface.core import BaseRecording, BaseSorting

from lussac.modules import MERGED
from lussac.modules.base import Sortings


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line chooses.

    Parameters
    ----------
    jobs
        Cores to use instead of the `n_jobs` of the params.
    engine
        Where sorters run; chosen by what is there when None.
    locked
        Refuse images that are not those of ``params.lock.json`` beside the params.
    offline
        Never pull an image.
    memory
        Bytes that the sorters share; None is no limit.
    seconds
        Wall-clock limit of each sorter; None is no limit.
    allow_failed_sorters
        Go on with the sorters that have finished.
    keep_stale
        Take a sorter's result although something else made it.
    hold_spikes
        Read all spikes of the result into memory; otherwise its sortings tell of their units alone once the run has ended.
    """

    jobs: int | None = None
    engine: str | None = None
    locked: bool = False
    offline: bool = False
    memory: int | None = None
    seconds: float | None = None
    allow_failed_sorters: bool = False
    keep_stale: bool = False
    hold_spikes: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What is given as objects instead of by the params."""

    recording: BaseRecording | None = None
    sortings: Sortings = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """A finished pass, for the summary.

    Parameters
    ----------
    label
        Of the pass.
    units_in, units_out
        Units by analysis: those of the category before the pass, and those that it left of them.
    reused
        Whether a stored result was taken.
    seconds
        Time that it took now.
    exports
        Folders written for the user.
    """

    label: str
    units_in: Mapping[str, int]
    units_out: Mapping[str, int]
    reused: bool
    seconds: float
    exports: tuple[Path, ...] = ()

    def summary(self) -> str:
        """Return what became of the units in one clause."""
        before, after = sum(self.units_in.values()), sum(self.units_out.values())
        return f"{before} -> {after} units"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a run leaves.

    Parameters
    ----------
    sortings
        At the end of the pipeline.
    analyses
        At its start.
    steps
        The passes, in order.
    logs_folder
        Where everything about the run is.
    failed_sorters
        Messages of the sorters that failed, where that was allowed.
    """

    sortings: Sortings
    analyses: Sortings
    steps: tuple[Step, ...]
    logs_folder: Path
    failed_sorters: Mapping[str, str]

    @property
    def merged(self) -> BaseSorting | None:
        """The merged sorting; None where the pipeline has no merge_sortings."""
        return self.sortings.get(MERGED)

    @property
    def exports(self) -> tuple[Path, ...]:
        """All folders written for the user."""
        return tuple(path for step in self.steps for path in step.exports)
