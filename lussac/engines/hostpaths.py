"""Where the docker daemon finds the folders of this process, which may itself run in a container."""

import os
from dataclasses import dataclass

import docker
from docker.types import Mount as Bind

from lussac.engines.base import Mount


@dataclass(frozen=True, slots=True)
class HostPaths:
    """The daemon's view of paths of this process."""

    def bind(self, client: docker.DockerClient, mount: Mount) -> Bind:  # noqa: ARG002
        """Return a mount for the daemon: one whose source is missing fails instead of being made."""
        return Bind(mount.target, os.path.realpath(mount.source), type="bind", read_only=mount.read_only)
