"""Builds images with the docker daemon, or podman's: its classic builder, which every engine has behind docker's interface."""

import re
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import docker
from docker.errors import DockerException
from requests.exceptions import RequestException

from lussac.engines.docker import DockerEngine
from lussac.errors import EngineError

LINES = 12
"""So many lines of a failed build are shown."""
NOISE = ("The legacy builder is deprecated", " ---> ", "Removing intermediate container")
WIDTH = 120
COMMAND = re.compile(r"The command '.*' returned", re.DOTALL)


def build(
    context: BinaryIO, tag: str, arguments: Mapping[str, str], labels: Mapping[str, str], progress: Callable[[str], None]
) -> int:
    """Build an image.

    Parameters
    ----------
    context
        A compressed tar archive with a Dockerfile.
    tag
        What to call it.
    arguments, labels
        Of the build; of the image.
    progress
        Told each step.

    Returns
    -------
    int
        Bytes of the image.

    Raises
    ------
    EngineError
        If no daemon answers, or a step fails: with the last lines that it wrote.
    """
    if reason := DockerEngine().unavailable():
        raise EngineError(f"Images are built with docker or podman: {reason}.")
    client = docker.from_env(timeout=60)
    try:
        # a step may be silent for long; packages come through the network of this machine
        news = client.api.build(
            fileobj=context,
            custom_context=True,
            encoding="gzip",
            tag=tag,
            buildargs=dict(arguments),
            labels=dict(labels),
            network_mode="host",
            rm=True,
            forcerm=True,
            decode=True,
            timeout=None,
        )
        _follow(tag, news, progress)
        return int(client.images.get(tag).attrs["Size"])
    except (DockerException, RequestException) as error:
        raise EngineError(f"{tag} can't be built: {error}") from error
    finally:
        client.close()


def _follow(tag: str, news: Any, progress: Callable[[str], None]) -> None:  # noqa: ANN401 - a stream of the SDK
    """Pass on what a builder says; raise EngineError where it fails."""
    last: deque[str] = deque(maxlen=LINES)
    for piece in news:
        for line in str(piece.get("stream", "")).splitlines():
            if not line.strip() or any(noise in line for noise in NOISE):
                continue
            last.append(line.rstrip()[:WIDTH])
            if line.startswith("Step "):
                progress(line.strip())
        if "error" in piece:
            raise EngineError("\n".join([f"{tag} can't be built:", *last, COMMAND.sub("The step returned", str(piece["error"]))]))
