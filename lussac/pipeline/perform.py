"""Runs the module of one pass and puts what it gives into the store."""

import contextlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from spikeinterface.core import BaseRecording

from lussac import recording as rec
from lussac.errors import LussacError, ModuleError
from lussac.modules.base import Context, Outcome, Sortings
from lussac.pipeline.log import step_log
from lussac.pipeline.walk import Node, load, save
from lussac.provenance import describe_files
from lussac.store import Store, explained, is_disk_full
from lussac.traces import Traces
from lussac.units import Decision

SORTINGS_LEVEL, TABLES_LEVEL = 1, 2
"""From which `logs_level` on the sortings, and tables of decisions and numbers, are kept."""


@dataclass(frozen=True)
class Materials:
    """The preprocessed recording, and what is computed from it once for all passes and sorters.

    Parameters
    ----------
    source
        The recording, computed when it is read.
    recording_hash
        Its fingerprint.
    folder
        Scratch.
    jobs
        SpikeInterface's job kwargs.
    log
        Told what is written.
    """

    source: BaseRecording
    recording_hash: str
    folder: Path
    jobs: Mapping[str, object]
    log: logging.Logger

    @cached_property
    def recording(self) -> BaseRecording:
        """The recording as modules read it: written out once, unless it lies on the disk as plain binary already."""
        if self.source.is_binary_compatible():
            return self.source
        return rec.read_binary(self.written(self.source, self.recording_hash))

    @cached_property
    def traces(self) -> Traces:
        """Its traces, band-passed as modules ask for."""
        folder = self.folder / "traces"
        folder.mkdir()
        return Traces(self.recording, folder, self.jobs, self.log)

    def folder_of(self, fingerprint: str) -> Path:
        """Return where the binary folder of a recording with this fingerprint is or will be."""
        return self.folder / f"recording-{fingerprint[:16]}"

    def written(self, recording: BaseRecording, fingerprint: str) -> Path:
        """Return the binary folder of a recording, written now unless it was before."""
        folder = self.folder_of(fingerprint)
        if not folder.exists():
            self.log.info("Writing the preprocessed recording to %s.", folder)
            with explained(self.folder):
                rec.write_binary(recording, folder, self.jobs)
        return folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Performer:
    """Performs passes.

    Parameters
    ----------
    materials
        The recording and what is computed from it.
    store
        Where finished passes go.
    base
        The folder of params.json.
    level
        The `logs_level`.
    """

    materials: Materials
    store: Store
    base: Path
    level: int

    def __call__(self, node: Node) -> Sortings:
        """Run the module of a pass.

        Raises
        ------
        LussacError
            As the module raised it; `ModuleError` for anything else.
        """
        with self._draft(node) as folder:
            outcome = self._outcome(node, folder)
            results = node.results(outcome.sortings)
            save(results, describe_files(outcome.exports), folder)
            if self.level >= TABLES_LEVEL:
                _write_tables(outcome, folder)
        found = self.store.find(node.key)
        return load(found) if found else results

    @contextlib.contextmanager
    def _draft(self, node: Node) -> Iterator[Path]:
        """Give the folder that the pass is written to; one that isn't kept where the user wants nothing but the log."""
        if self.level >= SORTINGS_LEVEL:
            with self.store.draft(node.key, node.order.label, node.ingredients) as folder:
                yield folder
        else:
            with _temporary(self.materials.folder / "unkept") as folder:
                yield folder

    def _outcome(self, node: Node, folder: Path) -> Outcome:
        label, log = node.order.label, self.materials.log
        with _temporary(self.materials.folder / label) as scratch, step_log(log, folder / "log.txt"):
            _tell_empty(node, log)
            context = Context(
                recording=self.materials.recording,
                source=self.materials.source,
                traces=self.materials.traces,
                selector=node.order.selector,
                folder=scratch,
                base=self.base,
                seed=node.seed,
                jobs=self.materials.jobs,
                log=log,
            )
            try:
                outcome: Outcome = node.module.run(node.given, node.order.params, context)
            except LussacError:
                raise
            except Exception as error:
                if is_disk_full(error, scratch):
                    raise
                log.exception("%s failed.", label)
                raise ModuleError(
                    f"{label} failed: {type(error).__name__}: {error}. What it had written and its log are in "
                    f"{self.store.failed}; the steps before it are kept, so that a run after the repair goes on here."
                ) from error
            for decision in outcome.decisions:
                log.info("%s", describe(decision))
            return outcome


def describe(decision: Decision) -> str:
    """Return a decision as a line of the log."""
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in decision.numbers.items())
    line = f"{decision.unit.sorting}, unit {decision.unit.unit}: {decision.action}, {decision.reason}"
    return f"{line} ({numbers})" if numbers else line


def _tell_empty(node: Node, log: logging.Logger) -> None:
    empty = [name for name, sorting in node.given.items() if sorting.get_num_units() == 0]
    if empty:
        log.info("No unit in category %s of %s.", node.order.selector.text, ", ".join(empty))


def _write_tables(outcome: Outcome, folder: Path) -> None:
    with (folder / "decisions.jsonl").open("w", encoding="utf-8") as stream:
        for decision in outcome.decisions:
            facts = {**asdict(decision), "unit": list(decision.unit)}
            stream.write(json.dumps(facts, default=float) + "\n")
    if outcome.arrays:
        (folder / "arrays").mkdir()
    for name, array in outcome.arrays.items():
        np.save(folder / "arrays" / f"{name}.npy", array, allow_pickle=False)


@contextlib.contextmanager
def _temporary(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
