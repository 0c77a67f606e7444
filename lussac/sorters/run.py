"""Runs sorters: each as a job on an engine, several side by side; one that fails doesn't stop the others."""

import concurrent.futures
import contextlib
import json
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from lussac.engines.base import IN, OUT, WORK, Engine, Exit, ImageRef, Job, Limits, Mount, Outcome, Progress
from lussac.errors import InterruptedRunError, LussacError, SorterError
from lussac.sorters.folder import LOG, Finished, assemble, draft_of, empty_outputs, find, forget_failure, keep_failed, publish
from lussac.sorters.job import SorterJob
from lussac.store import explained, file_hash

FORMAT = 1
FULL = 1 << 20
"""Bytes without which a disk counts as full: a sorter that ended with fewer has failed for want of them."""
RUNNER = Path(__file__).with_name("runner.py")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "NUMEXPR_NUM_THREADS")


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
    with explained(job.folder.parent), draft_of(job.folder, for_owner=job.engine.runs_as_owner) as draft:
        _write_inputs(job, draft)
        request = as_job(job, draft)
        engine = dict(job.engine.describe())  # it may not answer any more when the sorter has ended
        started = _now()
        end = run_job(job.engine, request, draft, progress, stop)
        result = _result(draft / "out")
        end = judged(end, result, full=shutil.disk_usage(draft).free < FULL)
        told = _record(job, request, end, result) | {"engine": engine, "started": started, "ended": _now()}
        if end.outcome is not Outcome.OK:
            failure = _failure(job, end, result, keep_failed(job, draft))
            failure.record = told
            raise failure
        record = assemble(job, draft, told | {"freeze": file_hash(draft / "out" / "freeze.txt")})
        publish(draft / "out", job.folder)
    forget_failure(job.folder)
    return Finished(job.folder, record)


def sort_all(
    jobs: Sequence[SorterJob],
    cores: int,
    memory: int | None,
    progress: Callable[[str, str], None],
    stop: threading.Event,
    ended: Callable[[str, Finished | LussacError], None] = lambda *_: None,
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
    ended
        Told the name of the analysis and its result or error, as soon as its sorter ends; in any thread.

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
        futures = {job.name: pool.submit(_attempt, job, partial(progress, job.name), stop, gpu, ended) for job in shared}
        try:
            return {name: future.result() for name, future in futures.items()}
        except BaseException:
            stop.set()
            raise


def _attempt(
    job: SorterJob,
    progress: Progress,
    stop: threading.Event,
    gpu: threading.Lock,
    ended: Callable[[str, Finished | LussacError], None],
) -> Finished | LussacError:
    """Run one sorter, alone on the GPUs if it uses them, and give its error back instead of raising it."""
    result: Finished | LussacError
    try:
        with gpu if job.gpu else contextlib.nullcontext():
            result = InterruptedRunError(f"{job.name} was not started.") if stop.is_set() else sort(job, progress, stop)
    except LussacError as error:
        result = error
    ended(job.name, result)
    return result


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
        env=dict.fromkeys(THREADS, threads) | {"PYTHONUNBUFFERED": "1", "PYTHONHASHSEED": "0", "HDF5_USE_FILE_LOCKING": "FALSE"},
        limits=job.limits,
        gpu=job.gpu,
        relaxed=job.row.relaxed,
        label=f"{job.name}-{secrets.token_hex(4)}",
    )


def judged(end: Exit, result: Mapping[str, Any] | None, *, full: bool = False) -> Exit:
    """Join what the engine saw with what the runner wrote and with whether the disk is full; pure."""
    if end.outcome is Outcome.OK and result is None:
        return replace(end, outcome=Outcome.SORTER_ERROR, message="ended without a result")
    if end.outcome is not Outcome.SORTER_ERROR:
        return end
    if full:
        return replace(end, outcome=Outcome.DISK, message="there was no space left for its files")
    if result is None or result["status"] == "ok":
        return end
    return replace(end, outcome=_cause(f"{result['type']} {result['error']}"), message=result["error"])


CAUSES: Mapping[Outcome, tuple[str, ...]] = {
    Outcome.DISK: ("No space left on device", "Disk quota exceeded"),
    Outcome.OOM: ("MemoryError", "CUDA out of memory"),
    Outcome.GPU: ("CUDA error", "No CUDA GPUs", "Torch not compiled with CUDA"),
}
"""Words in a sorter's own error that tell what it was about."""


def _cause(error: str) -> Outcome:
    return next((cause for cause, words in CAUSES.items() if any(word in error for word in words)), Outcome.SORTER_ERROR)


ADVICE: Mapping[Outcome, str] = {
    Outcome.SORTER_ERROR: "Read the log; the parameters or the recording may not suit this sorter.",
    Outcome.OOM: "Give it more memory, run fewer sorters side by side (--jobs), or sort a shorter recording.",
    Outcome.TIMEOUT: "Raise the time limit, or sort a shorter recording.",
    Outcome.KILLED: "",
    Outcome.IMAGE: "Look at the image with `lussac doctor`, then pull or build it again.",
    Outcome.MOUNT: "Look at the folders with `lussac doctor`.",
    Outcome.GPU: "Look at the GPU with `lussac doctor`.",
    Outcome.DISK: "Free some space, or name an output_folder on another disk.",
    Outcome.INFRA: "Look at the engine with `lussac doctor`, then run again: what is finished is kept.",
}


