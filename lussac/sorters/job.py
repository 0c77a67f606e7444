"""A sorter run before it starts: its parameters checked and filled in, its engine and image chosen, its result identified."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spikeinterface.sorters import available_sorters, get_default_sorter_params, sorter_dict

from lussac.engines import AUTO, choose
from lussac.engines.base import Engine, ImageRef, Limits
from lussac.errors import EngineError
from lussac.params import SorterParams
from lussac.sorters import images, recipes
from lussac.sorters.catalogue import Row, catalogue
from lussac.store import content_key
from lussac.validation import suggestion

CONTAINERS = ("docker", "singularity")

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
    seed
        For every random choice of the sorter that its parameters don't seed.
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
    passed
        Why not one of the engines that were tried before, by their names.
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
    seed: int
    made_from: Mapping[str, Any]
    row: Row
    limits: Limits
    run: Mapping[str, Any]
    why: str
    passed: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Return the content key of the result."""
        return content_key(self.made_from)


def problems(name: str, run: SorterParams) -> list[tuple[tuple[str, ...], str]]:  # noqa: ARG001 - its place in the file says whose it is
    """Return what is wrong with a sorter run, as (path below the run, message); nothing is run."""
    if run.sorter_name not in available_sorters():
        return [(("sorter_name",), f"there is no sorter {run.sorter_name!r}{suggestion(run.sorter_name, available_sorters())}")]
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
    found += [
        (("sorter_params", key), f"{run.sorter_name} has no parameter {key!r}{suggestion(key, choices)}") for key in unknown
    ]
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


def prepare(
    name: str,
    run: SorterParams,
    recording_folder: Path,
    recording_hash: str,
    *,
    engine: str | None = None,
    base: Path,
    pull: bool = True,
    locked: Mapping[str, Mapping[str, str]] | None = None,
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
    locked
        From `images.read`: any other image is refused. None takes what is there.
    seconds
        Limit of the wall-clock time of the sorter.

    Raises
    ------
    EngineError
        If no engine can run the sorter, or its image is not the one that is locked.
    """
    row = catalogue()[run.sorter_name]
    given = {key: value for key, value in run.sorter_params.items() if key not in RUN_PARAMETERS}
    defaults = default_parameters(run.sorter_name)
    passed_on = {key: run.sorter_params[key] for key in ("delete_tmp_files", "delete_recording_dat") if key in run.sorter_params}
    given |= {key: value for key, value in passed_on.items() if key in defaults}
    parameters = {**row.defaults, **given}
    seed = derived_seed(run.sorter_name, parameters, recording_hash)
    if row.seed and defaults.get(row.seed) is None and row.seed not in given:
        parameters[row.seed] = seed
    wanted, runs_in = runs_on(run, engine)
    named = any(isinstance(run.sorter_params.get(f"{container}_image"), str) for container in CONTAINERS)
    try:
        choice = choose(wanted, runs_in, row.gpu, pull=pull and (named or bool(row.digest)))
    except EngineError as error:
        raise EngineError(_no_engine(name, run.sorter_name, row, str(error))) from error
    if locked is not None:
        images.check(name, choice.image, locked)
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
        seed=seed,
        made_from=made_from,
        row=row,
        limits=Limits(seconds=seconds),
        run={key: value for key, value in run.sorter_params.items() if key in RUN_PARAMETERS},
        why=choice.why,
        passed=choice.passed,
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


def runs_on(run: SorterParams, engine: str | None) -> tuple[str, Mapping[str, str]]:
    """Return the engine wanted, and what each engine would run the sorter in."""
    row = catalogue()[run.sorter_name]
    runs_in = {name: row.reference for name in CONTAINERS if row.image}
    if row.optional or sorter_dict[run.sorter_name].is_installed():
        runs_in["local"] = row.needs(run.sorter_params)
    for name in CONTAINERS:
        asked = run.sorter_params.get(f"{name}_image")
        if asked:
            return name, runs_in | ({name: asked} if isinstance(asked, str) else {})
    return engine or AUTO, runs_in


def _no_engine(name: str, sorter: str, row: Row, reasons: str) -> str:
    own_image = (
        f"There is no image of ours for {sorter}: {row.why_not}.\n" if row.why_not else f"{recipes.how_to_build(sorter)}\n"
    )
    install = f"pip install {' '.join(row.packages)}" if row.packages else "see its own documentation"
    return (
        f"{name}: nothing here can run {sorter}.\n{reasons}\n{own_image}"
        'The ways out: docker (start it, and build or name the image with "docker_image"), apptainer or singularity '
        f'("singularity_image"), or install the sorter in this environment ({install}).'
    )
