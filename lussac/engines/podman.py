"""What podman does otherwise than docker behind docker's interface."""

from collections.abc import Sequence
from typing import Any

import docker
from docker.types import Mount as Bind

from lussac.errors import EngineError

OWN_INTERFACE = "v4.0.0/libpod"
"""Podman's own, at the same address; every podman since 4.0 takes requests of this version."""


def spelled(mounts: list[Bind], *, podman: bool) -> dict[str, list[Any]]:
    """Return mounts as arguments of the SDK; podman takes a path with a comma or a quotation mark in the older form only.

    Raises
    ------
    EngineError
        If podman can't take a path in either form.
    """
    awkward = [mount for mount in mounts if podman and {",", '"'} & {*mount["Source"], *mount["Target"]}]
    if hopeless := [mount["Source"] for mount in awkward if ":" in mount["Source"] + mount["Target"]]:
        raise EngineError(f"Podman can't mount {hopeless[0]}, with a colon beside a comma or quotation mark. Rename it.")
    volumes = [f"{mount['Source']}:{mount['Target']}:{'ro' if mount['ReadOnly'] else 'rw'}" for mount in awkward]
    return {"mounts": [mount for mount in mounts if mount not in awkward], "volumes": volumes}


def refuse_missing(client: docker.DockerClient, image: str, mounts: Sequence[Bind]) -> None:
    """Raise EngineError where a folder doesn't exist on podman's machine: docker's interface would make it there, and root's.

    Podman's own interface refuses such a folder when a container is created. The container is never started.

    Parameters
    ----------
    client
        Of podman.
    image
        Any that it has, by its id.
    mounts
        As the container of the sorter is to have them.
    """
    containers = f"{client.api.base_url}/{OWN_INTERFACE}/containers"
    wanted = [
        {"type": "bind", "source": mount["Source"], "destination": mount["Target"], "options": ["rbind", "ro"]}
        for mount in mounts
        if mount["Type"] == "bind"
    ]
    body = {"image": image, "command": ["true"], "mounts": wanted}
    answer = client.api.post(f"{containers}/create", json=body, timeout=60)
    if answer.ok:
        client.api.delete(f"{containers}/{answer.json()['Id']}", params={"force": "true"}, timeout=60).raise_for_status()
    elif "no such file" in answer.text:  # any other refusal comes again, with its own message, when the sorter is started
        raise EngineError(missing(answer.json()["message"]))


def missing(reason: str) -> str:
    """Say what to do about a folder that podman's machine doesn't have; pure."""
    return (
        f"The machine that podman runs on has no such folder ({reason}). Say what the folders here are called there with "
        "LUSSAC_HOST_PATH_MAP, or use a folder of that machine."
    )
