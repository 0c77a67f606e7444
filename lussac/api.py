"""The Python interface."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spikeinterface.core import BaseRecording

from lussac import params as reader
from lussac.modules.base import Sortings
from lussac.pipeline import Given, Options, Result
from lussac.pipeline import run as run_plan
from lussac.plan import compile_plan


def run(
    params: str | Path | Mapping[str, Any],
    recording: BaseRecording | None = None,
    sortings: Sortings | None = None,
    *,
    base: str | Path = ".",
    jobs: int | None = None,
    engine: str | None = None,
    locked: bool = False,
    offline: bool = False,
    allow_failed_sorters: bool = False,
    keep_stale: bool = False,
) -> Result:
    """Take a recording to one merged and checked sorting, as ``lussac params.json`` does.

    Parameters
    ----------
    params
        The path of a params.json, or what it would hold as a dict.
    recording
        A recording with a probe, used instead of the section ``recording``; it must be preprocessed already.
    sortings
        Analyses by name, besides those of the params.
    base
        Where relative paths and ``$PARAMS_FOLDER`` start if `params` is a dict.
    jobs
        Cores to use, instead of ``n_jobs`` of the params.
    engine
        Where sorters run: ``auto``, ``local``, ``docker`` or ``singularity``.
    locked
        Refuse images that are not those of ``params.lock.json`` beside the params.
    offline
        Never pull an image.
    allow_failed_sorters
        Go on with the sorters that finish.
    keep_stale
        Keep results of sorters that other parameters or another recording made.

    Returns
    -------
    Result
        The sortings at the end of the pipeline, what each step did, and where the outputs are.

    Raises
    ------
    LussacError
        A `ParamsError`, `InputError` or `FolderError` where what is given is wrong; a `SorterError` or `ModuleError`
        where a step failed. What was finished is kept, and the same call goes on from there.
    """
    document = reader.from_dict(params, base) if isinstance(params, Mapping) else reader.read(params)
    given = Given(recording=recording, sortings=dict(sortings or {}))
    plan = compile_plan(document, recording_given=recording is not None, sortings_given=tuple(given.sortings))
    options = Options(
        jobs=jobs,
        engine=engine,
        locked=locked,
        offline=offline,
        allow_failed_sorters=allow_failed_sorters,
        keep_stale=keep_stale,
    )
    return run_plan(plan, options, given)