def _failure(job: SorterJob, end: Exit, result: Mapping[str, Any] | None, log: Path) -> LussacError:
    if end.outcome is Outcome.KILLED:
        return InterruptedRunError(f"{job.name} ({job.sorter}) was stopped. Its log so far is {log}.")
    version = result["versions"].get("sorter", "") if result else ""
    kind = "failed" if end.outcome is Outcome.SORTER_ERROR else f"failed ({end.outcome})"
    sorter = " ".join(filter(None, (job.sorter, version)))
    return SorterError(f"{job.name} ({sorter}) {kind}: {end.message.rstrip('.')}. {ADVICE[end.outcome]} Its log is {log}.")


def run_job(engine: Engine, request: Job, draft: Path, progress: Progress, stop: threading.Event) -> Exit:
    """Run a job in a draft; once more, from an empty scratch folder, if the engine and not the sorter failed."""
    end = engine.run(request, draft / LOG, progress, stop)
    if end.outcome is not Outcome.INFRA or stop.is_set():
        return end
    with (draft / LOG).open("a") as log:
        log.write(f"\nlussac: {end.message}; the sorter is started once more.\n")
    empty_outputs(draft)
    return engine.run(request, draft / LOG, progress, stop)


def _write_inputs(job: SorterJob, draft: Path) -> None:
    """Write what the runner reads."""
    (draft / "in" / "recording").mkdir()
    shutil.copyfile(RUNNER, draft / "in" / "runner.py")
    order = {
        "format": FORMAT,
        "sorter": job.sorter,
        "parameters": job.parameters,
        "seed": job.seed,
        "job_kwargs": {"n_jobs": job.limits.cores, "chunk_duration": "1s", "progress_bar": True},
        "concatenate": job.row.concatenate,
        "is_installed": bool(job.row.optional),
    }
    (draft / "in" / "job.json").write_text(json.dumps(order, indent=2, sort_keys=True, default=str), encoding="utf-8")


def _result(out: Path) -> Mapping[str, Any] | None:
    try:
        result: Mapping[str, Any] = json.loads((out / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return result


def _record(job: SorterJob, request: Job, end: Exit, result: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return all that is to be told about a run that has ended."""
    result = result or {}
    return {
        "name": job.name,
        "sorter": job.sorter,
        "key": job.key,
        "outcome": "done",
        "folder": str(job.folder),
        "recording": job.made_from["recording"],
        "image": described(job.image),
        "argv": list(end.command),
        "mounts": [
            {"host": str(mount.source), "container": mount.target, "mode": "ro" if mount.read_only else "rw"}
            for mount in request.mounts
        ],
        "user": _user(end),
        "network": "network" not in end.enforced,
        "relaxed": sorted(request.relaxed),
        "gpu": job.gpu,
        "limits": {
            "asked": {"cores": request.limits.cores, "memory": request.limits.memory, "seconds": request.limits.seconds},
            "enforced": list(end.enforced),
        },
        "threads": {name: request.env[name] for name in THREADS},
        "parameters": dict(job.parameters),
        "seed": job.seed,
        "seed_parameter": job.row.seed or "",
        "deterministic": job.row.deterministic,
        "runner": file_hash(RUNNER),
        "versions": result.get("versions", {}),
        "units": result.get("units"),
        "spikes": result.get("spikes"),
        "segments": result.get("segments"),
        "peak_memory": result.get("peak_memory"),
        "exit_code": end.code,
        "out_of_memory": end.outcome is Outcome.OOM,
        "timeout": end.outcome is Outcome.TIMEOUT,
        "seconds": round(end.seconds, 3),
        "why": job.why,
    }


def described(image: ImageRef) -> dict[str, Any]:
    """Return what is to be told about an image: all of its digests, and what it says of itself; pure."""
    details = image.details
    sif = {"path": details["sif"], "sha256": details["sha256"], "made_by": details["made by"]} if "sif" in details else None
    return {
        "requested": image.asked,
        "resolved": image.start,
        "manifest": image.digest,
        "config": details.get("id", ""),
        "rootfs": image.rootfs,
        "platform": details.get("platform", ""),
        "labels": {key.removeprefix("label "): value for key, value in details.items() if key.startswith("label ")},
        "source": image.source,
        "sif": sif,
        "distributions": dict(details) if image.source == "none" else {},
    }


def _user(end: Exit) -> str:
    """Return who the sorter ran as: docker was told, the other engines run it as this process."""
    told = next((word.removeprefix("user=") for word in end.command if word.startswith("user=")), "")
    return told or f"{os.geteuid()}:{os.getegid()}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
