"""A run from beginning to end: recording, sorters, analyses, modules, exports, record."""

import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from functools import cached_property
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import Any, Literal

from spikeinterface.core import BaseRecording, BaseSorting
from spikeinterface.core.job_tools import fix_job_kwargs

from lussac import __version__
from lussac import recording as rec
from lussac import sortings as srt
from lussac.analyses import load_analysis
from lussac.errors import InputError, InterruptedRunError, LussacError, SorterError
from lussac.modules import MERGED
from lussac.modules.base import Sortings
from lussac.perform import LOG_FORMAT, Materials, Performer
from lussac.plan import Plan
from lussac.progress import Progress, Watch
from lussac.provenance import Provenance, describe_files, read_record
from lussac.store import Store, files_below, refuse_foreign, scratch_folder, write_atomically
from lussac.walk import Node, Perform, Route, State, Visit, exported, final, walk

LOGGER = "lussac"
LOG_FILE = "lussac.log"
PARAMS_FILE = "params.json"
HASHES_FILE = "hashes.json"
UNLIMITED = 1 << 30
LARGE = 1 << 26
"""Bytes above which a file in an analysis' folder (a copy of the recording, most likely) is left out of the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line chooses.

    Parameters
    ----------
    jobs
        Cores to use instead of the `n_jobs` of the params.
    engine
        Where sorters run; chosen by what is there when None.
    allow_failed_sorters
        Go on with the sorters that have finished.
    keep_stale
        Take a sorter's result although something else made it.
    """

    jobs: int | None = None
    engine: str | None = None
    allow_failed_sorters: bool = False
    keep_stale: bool = False


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


