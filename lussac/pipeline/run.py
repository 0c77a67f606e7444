"""A run from beginning to end: recording, sorters, analyses, modules, exports, record."""

import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from spikeinterface.core import BaseSorting
from spikeinterface.core.job_tools import fix_job_kwargs

from lussac import __version__, preprocessing
from lussac import recording as rec
from lussac import sortings as srt
from lussac.engines.own import own_image
from lussac.errors import FolderError, InterruptedRunError, LussacError, SorterError
from lussac.modules.base import Sortings
from lussac.params import LOCK
from lussac.pipeline.inputs import HASHES_FILE, Inputs, input_files, read_hashes, read_inputs
from lussac.pipeline.log import LOG_FILE, library_warnings, session_log
from lussac.pipeline.perform import Materials, Performer
from lussac.pipeline.progress import Progress, Watch
from lussac.pipeline.recorded import PARAMS_FILE
from lussac.pipeline.result import Given, Options, Result, Step
from lussac.pipeline.walk import Node, Perform, Route, State, Visit, exported, final, walk
from lussac.plan import Plan
from lussac.provenance import Provenance, describe_files, period, read_record
from lussac.sorters import described
from lussac.store import Store, explained, refuse_foreign, scratch_folder, write_atomically

REPORT_FILE = "report.html"
REPORT_LEVEL = 2
"""From which `logs_level` on a run ends with its report."""
DEFAULT_OPTIONS, NOTHING_GIVEN = Options(), Given()


def run(
    plan: Plan,
    options: Options = DEFAULT_OPTIONS,
    given: Given = NOTHING_GIVEN,
    watch: Watch = lambda news: None,  # noqa: ARG005
) -> Result:
    """Do all of a plan that isn't done yet.

    Parameters
    ----------
    plan
        From `compile_plan`.
    options
        Of the command line.
    given
        Recording and sortings given as objects.
    watch
        Told how sorters and passes get on; called from several threads.

    Raises
    ------
    LussacError
        See its subclasses. An `InputError` is raised before anything is written.
    """
    folders = plan.params.lussac
    with session_log() as (log, write_log_to), library_warnings(log):
        refuse_foreign(folders.logs_folder)
        hashes = {} if folders.overwrite_logs else read_hashes(folders.logs_folder)
        inputs = read_inputs(plan, given, hashes, log)
        with (
            Store(folders.logs_folder, overwrite=folders.overwrite_logs) as store,
            write_log_to(store.root / LOG_FILE),
            scratch_folder(folders.tmp_folder, store.root) as scratch,
        ):
            with explained(scratch):
                inputs = replace(inputs, analyses=srt.shelve(inputs.analyses, scratch / "analyses"))
            provenance = Provenance(store.root)
            with _reported(store.root, folders.logs_level, log), _recorded(provenance, log):
                return _Run(
                    plan=plan,
                    options=options,
                    inputs=inputs,
                    store=store,
                    scratch=scratch,
                    provenance=provenance,
                    watch=watch,
                    log=log,
                    hashes=hashes,
                ).result()


@contextlib.contextmanager
def _reported(logs_folder: Path, level: int, log: logging.Logger) -> Iterator[None]:
    """Write the report when the block ends, also by an error; not after Ctrl-C, which leaves no time for it."""
    try:
        yield
    except FolderError:
        raise  # where nothing can be written
    except Exception:
        _report(logs_folder, level, log)
        raise
    _report(logs_folder, level, log)


def _report(logs_folder: Path, level: int, log: logging.Logger) -> None:
    if level < REPORT_LEVEL:
        return
    from lussac.report import write_report  # noqa: PLC0415 - plotly takes a second to import

    try:
        write_report(logs_folder)
    except Exception:  # a report must neither fail a run nor hide its error
        log.exception("The report could not be written; `lussac report %s` tries again.", logs_folder)


