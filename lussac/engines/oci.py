"""Images as a registry describes them, read from the files that apptainer and singularity keep of what they have pulled.

Each file is named by the hash of its content, so that nothing has to be trusted and no registry asked a second time.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

CACHES = {"APPTAINER_CACHEDIR": ".apptainer", "SINGULARITY_CACHEDIR": ".singularity"}
"""Variables that name the folder of the cache, and that folder in the user's home where they don't."""


def caches(environment: Mapping[str, str], home: Path) -> Iterator[Path]:
    """Yield where files of pulled images may be; pure."""
    for variable, usual in CACHES.items():
        yield Path(environment.get(variable) or home / usual) / "cache" / "blob" / "blobs"


def pulled_layers(manifest: str) -> list[str]:
    """Return the hashes of the layers of an image that was pulled; empty where its files are not kept.

    Parameters
    ----------
    manifest
        Its digest in the registry.
    """
    return layers(manifest, [*caches(os.environ, Path.home())])


def layers(manifest: str, folders: Iterable[Path]) -> list[str]:
    """Return the hashes of the layers of an image: of their contents, not of how a registry has packed them."""
    places = [*folders]
    found = _read(manifest, places)
    described = _read(str(found.get("config", {}).get("digest", "")), places)
    return [*described.get("rootfs", {}).get("diff_ids", ())]


def _read(digest: str, folders: Iterable[Path]) -> Mapping[str, Any]:
    """Return what a file of this hash describes; empty where there is none, or its content isn't what its name says."""
    kind, _, name = digest.partition(":")
    file = next((folder / kind / name for folder in folders if name.isalnum() and (folder / kind / name).is_file()), None)
    if kind != "sha256" or file is None:
        return {}
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != name:
        return {}
    described: Mapping[str, Any] = json.loads(content)
    return described
