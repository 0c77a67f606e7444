"""Which GPUs jobs are given: those that this process may use; pure."""

from collections.abc import Mapping

VARIABLE = "CUDA_VISIBLE_DEVICES"
"""Set by schedulers of clusters and by users who share a machine."""
ALL = ("all",)


def allotted(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the numbers or ids of the GPUs that this process may use: all where nothing is said, none where it is forbidden."""
    given = environment.get(VARIABLE)
    if given is None or given == "all":
        return ALL
    ids = tuple(word.strip() for word in given.split(",") if word.strip())
    return () if not ids or ids[0] in {"-1", "NoDevFiles", "void", "none"} else ids


def handed_on(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variable that keeps a job to these GPUs, for an engine that shows it all of them."""
    return {VARIABLE: environment[VARIABLE]} if VARIABLE in environment else {}