@contextlib.contextmanager
def _recorded(provenance: Provenance, log: logging.Logger) -> Iterator[None]:
    """Close the record of a run, however it ends."""
    try:
        yield
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt | InterruptedRunError)
        code = InterruptedRunError.exit_code if interrupted else getattr(error, "exit_code", 1)
        message = "Interrupted" if interrupted else str(error)
        log.exception("%s", message, exc_info=not (interrupted or isinstance(error, LussacError)))
        with contextlib.suppress(OSError):  # a full disk must not hide the error that is on its way
            provenance.end("interrupted" if interrupted else "failed", code, message)
        raise
    provenance.end("done", 0)


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One run, from its inputs to its result."""

    plan: Plan
    options: Options
    inputs: Inputs
    store: Store
    scratch: Path
    provenance: Provenance
    watch: Watch
    log: logging.Logger
    hashes: MutableMapping[str, str]

    def result(self) -> Result:
        """Sort, walk through the pipeline, and keep the record of both."""
        self._start()
        sorted_analyses, failed = self._sort()
        with explained(self.scratch):
            sorted_analyses = srt.shelve(sorted_analyses, self.scratch / "sorted")
        analyses = {**sorted_analyses, **self.inputs.analyses}
        if not analyses:
            raise SorterError("No analysis is left: all sorters failed.\n" + "\n".join(failed.values()))
        self.provenance.add("run", analyses={name: _described(sorting) for name, sorting in analyses.items()})
        steps, sortings = self._walk(analyses)
        self._picture(sortings)
        summary = {name: _described(sorting) for name, sorting in sortings.items()}
        self.provenance.add("run", results=summary)
        self.log.info("Done: %s.", ", ".join(f"{name} with {facts['units']} units" for name, facts in summary.items()))
        if self.options.hold_spikes:
            sortings, analyses = ({name: srt.held(part) for name, part in parts.items()} for parts in (sortings, analyses))
        return Result(sortings=sortings, analyses=analyses, steps=steps, logs_folder=self.store.root, failed_sorters=failed)

    @cached_property
    def jobs(self) -> dict[str, Any]:
        """SpikeInterface's job kwargs, with `n_jobs` as a count."""
        own = {} if self.options.jobs is None else {"n_jobs": self.options.jobs}
        return dict(fix_job_kwargs(self.plan.params.lussac.si_global_job_kwargs.kwargs() | own))

    @cached_property
    def materials(self) -> Materials:
        """The recording, and what is computed from it."""
        fingerprint = preprocessing.fingerprint(self.inputs.loaded, self.inputs.steps, self.hashes)
        write_atomically(self.store.root / HASHES_FILE, json.dumps(self.hashes, indent=1) + "\n")
        return Materials(self.inputs.recording, fingerprint, self.scratch, self.jobs, self.log)

    def _start(self) -> None:
        """Write down what is about to be run, and on what."""
        document = self.plan.document
        known = read_record(self.store.root).get("inputs", ())
        (self.store.root / PARAMS_FILE).write_text(document.text, encoding="utf-8")
        image = own_image(self.store.root)
        self.provenance.start(
            image=described(image) if image else None,
            params={
                "file": document.file,
                "folder": str(document.base),
                "sha256": hashlib.sha256(document.text.encode()).hexdigest(),
            },
            jobs=self.jobs,
            lock=describe_files(filter(Path.is_file, [self.plan.base / LOCK])),
        )
        for facts in describe_files(input_files(self.plan), known):
            self.provenance.add("input", **facts)
        recording = self.materials.source
        self.provenance.add(
            "run",
            recording={
                "hash": self.materials.recording_hash,
                "channels": recording.get_num_channels(),
                "sampling_frequency": float(recording.sampling_frequency),
                "samples": list(rec.timeline(recording).durations),
            },
        )
        self.log.info("Lussac %s, run %s, params %s.", __version__, self.provenance.run, document.file)

    def _sort(self) -> tuple[dict[str, BaseSorting], dict[str, str]]:
        if not self.plan.params.spike_sorting:
            return {}, {}
        from lussac.pipeline.sorter_stage import SorterStage  # noqa: PLC0415 - SpikeInterface's sorters take a second to import

        return SorterStage(
            runs=self.plan.params.spike_sorting,
            materials=self.materials,
            base=self.plan.base,
            options=self.options,
            cores=self.jobs["n_jobs"],
            provenance=self.provenance,
            watch=self.watch,
            log=self.log,
        ).run()

    def _walk(self, analyses: Sortings) -> tuple[tuple[Step, ...], Sortings]:
        """Go through all passes; return what each did, and the analyses at the end."""
        performer = Performer(
            materials=self.materials, store=self.store, base=self.plan.base, level=self.plan.params.lussac.logs_level
        )
        route = Route(self.plan.passes, self.plan.modules, analyses, self.materials.recording_hash)
        state, steps = State(analyses), []
        started = time.monotonic()
        for visit in walk(route, self.store, self._watched(performer)):
            steps.append(self._ended(visit, time.monotonic() - started))
            state, started = visit.state, time.monotonic()
            del visit  # what the pass was given needs no memory while the next one runs
        return tuple(steps), final(state)

    def _picture(self, sortings: Sortings) -> None:
        """Keep what the report shows of the traces."""
        if self.plan.params.lussac.logs_level < REPORT_LEVEL:
            return
        from lussac.report.templates import bad_channels, write_templates  # noqa: PLC0415 - the report's page is not needed here

        absent = bad_channels(self.inputs.loaded, self.inputs.recording, preprocessing.remembered_labels(self.hashes))
        write_templates(self.store.root, sortings, self.materials.recording_hash, lambda: self.materials.traces, absent)

    def _watched(self, perform: Perform) -> Perform:
        """Tell when a pass starts and when it fails."""

        def watched(node: Node) -> Sortings | None:
            label = node.order.label
            self.watch(Progress(label, "running"))
            self.log.info("%s: %s", label, ", ".join(f"{name} {s.get_num_units()} units" for name, s in node.given.items()))
            try:
                return perform(node)
            except BaseException as error:
                outcome = "failed" if isinstance(error, Exception) else "interrupted"
                self.watch(Progress(label, "failed", outcome))
                with contextlib.suppress(OSError):  # a full disk must not hide the error that is on its way
                    self.provenance.add("step", **_facts(node), outcome=outcome, message=str(error))
                raise

        return watched

    def _ended(self, visit: Visit, seconds: float) -> Step:
        """Record a pass that has a result."""
        node, results = visit.node, visit.results or {}
        found = visit.found or self.store.find(node.key)
        own = [{"path": str(found.folder / name), "sha256": digest} for name, digest in found.files.items()] if found else []
        outside = exported(found) if found else []
        step = Step(
            label=node.order.label,
            units_in={name: sorting.get_num_units() for name, sorting in node.given.items()},
            units_out={name: _units_left(node, name, sorting) for name, sorting in results.items()},
            reused=visit.found is not None,
            seconds=seconds,
            exports=_export_folders(node),
        )
        outcome: Literal["reused", "done"] = "reused" if step.reused else "done"
        self.provenance.add(
            "step",
            **_facts(node),
            outcome=outcome,
            folder=str(found.folder) if found else "",
            **period(seconds),
            results={name: _described(sorting) for name, sorting in results.items()},
            exports=[str(path) for path in step.exports],
            outputs=[*own, *outside],
        )
        text = step.summary()
        self.log.info("%s: %s, %s", node.order.label, outcome, text)
        self.watch(Progress(node.order.label, outcome, text))
        return step


def _facts(node: Node) -> dict[str, Any]:
    """Return what the record says of a pass before it runs."""
    return {
        "label": node.order.label,
        "module": node.order.module,
        "version": node.module.version,
        "selector": node.order.selector.text,
        "key": node.key,
        "seed": node.seed,
        "params": node.order.params.model_dump(mode="json"),
        "inputs": {name: {"hash": node.hashes[name], "units": node.before[name].get_num_units()} for name in node.before},
    }


def _described(sorting: BaseSorting) -> dict[str, Any]:
    return {"hash": srt.content_hash(sorting), "units": sorting.get_num_units()}


def _units_left(node: Node, name: str, after: BaseSorting) -> int:
    """Return how many units a pass made of those that it was given."""
    if node.module.fuses or name not in node.before:
        return after.get_num_units()
    return after.get_num_units() - node.unselected(name).get_num_units()


def _export_folders(node: Node) -> tuple[Path, ...]:
    return tuple(path for name in node.module.exports if isinstance(path := getattr(node.order.params, name), Path))