def run(
    plan: Plan,
    options: Options = Options(),
    given: Given = Given(),
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
    with _session_log() as (log, write_log_to):
        refuse_foreign(folders.logs_folder)
        hashes = {} if folders.overwrite_logs else _read_hashes(folders.logs_folder)
        inputs = read_inputs(plan, given, hashes, log)
        with (
            Store(folders.logs_folder, overwrite=folders.overwrite_logs) as store,
            write_log_to(store.root / LOG_FILE),
            scratch_folder(folders.tmp_folder, store.root) as scratch,
        ):
            provenance = Provenance(store.root)
            with _recorded(provenance, log):
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


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a run starts from.

    Parameters
    ----------
    loaded
        The recording before its preprocessing.
    recording
        The recording after its preprocessing, computed when it is read.
    analyses
        Checked against the recording.
    steps
        The preprocessing.
    """

    loaded: BaseRecording
    recording: BaseRecording
    analyses: Sortings
    steps: rec.Steps


def read_inputs(plan: Plan, given: Given, hashes: MutableMapping[str, str], log: logging.Logger) -> Inputs:
    """Read the recording and the analyses; nothing is written but what the preprocessing step `cache` asks for.

    Parameters
    ----------
    plan
        Says what to read.
    given
        Used instead of what the plan says.
    hashes
        What is known of files that were read before.
    log
        Told what was corrected or left out.

    Raises
    ------
    InputError
        Something can't be read or doesn't fit.
    ParamsError
        A pass works on a category that no analysis carries and no module makes.
    """
    params = plan.params
    analyses = {name: load_analysis(path) for name, path in params.analyses.items()} | dict(given.sortings)
    plan.check_categories({category for sorting in analyses.values() for category in srt.categories(sorting).values()})
    steps: rec.Steps = {}
    if given.recording is not None:
        loaded = _checked(given.recording, log)
    else:
        if params.recording is None:
            raise InputError("No recording is given. Add the section 'recording' to the params, or give one as an object.")
        loaded = rec.load(params.recording, plan.base, log)
        steps = params.recording.preprocessing
    jobs = params.lussac.si_global_job_kwargs.kwargs()
    recording = rec.preprocess(loaded, steps, log, base=plan.base, hashes=hashes, jobs=jobs)
    return Inputs(loaded, recording, {name: _fitting(name, analyses[name], recording, log) for name in analyses}, steps)


def _checked(recording: BaseRecording, log: logging.Logger) -> BaseRecording:
    if not recording.has_probe():
        raise InputError("The recording has no probe. Attach one: recording.set_probe(probe).")
    return rec.in_microvolts(recording, log)


def _fitting(name: str, sorting: BaseSorting, recording: BaseRecording, log: logging.Logger) -> BaseSorting:
    checked, notes = srt.check(name, sorting, recording)
    for note in notes:
        log.warning("%s", note)
    return checked


def _read_hashes(logs_folder: Path) -> dict[str, str]:
    try:
        hashes = json.loads((logs_folder / HASHES_FILE).read_text())
    except (OSError, ValueError):
        return {}
    return hashes if isinstance(hashes, dict) else {}


@contextlib.contextmanager
def _session_log() -> Iterator[tuple[logging.Logger, Callable[[Path], contextlib.AbstractContextManager[None]]]]:
    """Collect what is logged until there is a folder to write it to."""
    logger = logging.getLogger(LOGGER)
    level = logger.level
    logger.setLevel(logging.INFO)
    early = MemoryHandler(UNLIMITED, flushLevel=UNLIMITED)
    logger.addHandler(early)

    @contextlib.contextmanager
    def write_to(file: Path) -> Iterator[None]:
        handler = _file_handler(file)
        early.setTarget(handler)
        early.flush()
        logger.removeHandler(early)
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            handler.close()

    try:
        yield logger, write_to
    finally:
        logger.removeHandler(early)
        early.setTarget(None)
        early.close()
        logger.setLevel(level)


def _file_handler(file: Path) -> logging.Handler:
    handler = logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    return handler


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
        analyses = {**sorted_analyses, **self.inputs.analyses}
        if not analyses:
            raise SorterError("No analysis is left: all sorters failed.\n" + "\n".join(failed.values()))
        steps, sortings = self._walk(analyses)
        summary = {name: _described(sorting) for name, sorting in sortings.items()}
        self.provenance.add("run", results=summary)
        self.log.info("Done: %s.", ", ".join(f"{name} with {facts['units']} units" for name, facts in summary.items()))
        return Result(sortings=sortings, analyses=analyses, steps=steps, logs_folder=self.store.root, failed_sorters=failed)

    @cached_property
    def jobs(self) -> dict[str, Any]:
        """SpikeInterface's job kwargs, with `n_jobs` as a count."""
        own = {} if self.options.jobs is None else {"n_jobs": self.options.jobs}
        return dict(fix_job_kwargs(self.plan.params.lussac.si_global_job_kwargs.kwargs() | own))

    @cached_property
    def materials(self) -> Materials:
        """The recording, and what is computed from it."""
        fingerprint = rec.fingerprint(self.inputs.loaded, self.inputs.steps, self.hashes)
        write_atomically(self.store.root / HASHES_FILE, json.dumps(self.hashes, indent=1) + "\n")
        return Materials(self.inputs.recording, fingerprint, self.scratch, self.jobs, self.log)

    def _start(self) -> None:
        """Write down what is about to be run, and on what."""
        document = self.plan.document
        known = read_record(self.store.root).get("inputs", ())
        (self.store.root / PARAMS_FILE).write_text(document.text, encoding="utf-8")
        self.provenance.start(
            params={"file": document.file, "sha256": hashlib.sha256(document.text.encode()).hexdigest()}, jobs=self.jobs
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
        from lussac.sorter_stage import SorterStage  # noqa: PLC0415 - SpikeInterface's sorters take a second to import

        return SorterStage(
            runs=self.plan.params.spike_sorting,
            materials=self.materials,
            base=self.plan.base,
            engine=self.options.engine,
            cores=self.jobs["n_jobs"],
            keep_stale=self.options.keep_stale,
            allow_failed=self.options.allow_failed_sorters,
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
        return tuple(steps), final(state)

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
            seconds=round(seconds, 3),
            results={name: _described(sorting) for name, sorting in results.items()},
            exports=[str(path) for path in step.exports],
            outputs=[*own, *outside],
        )
        text = step.summary()
        self.log.info("%s: %s, %s", node.order.label, outcome, text)
        self.watch(Progress(node.order.label, outcome, text))
        return step


def input_files(plan: Plan) -> list[Path]:
    """Return the files that a plan reads, as far as the params name them."""
    recording = plan.params.recording
    named = list(plan.params.analyses.values())
    if recording is not None:
        named += [path for path in (recording.probe_file,) if path is not None]
        named += [plan.base / text for text in _texts(recording.extractor_params) if (plan.base / text).exists()]
    files = [file for path in named for file in (files_below(path) if path.is_dir() else [path])]
    inside_analyses = tuple(plan.params.analyses.values())
    return [file for file in files if file.stat().st_size <= LARGE or not any(map(file.is_relative_to, inside_analyses))]


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


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
