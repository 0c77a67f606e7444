"""One sorter run: checked, turned into a job, run on an engine, read back, and reused where nothing has changed.

The result of a run is a folder that the user chooses. It is written beside and renamed, and its manifest says what made it, so
that it is reused only if the same recording, preprocessing, sorter, parameters and image would make it again.
"""

import concurrent.futures
import contextlib
import difflib
import fcntl
import json
import secrets
import shutil
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from spikeinterface.core import BaseSorting, NumpySorting
from spikeinterface.sorters import available_sorters, get_default_sorter_params, sorter_dict

from lussac import images, sortings
from lussac.engines import AUTO, choose
from lussac.engines.base import IN, OUT, WORK, Engine, Exit, ImageRef, Job, Limits, Mount, Outcome, Progress
from lussac.errors import EngineError, FolderError, InterruptedRunError, LussacError, SorterError
from lussac.params import SorterParams
from lussac.store import content_key, explained, file_hash, write_atomically

MANIFEST = "lussac-sorter.json"
FORMAT = 1
SORTING, LOG, OWN = "sorting", "sorter.log", "sorter_output"
RUNNER = Path(__file__).with_name("runner.py")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "NUMEXPR_NUM_THREADS")

RUN_PARAMETERS: Mapping[str, tuple[type, ...]] = {
    "output_folder": (str,),
    "folder": (str,),
    "docker_image": (bool, str),
    "singularity_image": (bool, str),
    "delete_tmp_files": (bool, list),
    "delete_recording_dat": (bool,),
    "delete_container_files": (bool,),
    "verbose": (bool,),
}
"""Parameters of the run among ``sorter_params``, and their types; the others are the sorter's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SorterJob:
    """A sorter run that is ready to start.

    Parameters
    ----------
    name, sorter
        Of the analysis, and of the sorter in SpikeInterface.
    folder
        Where the result goes.
    recording
        The binary folder of the recording; need not exist before `sort`.
    base
        The folder of params.json, which the sorter may read.
    engine, image, gpu
        What it runs on.
    parameters
        The sorter's own, less its defaults.
    made_from
        All that the result depends on, by name.
    row
        The sorter in the catalogue.
    limits
        What it may use.
    run
        Parameters of the run.
    why
        Why this engine, for the log.
    """

    name: str
    sorter: str
    folder: Path
    recording: Path
    base: Path
    engine: Engine
    image: ImageRef
    gpu: bool
    parameters: Mapping[str, Any]
    made_from: Mapping[str, Any]
    row: images.Row
    limits: Limits
    run: Mapping[str, Any]
    why: str

    @property
    def key(self) -> str:
        """Return the content key of the result."""
        return content_key(self.made_from)


@dataclass(frozen=True, slots=True)
class Finished:
    """The result of a sorter run, in its folder."""

    folder: Path
    record: Mapping[str, Any]

    def load(self) -> BaseSorting:
        """Return the sorting."""
        return sortings.load(self.folder / SORTING)


@dataclass(frozen=True, slots=True)
class Stale:
    """A result that something else than this run would make; `differences` says what."""

    finished: Finished
    differences: tuple[str, ...]


# --- checking -------------------------------------------------------------------------------------------------------------


def problems(name: str, run: SorterParams) -> list[tuple[tuple[str, ...], str]]:  # noqa: ARG001 - its place in the file says whose it is
    """Return what is wrong with a sorter run, as (path below the run, message); nothing is run."""
    if run.sorter_name not in available_sorters():
        return [(("sorter_name",), f"there is no sorter {run.sorter_name!r}{_nearest(run.sorter_name, available_sorters())}")]
    given = run.sorter_params
    found: list[tuple[tuple[str, ...], str]] = [
        (("sorter_params", key), f"must be {' or '.join(kind.__name__ for kind in kinds)}")
        for key, kinds in RUN_PARAMETERS.items()
        if key in given and not isinstance(given[key], kinds)
    ]
    for one, other in (("output_folder", "folder"), ("docker_image", "singularity_image")):
        if given.get(one) and given.get(other):
            found.append((("sorter_params", other), f"is given together with {one}; keep one of them"))
    known = default_parameters(run.sorter_name)
    unknown = [key for key in given if known and key not in known and key not in RUN_PARAMETERS]
    choices = (*known, *RUN_PARAMETERS)
    found += [(("sorter_params", key), f"{run.sorter_name} has no parameter {key!r}{_nearest(key, choices)}") for key in unknown]
    return found


def default_parameters(sorter: str) -> Mapping[str, Any]:
    """Return the sorter's own parameters; none where only its package, which isn't installed here, knows them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if not sorter_dict[sorter]._dynamic_params()[0]:  # noqa: SLF001 - what get_default_sorter_params adds hides that it is empty
                return {}
            return dict(get_default_sorter_params(sorter))
        except ImportError:
            return {}


