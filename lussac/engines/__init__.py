"""The engines, and the choice between them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from lussac.engines.base import Engine, ImageRef
from lussac.engines.local import LocalEngine
from lussac.errors import EngineError, UsageError

Gpu = Literal["none", "optional", "required"]


def _docker() -> Engine:
    from lussac.engines.docker import DockerEngine  # noqa: PLC0415 - docker takes half a second to import

    return DockerEngine()


def _singularity() -> Engine:
    from lussac.engines.singularity import SingularityEngine  # noqa: PLC0415 - asks docker for images

    return SingularityEngine()


ENGINES: Mapping[str, Callable[[], Engine]] = {"docker": _docker, "singularity": _singularity, "local": LocalEngine}
"""In the order in which they are tried."""

AUTO = "auto"
ALIASES = {"apptainer": "singularity"}


@dataclass(frozen=True, slots=True)
class Choice:
    """What a sorter will run in, and why; `passed` has the reason against each engine that was tried before."""

    engine: Engine
    image: ImageRef
    gpu: bool
    why: str
    passed: Mapping[str, str] = field(default_factory=dict)


def choose(
    wanted: str, images: Mapping[str, str], gpu: Gpu, *, pull: bool, engines: Mapping[str, Engine] | None = None
) -> Choice:
    """Find the engine that runs a sorter.

    Parameters
    ----------
    wanted
        The name of an engine, or ``auto`` for the first that can run this sorter now.
    images
        What each engine would run; an engine that is missing here can't run this sorter.
    gpu
        Whether the sorter needs a GPU.
    pull
        Whether images may be pulled.
    engines
        The engines by name; those of this package by default.

    Raises
    ------
    EngineError
        If no engine can; the message has the reason of each.
    """
    if engines is None:
        engines = {name: make() for name, make in ENGINES.items()}
    wanted = ALIASES.get(wanted, wanted)
    names = list(engines) if wanted == AUTO else [wanted]
    if unknown := [name for name in names if name not in engines]:
        raise UsageError(f"There is no engine {unknown[0]!r}. Choose {', '.join((AUTO, *engines))}.")
    passed: dict[str, str] = {}
    for name in names:
        try:
            found = _try(engines[name], images.get(name), gpu, pull=pull)
        except EngineError as error:
            passed[name] = str(error)
        else:
            why = "; ".join([found.why, *(f"{name}: {reason}" for name, reason in passed.items())])
            return replace(found, why=why, passed=passed)
    raise EngineError("\n".join(f"{name}: {reason}" for name, reason in passed.items()))


def _try(engine: Engine, image: str | None, gpu: Gpu, *, pull: bool) -> Choice:
    """Return the choice of one engine; raise EngineError with the reason why it can't be."""
    if reason := engine.unavailable():
        raise EngineError(reason)
    if image is None:
        raise EngineError("has nothing to run this sorter in")
    found = engine.resolve(image, pull=pull)
    has_gpu = gpu != "none" and engine.has_gpu(found)
    if gpu == "required" and not has_gpu:
        raise EngineError("the sorter needs an NVIDIA GPU, and there is none for it here")
    why = f"runs with {engine.name}"
    return Choice(engine, found, has_gpu, why if has_gpu or gpu == "none" else f"{why}, on the CPU since there is no GPU for it")
