"""One recording, several spike sorters, one set of single neurons."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lussac.api import run as run

__version__ = "3.0.0.dev0"


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Import `run` when it is asked for: SpikeInterface takes seconds that `lussac --help` hasn't."""
    if name == "run":
        from lussac.api import run  # noqa: PLC0415

        return run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