def _nearest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"


# --- preparing ------------------------------------------------------------------------------------------------------------


def prepare(
    name: str,
    run: SorterParams,
    recording_folder: Path,
    recording_hash: str,
    *,
    engine: str | None = None,
    base: Path,
    pull: bool = True,
    seconds: float | None = None,
) -> SorterJob:
    """Choose the engine and the image of a sorter run, and fill in its parameters.

    Parameters
    ----------
    name, run
        The analysis and its section of the params.
    recording_folder
        Where the binary recording will be when the job runs.
    recording_hash
        Of the recording after its preprocessing.
    engine
        Wanted by the command line; ``auto`` by default. What the params ask for goes first.
    base
        The folder of params.json.
    pull
        Whether images may be pulled.
    seconds
        Limit of the wall-clock time of the sorter.

    Raises
    ------
    EngineError
        If no engine can run the sorter.
    """
    row = images.catalogue()[run.sorter_name]
    given = {key: value for key, value in run.sorter_params.items() if key not in RUN_PARAMETERS}
    defaults = default_parameters(run.sorter_name)
    passed_on = {key: run.sorter_params[key] for key in ("delete_tmp_files", "delete_recording_dat") if key in run.sorter_params}
    given |= {key: value for key, value in passed_on.items() if key in defaults}
    parameters = {**row.defaults, **given}
    if row.seed and defaults.get(row.seed) is None and row.seed not in given:
        parameters[row.seed] = derived_seed(run.sorter_name, parameters, recording_hash)
    wanted, runs_in = _images(run, row, engine)
    try:
        choice = choose(wanted, runs_in, row.gpu, pull=pull)
    except EngineError as error:
        raise EngineError(_no_engine(name, run.sorter_name, row, str(error))) from error
    made_from = {
        "recording": recording_hash,
        "preprocessing": plain(run.preprocessing),
        "sorter": run.sorter_name,
        "parameters": plain({**defaults, **parameters}),
        "image": choice.image.rootfs,
        "gpu": choice.gpu,
    }
    folder = str(run.sorter_params.get("output_folder") or run.sorter_params.get("folder") or f"analyses/{name}")
    return SorterJob(
        name=name,
        sorter=run.sorter_name,
        folder=base / folder,
        recording=recording_folder,
        base=base,
        engine=choice.engine,
        image=choice.image,
        gpu=choice.gpu,
        parameters=parameters,
        made_from=made_from,
        row=row,
        limits=Limits(seconds=seconds),
        run={key: value for key, value in run.sorter_params.items() if key in RUN_PARAMETERS},
        why=choice.why,
    )


def derived_seed(sorter: str, parameters: Mapping[str, Any], recording_hash: str) -> int:
    """Return a seed that is the same on every engine, for the same work."""
    key = content_key({"sorter": sorter, "parameters": plain(parameters), "recording": recording_hash})
    return int(key[:8], 16) >> 1


