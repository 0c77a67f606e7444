"""The image that Lussac itself runs in, as far as that can be known from within."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from lussac import inside
from lussac.engines.base import ImageRef
from lussac.inside import Kind
from lussac.store import file_hash

IMAGE_FILES = ("APPTAINER_CONTAINER", "SINGULARITY_CONTAINER")
"""Variables that name the image file which apptainer or singularity has started."""
LABELS = Path("/.singularity.d/labels.json")
"""What an image file says about itself; there in each of its containers."""
TOLD = {"LUSSAC_REVISION": "revision", "LUSSAC_BASE_NAME": "base.name", "LUSSAC_BASE_DIGEST": "base.digest"}
"""Variables that the Dockerfile sets besides the labels of the same names, which can't be read from within."""
PREFIX = "org.opencontainers.image"


def own_image(folder: Path) -> ImageRef | None:
    """Find out what image this process runs in.

    Parameters
    ----------
    folder
        Of the machine, and writable: docker's daemon is asked which container has it.

    Returns
    -------
    ImageRef or None
        None where Lussac doesn't run in its own image.
    """
    match inside.here().kind:
        case Kind.ELSEWHERE:
            return None
        case Kind.APPTAINER:
            return of_file(os.environ, _labels(LABELS))
        case Kind.DOCKER:
            return _of_container(folder) or unnamed(os.environ)


def of_file(environment: Mapping[str, str], labels: Mapping[str, str]) -> ImageRef:
    """Return an image file by its bytes, or where it can't be read from within, by its labels."""
    file = next((Path(environment[name]) for name in IMAGE_FILES if environment.get(name)), None)
    known = {f"label {name}": text for name, text in sorted(labels.items())}
    tools = (name.rpartition(".")[0] for name in labels if name.endswith((".apptainer.version", ".singularity.version")))
    made_by = next((f"{tool.rpartition('.')[2]} {labels[f'{tool}.version']}" for tool in sorted(tools)), "")
    if file is None or not file.is_file() or not os.access(file, os.R_OK):
        return ImageRef(
            asked=str(file or environment[inside.MARK]), start="", digest="", rootfs="", source="unknown", details=known
        )
    digest = file_hash(file)
    told = {"sif": str(file), "sha256": digest, "made by": made_by}
    return ImageRef(asked=str(file), start=str(file), digest="", rootfs=f"sif:{digest}", source="sif", details=told | known)


def unnamed(environment: Mapping[str, str]) -> ImageRef:
    """Return what an image says about itself where no daemon can be asked for its digest; pure."""
    known = {f"label {PREFIX}.{label}": environment[name] for name, label in TOLD.items() if environment.get(name)}
    return ImageRef(asked=environment[inside.MARK], start="", digest="", rootfs="", source="unknown", details=known)


def _of_container(folder: Path) -> ImageRef | None:
    """Ask docker's daemon; None where there is no socket, or the daemon doesn't know this container."""
    from docker.errors import DockerException  # noqa: PLC0415 - docker takes half a second to import
    from requests.exceptions import RequestException  # noqa: PLC0415

    from lussac.engines.daemon import connect, default_host  # noqa: PLC0415
    from lussac.engines.docker import reference  # noqa: PLC0415
    from lussac.engines.hostpaths import own_container  # noqa: PLC0415

    try:
        with connect(default_host()) as client:
            container = own_container(client, folder)
            return reference(container.attrs["Config"]["Image"], container.image.attrs) if container else None
    except (DockerException, RequestException, OSError):
        return None


def _labels(file: Path) -> Mapping[str, str]:
    try:
        found: Mapping[str, str] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found
