"""The sorters of a run: what is finished is taken again, the others run side by side."""

import logging
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from spikeinterface.core import BaseSorting

from lussac import inside, preprocessing, sorters
from lussac import sortings as srt
from lussac.errors import InterruptedRunError, LussacError, SorterError
from lussac.inside import Kind
from lussac.params import SorterParams
from lussac.pipeline.perform import Materials
from lussac.pipeline.progress import Progress, Watch
from lussac.pipeline.result import Options
from lussac.provenance import Provenance
from lussac.sorters import Finished, SorterJob, Stale, images
from lussac.store import content_key

CONTAINERS_OF = {Kind.DOCKER: "docker", Kind.APPTAINER: "singularity"}
"""The engine that gives sorters containers of their own where Lussac runs in its image."""


@dataclass(frozen=True, kw_only=True)
class SorterStage:
    """Runs the sorters of the params.

    Parameters
    ----------
    runs
        By the name of the analysis that each makes.
    materials
        The recording that all start from.
    base
        The folder of params.json.
    options
        Where to run, what the sorters may use, and what to do with those that fail or are stale.
    cores
        To be shared by the sorters.
    provenance, watch, log
        Told what happens.
    """

    runs: Mapping[str, SorterParams]
    materials: Materials
    base: Path
    options: Options
    cores: int
    provenance: Provenance
    watch: Watch
    log: logging.Logger

    def run(self) -> tuple[dict[str, BaseSorting], dict[str, str]]:
        """Return the sortings by name, and the messages of the sorters that failed.

        Raises
        ------
        SorterError
            Some failed and that isn't allowed; the others are kept and not run again.
        EngineError
            Nothing here can run one of them; raised before any starts.
        """
        jobs = [self._prepared(name) for name in self.runs]
        found = {job.name: result for job in jobs if (result := self._found(job)) is not None}
        self._say_where([job for job in jobs if job.name not in found])
        made = self._sorted([job for job in jobs if job.name not in found])
        failed = {name: str(error) for name, error in made.items() if isinstance(error, LussacError)}
        if failed and not self.options.allow_failed_sorters:
            kept = len(jobs) - len(failed)
            raise SorterError(
                "\n".join(failed.values()) + f"\n{kept} of {len(jobs)} sorters finished; they are kept and not run again. "
                "Repair what failed and run again, or go on without it: --allow-failed-sorters."
            )
        finished = found | {name: result for name, result in made.items() if isinstance(result, Finished)}
        return {name: self._loaded(name, finished[name]) for name in self.runs if name in finished}, failed

    def _prepared(self, name: str) -> SorterJob:
        fingerprint = self._fingerprint(name)
        folder = self.materials.folder_of(fingerprint)
        return sorters.prepare(
            name,
            self.runs[name],
            folder,
            fingerprint,
            engine=self.options.engine,
            base=self.base,
            pull=not self.options.offline,
            locked=self.locked,
            seconds=self.options.seconds,
        )

    @cached_property
    def locked(self) -> Mapping[str, Mapping[str, str]] | None:
        """The images that may run; None where all may."""
        return images.read(self.base / images.LOCK) if self.options.locked else None

    def _fingerprint(self, name: str) -> str:
        """Return what identifies the recording after the sorter's own preprocessing."""
        steps = [[key, arguments] for key, arguments in self.runs[name].preprocessing.items()]
        before = self.materials.recording_hash
        return content_key({"recording": before, "steps": steps}) if steps else before

    def _found(self, job: SorterJob) -> Finished | None:
        result = sorters.find(job)
        if isinstance(result, Stale):
            differences = "; ".join(result.differences)
            if not self.options.keep_stale:
                self.log.info("%s is sorted again: %s.", job.name, differences)
                return None
            self.log.warning("%s is kept (--keep-stale) although it was made otherwise: %s.", job.name, differences)
            self._tell(job.name, "reused", result.finished, "stale")
            return result.finished
        if result is not None:
            self._tell(job.name, "reused", result, "reused")
        return result

    def _say_where(self, jobs: list[SorterJob]) -> None:
        """Say in Lussac's own image which sorters have no container of their own, and why."""
        wanted = CONTAINERS_OF.get(inside.here().kind, "")
        names: dict[str, list[str]] = {}
        for job in jobs:
            if job.engine.name == "local" and wanted in job.passed:
                names.setdefault(job.passed[wanted], []).append(job.name)
        for why, alike in names.items():
            self.log.warning("%s will run inside Lussac's own image: %s.", ", ".join(alike), why.rstrip("."))

    def _sorted(self, jobs: list[SorterJob]) -> dict[str, Finished | LussacError]:
        """Run what isn't finished yet."""
        if not jobs:
            return {}
        for engine in {job.engine.name: job.engine for job in jobs}.values():
            for line in engine.reap():
                self.log.info("%s", line)
        for job in jobs:
            self._write_recording(job)
            self.log.info("%s: %s on %s (%s), image %s.", job.name, job.sorter, job.engine.name, job.why, job.image.rootfs)
            if job.row.relaxed and job.image.source != "none":
                self.log.warning("%s: the image of %s needs %s.", job.name, job.sorter, _spelled(job.row.relaxed))
            self.watch(Progress(job.name, "waiting"))
        by_name = {job.name: job for job in jobs}
        made = sorters.sort_all(
            jobs,
            self.cores,
            self.options.memory,
            self._progress,
            threading.Event(),
            lambda name, result: self._tell_end(by_name[name], result),
        )
        interrupted = [result for result in made.values() if isinstance(result, InterruptedRunError)]
        if interrupted:
            raise interrupted[0]
        return made

    def _write_recording(self, job: SorterJob) -> None:
        recording = self.materials.recording
        steps = self.runs[job.name].preprocessing
        if steps:
            recording = preprocessing.preprocess(recording, steps, self.log, base=self.base, jobs=self.materials.jobs)
        self.materials.written(recording, self._fingerprint(job.name))

    def _progress(self, name: str, line: str) -> None:
        self.watch(Progress(name, "running", line))

    def _tell_end(self, job: SorterJob, result: Finished | LussacError) -> None:
        if isinstance(result, Finished):
            self._tell(job.name, "done", result, "done")
            return
        self.log.error("%s", result)
        self.watch(Progress(job.name, "failed", str(result)))
        outcome = "interrupted" if isinstance(result, InterruptedRunError) else "failed"
        known = {"name": job.name, "sorter": job.sorter, "key": job.key}
        self.provenance.add("sorter", **{**result.record, **known, "outcome": outcome, "message": str(result)})

    def _tell(self, name: str, state: Literal["done", "reused"], result: Finished, outcome: str) -> None:
        units = result.record["units"]
        if outcome == "done" and result.record["network"] and result.record["image"]["source"] != "none":
            self.log.info("%s: nothing kept the sorter from the network.", name)
        self.log.info("%s: %s units, %s, %s.", name, units, outcome, result.folder)
        self.watch(Progress(name, state, f"{units} units"))
        self.provenance.add("sorter", **{**result.record, "name": name, "outcome": outcome})

    def _loaded(self, name: str, result: Finished) -> BaseSorting:
        sorting, notes = srt.check(name, result.load(), self.materials.source)
        for note in notes:
            self.log.warning("%s", note)
        return sorting


def _spelled(relaxed: Collection[str]) -> str:
    """Return what an image needs against the rule, in words; pure."""
    words = {"root": "to run as root", "writable-root": "to write outside of its folders", "network": "the network"}
    return " and ".join(words[name] for name in sorted(relaxed))