def plain(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Return a value as JSON gives it back, where 6 and 6.0 are the same number."""
    match value:
        case Mapping():
            return {str(key): plain(entry) for key, entry in value.items()}
        case list() | tuple():
            return [plain(entry) for entry in value]
        case float() if value.is_integer():
            return int(value)
        case None | bool() | int() | float() | str():
            return value
    return str(value)


def _images(run: SorterParams, row: images.Row, engine: str | None) -> tuple[str, Mapping[str, str]]:
    """Return the engine wanted, and what each engine would run the sorter in."""
    runs_in = {name: row.reference for name in ("docker", "singularity") if row.image}
    if sorter_dict[run.sorter_name].is_installed():
        runs_in["local"] = " ".join(row.packages) or "spikeinterface"
    for name in ("docker", "singularity"):
        asked = run.sorter_params.get(f"{name}_image")
        if asked:
            return name, runs_in | ({name: asked} if isinstance(asked, str) else {})
    return engine or AUTO, runs_in


def _no_engine(name: str, sorter: str, row: images.Row, reasons: str) -> str:
    install = f"pip install {' '.join(row.packages)}" if row.packages else "see its own documentation"
    return (
        f"{name}: nothing here can run {sorter}.\n{reasons}\nThe ways out: docker (start it, and build or name the image with "
        f'"docker_image"), apptainer or singularity ("singularity_image"), or install the sorter in this environment ({install}).'
    )


# --- finding --------------------------------------------------------------------------------------------------------------


def find(job: SorterJob) -> Finished | Stale | None:
    """Return what an earlier run left in the folder of the job.

    Raises
    ------
    FolderError
        If the folder holds something that no sorter run of Lussac made; it is never touched.
    """
    if not job.folder.exists() or (job.folder.is_dir() and not any(job.folder.iterdir())):
        return None
    manifest = _manifest(job.folder)
    if manifest is None:
        raise FolderError(
            f"{job.folder}, the output folder of {job.name}, holds something that Lussac didn't make. "
            "Name another output_folder, or move what is there."
        )
    finished = Finished(job.folder, manifest["record"])
    if damaged := [name for name, digest in manifest["files"].items() if not _is(job.folder / name, digest)]:
        return Stale(finished, tuple(f"{name}: changed or missing" for name in damaged))
    found = differences(manifest["made_from"], job.made_from)
    return Stale(finished, found) if found else finished


def differences(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> tuple[str, ...]:
    """Return one line per value that differs between two nested mappings, in the order of their keys."""
    lines: list[str] = []
    for key in sorted({*before, *now}):
        old, new = before.get(key, "absent"), now.get(key, "absent")
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            lines += differences(old, new, f"{path}{key}.")
        elif old != new:
            lines.append(f"{path}{key}: {old} before, {new} now")
    return tuple(lines)


def _manifest(folder: Path) -> Mapping[str, Any] | None:
    try:
        manifest: Mapping[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if manifest.get("format") == FORMAT else None


def _is(file: Path, digest: str) -> bool:
    return file.is_file() and file_hash(file) == digest


# --- running --------------------------------------------------------------------------------------------------------------


def sort(job: SorterJob, progress: Progress, stop: threading.Event) -> Finished:
    """Run a sorter and put its result into its folder.

    Parameters
    ----------
    job
        From `prepare`.
    progress
        Told the newest line of the sorter.
    stop
        Ends the run when set.

    Raises
    ------
    SorterError
        If the sorter fails: with its own last error, and where its log is.
    InterruptedRunError
        If `stop` was set.
    FolderError
        If the folder can't be written, isn't ours, or another run works on it.
    """
    find(job)
    with explained(job.folder.parent), _draft(job.folder) as draft:
        _write_inputs(job, draft)
        request = as_job(job, draft)
        end = _run(job.engine, request, draft / LOG, progress, stop)
        result = _result(draft / "out")
        end = judged(end, result)
        if end.outcome is not Outcome.OK:
            raise _failure(job, end, result, _keep_failed(job, draft))
        record = _record(job, request, end, result)
        _assemble(job, draft, record)
        _publish(draft / "out", job.folder)
    shutil.rmtree(_beside(job.folder, "failed"), ignore_errors=True)
    return Finished(job.folder, record)


def sort_all(
    jobs: Sequence[SorterJob],
    cores: int,
    memory: int | None,
    progress: Callable[[str, str], None],
    stop: threading.Event,
) -> dict[str, Finished | LussacError]:
    """Run sorters side by side.

    Parameters
    ----------
    jobs
        From `prepare`.
    cores
        To be shared; as many sorters run at a time as there are cores.
    memory
        Bytes to be shared, or None for no limit.
    progress
        Told the name of the analysis and the newest line of its sorter.
    stop
        Ends all when set.

    Returns
    -------
    dict
        The result or the error of each, in the order of `jobs`: one that fails doesn't stop the others.
    """
    side_by_side = max(1, min(cores, len(jobs)))
    limits = Limits(cores=max(1, cores // side_by_side), memory=memory // side_by_side if memory else None)
    gpu = threading.Lock()
    with concurrent.futures.ThreadPoolExecutor(side_by_side, thread_name_prefix="sorter") as pool:
        shared = (replace(job, limits=replace(limits, seconds=job.limits.seconds)) for job in jobs)
        futures = {job.name: pool.submit(_attempt, job, partial(progress, job.name), stop, gpu) for job in shared}
        try:
            return {name: future.result() for name, future in futures.items()}
        except BaseException:
            stop.set()
            raise


def _attempt(job: SorterJob, progress: Progress, stop: threading.Event, gpu: threading.Lock) -> Finished | LussacError:
    """Run one sorter, alone on the GPUs if it uses them, and give its error back instead of raising it."""
    try:
        with gpu if job.gpu else contextlib.nullcontext():
            if stop.is_set():
                return InterruptedRunError(f"{job.name} was not started.")
            return sort(job, progress, stop)
    except LussacError as error:
        return error


def as_job(job: SorterJob, draft: Path) -> Job:
    """Say in an engine's terms what is to be run."""
    threads = str(job.limits.cores if job.row.deterministic == "no" else 1)
    return Job(
        image=job.image,
        argv=("python", f"{IN}/runner.py", IN, f"{IN}/recording", WORK, OUT),
        mounts=(
            Mount(draft / "in", IN),
            Mount(job.recording.absolute(), f"{IN}/recording"),
            Mount(draft / "work", WORK, read_only=False),
            Mount(draft / "out", OUT, read_only=False),
            Mount(job.base, str(job.base)),
        ),
        env=dict.fromkeys(THREADS, threads)
        | {"PYTHONUNBUFFERED": "1", "PYTHONHASHSEED": "0", "PYTHONNOUSERSITE": "1", "HDF5_USE_FILE_LOCKING": "FALSE"},
        limits=job.limits,
        gpu=job.gpu,
        relaxed=job.row.relaxed,
        label=f"{job.name}-{secrets.token_hex(4)}",
    )


def judged(end: Exit, result: Mapping[str, Any] | None) -> Exit:
    """Join what the engine saw with what the runner wrote; pure."""
    if end.outcome is Outcome.OK and result is None:
        return replace(end, outcome=Outcome.SORTER_ERROR, message="ended without a result")
    if end.outcome is not Outcome.SORTER_ERROR or result is None or result["status"] == "ok":
        return end
    text = f"{result['type']} {result['error']}"
    if "MemoryError" in text or "CUDA out of memory" in text:
        return replace(end, outcome=Outcome.OOM, message=result["error"])
    if "CUDA error" in text or "No CUDA GPUs" in text or "Torch not compiled with CUDA" in text:
        return replace(end, outcome=Outcome.GPU, message=result["error"])
    return replace(end, message=result["error"])


ADVICE: Mapping[Outcome, str] = {
    Outcome.SORTER_ERROR: "Read the log; the parameters or the recording may not suit this sorter.",
    Outcome.OOM: "Give it more memory, run fewer sorters side by side (--jobs), or sort a shorter recording.",
    Outcome.TIMEOUT: "Raise the time limit, or sort a shorter recording.",
    Outcome.KILLED: "",
    Outcome.IMAGE: "Look at the image with `lussac doctor`, then pull or build it again.",
    Outcome.MOUNT: "Look at the folders with `lussac doctor`.",
    Outcome.GPU: "Look at the GPU with `lussac doctor`.",
    Outcome.INFRA: "Look at the engine with `lussac doctor`, then run again: what is finished is kept.",
}


def _failure(job: SorterJob, end: Exit, result: Mapping[str, Any] | None, log: Path) -> LussacError:
    if end.outcome is Outcome.KILLED:
        return InterruptedRunError(f"{job.name} ({job.sorter}) was stopped. Its log so far is {log}.")
    version = result["versions"].get("sorter", "") if result else ""
    kind = "failed" if end.outcome is Outcome.SORTER_ERROR else f"failed ({end.outcome})"
    sorter = " ".join(filter(None, (job.sorter, version)))
    return SorterError(f"{job.name} ({sorter}) {kind}: {end.message}. {ADVICE[end.outcome]} Its log is {log}.")


def _run(engine: Engine, request: Job, log: Path, progress: Progress, stop: threading.Event) -> Exit:
    """Run the job; once more if the engine, and not the sorter, failed."""
    end = engine.run(request, log, progress, stop)
    if end.outcome is Outcome.INFRA and not stop.is_set():
        return engine.run(replace(request, label=f"{request.label}-again"), log, progress, stop)
    return end


def _write_inputs(job: SorterJob, draft: Path) -> None:
    """Write what the runner reads."""
    (draft / "in" / "recording").mkdir(parents=True)
    (draft / "work").mkdir()
    (draft / "out").mkdir()
    shutil.copyfile(RUNNER, draft / "in" / "runner.py")
    order = {
        "format": FORMAT,
        "sorter": job.sorter,
        "parameters": job.parameters,
        "job_kwargs": {"n_jobs": job.limits.cores, "chunk_duration": "1s", "progress_bar": True},
        "concatenate": job.row.concatenate,
    }
    (draft / "in" / "job.json").write_text(json.dumps(order, indent=2, sort_keys=True, default=str), encoding="utf-8")


def _result(out: Path) -> Mapping[str, Any] | None:
    try:
        result: Mapping[str, Any] = json.loads((out / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return result


def _assemble(job: SorterJob, draft: Path, record: Mapping[str, Any]) -> None:
    """Make the result's folder of what the runner wrote."""
    out = draft / "out"
    sortings.save(read_sorting(out / "sorting.npz", record["segments"]), out / SORTING)
    (out / "sorting.npz").unlink()
    (draft / LOG).rename(out / LOG)
    own = draft / "work" / "sorter"
    if own.is_dir() and not job.run.get("delete_tmp_files"):
        own.rename(out / OWN)
    if job.run.get("delete_recording_dat"):
        for file in (out / OWN).rglob("*.dat"):
            file.unlink()
    kept = [out / SORTING / name for name in (sortings.SPIKES_FILE, sortings.UNITS_FILE)]
    manifest = {
        "format": FORMAT,
        "key": job.key,
        "made_from": job.made_from,
        "files": {str(file.relative_to(out)): file_hash(file) for file in kept},
        "record": record,
    }
    write_atomically(out / MANIFEST, json.dumps(manifest, indent=2, sort_keys=True, default=str))


def read_sorting(file: Path, segments: int) -> NumpySorting:
    """Read the sorting that the runner wrote, in any version of SpikeInterface."""
    with np.load(file, allow_pickle=False) as data:
        arrays = dict(data)
    spikes = np.zeros(
        len(arrays["sample_index"]), dtype=[("sample_index", "int64"), ("unit_index", "int64"), ("segment_index", "int64")]
    )
    for name in ("sample_index", "unit_index", "segment_index"):
        spikes[name] = arrays[name]
    spikes = spikes[np.lexsort((spikes["unit_index"], spikes["sample_index"], spikes["segment_index"]))]
    values = {name.removeprefix("property/"): array for name, array in arrays.items() if name.startswith("property/")}
    ids = arrays["unit_ids"].tolist()
    return sortings.build(spikes, ids, float(arrays["sampling_frequency"]), segments, values)


def _record(job: SorterJob, request: Job, end: Exit, result: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return all that is to be told about a finished run."""
    result = result or {}
    return {
        "name": job.name,
        "sorter": job.sorter,
        "key": job.key,
        "outcome": "done",
        "folder": str(job.folder),
        "engine": dict(job.engine.describe()),
        "image": {
            "requested": job.image.asked,
            "resolved": job.image.start,
            "manifest": job.image.digest,
            "rootfs": job.image.rootfs,
            "source": job.image.source,
            **job.image.details,
        },
        "argv": list(end.command),
        "mounts": [
            {"host": str(mount.source), "container": mount.target, "mode": "ro" if mount.read_only else "rw"}
            for mount in request.mounts
        ],
        "network": "network" in request.relaxed or job.image.source == "none",
        "relaxed": sorted(request.relaxed),
        "gpu": job.gpu,
        "limits": {
            "cores": request.limits.cores,
            "memory": request.limits.memory,
            "seconds": request.limits.seconds,
            "enforced": list(end.enforced),
        },
        "threads": request.env["OMP_NUM_THREADS"],
        "parameters": dict(job.parameters),
        "seed": job.parameters.get(job.row.seed or ""),
        "deterministic": job.row.deterministic,
        "runner": file_hash(RUNNER),
        "versions": result.get("versions", {}),
        "units": result.get("units"),
        "spikes": result.get("spikes"),
        "segments": result.get("segments"),
        "peak_memory": result.get("peak_memory"),
        "exit_code": end.code,
        "seconds": round(end.seconds, 3),
        "ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "why": job.why,
    }


# --- folders --------------------------------------------------------------------------------------------------------------


def _beside(folder: Path, kind: str) -> Path:
    return folder.with_name(f".{folder.name}.lussac-{kind}") if kind != "failed" else folder.with_name(f"{folder.name}.failed")


@contextlib.contextmanager
def _draft(folder: Path) -> Iterator[Path]:
    """Give a scratch folder beside the result's; what a dead run left in it is removed, a living one is left alone."""
    draft = _beside(folder, "draft")
    draft.mkdir(parents=True, exist_ok=True)
    with (draft / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderError(f"Another run is writing {folder}. Wait for it, or name another output_folder.") from None
        for left in draft.iterdir():
            if left.name != "lock":
                _remove(left)
        try:
            yield draft
        finally:
            shutil.rmtree(draft)


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _publish(source: Path, folder: Path) -> None:
    """Put a folder in the place of one that is ours or empty."""
    old = _beside(folder, "old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    source.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _keep_failed(job: SorterJob, draft: Path) -> Path:
    """Keep what explains a failure beside the result's folder; return where the log is."""
    failed = _beside(job.folder, "failed")
    if failed.exists() and not (failed / MANIFEST).exists():
        failed = failed.with_name(f"{failed.name}-{secrets.token_hex(3)}")
    shutil.rmtree(failed, ignore_errors=True)
    failed.mkdir(parents=True)
    for file in (draft / LOG, draft / "in" / "job.json", draft / "out" / "result.json", draft / "out" / "freeze.txt"):
        if file.exists():
            file.replace(failed / file.name)
    write_atomically(failed / MANIFEST, json.dumps({"format": "failed", "key": job.key, "made_from": job.made_from}, indent=2))
    return failed / LOG
