"""Which GPUs jobs are given: those that this process may use, in the words of each engine; pure."""

from collections.abc import Mapping

from docker.types import DeviceRequest

VARIABLE = "CUDA_VISIBLE_DEVICES"
"""Set by schedulers of clusters and by users who share a machine."""
ALL = ("all",)
CDI = "nvidia.com/gpu"


def allotted(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the numbers or ids of the GPUs that this process may use: all where nothing is said, none where it is forbidden."""
    given = environment.get(VARIABLE)
    if given is None or given == "all":
        return ALL
    ids = tuple(word.strip() for word in given.split(",") if word.strip())
    return () if not ids or ids[0] in {"-1", "NoDevFiles", "void", "none"} else ids


def request(ids: tuple[str, ...], *, cdi: bool) -> DeviceRequest:
    """Return GPUs as a docker daemon is asked for them.

    Parameters
    ----------
    ids
        From `allotted`, at least one.
    cdi
        Whether the daemon knows them by the Container Device Interface, as podman does, and not by NVIDIA's own hook.
    """
    if cdi:
        return DeviceRequest(driver="cdi", device_ids=[f"{CDI}={name}" for name in ids])
    if ids == ALL:
        return DeviceRequest(count=-1, capabilities=[["gpu"]])
    return DeviceRequest(device_ids=list(ids), capabilities=[["gpu"]])
