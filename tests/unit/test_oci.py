"""The layers of an image, from the files that apptainer keeps of what it has pulled."""

import hashlib
import json
from pathlib import Path

import pytest

from lussac.engines import singularity
from lussac.engines.docker import rootfs_digest
from lussac.engines.oci import caches, layers

LAYERS = ["sha256:" + "1" * 64, "sha256:" + "2" * 64]


def kept(folder: Path, content: object) -> str:
    """Keep a file under the hash of its content; return that."""
    text = json.dumps(content).encode()
    digest = hashlib.sha256(text).hexdigest()
    (folder / "sha256").mkdir(parents=True, exist_ok=True)
    (folder / "sha256" / digest).write_bytes(text)
    return f"sha256:{digest}"


@pytest.fixture
def image(tmp_path, monkeypatch):
    """Return the folder of a cache with one image, its configuration and its manifest."""
    monkeypatch.setenv("APPTAINER_CACHEDIR", str(tmp_path))
    folder = tmp_path / "cache" / "blob" / "blobs"
    config = kept(folder, {"os": "linux", "rootfs": {"type": "layers", "diff_ids": LAYERS}})
    return folder, config, kept(folder, {"schemaVersion": 2, "config": {"digest": config}, "layers": []})


def test_the_layers_of_an_image_that_was_pulled(image, tmp_path):
    folder, _, manifest = image
    assert layers(manifest, [tmp_path / "none", folder]) == LAYERS
    assert singularity.pulled_rootfs(manifest) == rootfs_digest(LAYERS)


def test_files_that_are_gone_or_changed_tell_nothing(image):
    folder, config, manifest = image
    file = folder / "sha256" / config.partition(":")[2]
    file.write_text(file.read_text().replace("linux", "plan9"))
    assert layers(manifest, [folder]) == []
    file.unlink()
    assert layers(manifest, [folder]) == []
    assert singularity.pulled_rootfs(manifest) == f"manifest:{manifest}"


@pytest.mark.parametrize("manifest", ["", "sha256:", "sha256:../../secret", "md5:0"])
def test_what_is_no_digest_tells_nothing(image, manifest):
    assert layers(manifest, [image[0]]) == []


def test_a_list_of_platforms_tells_nothing(image):
    folder, _, manifest = image
    assert layers(kept(folder, {"manifests": [{"digest": manifest}]}), [folder]) == []


def test_an_image_that_was_pulled_by_a_tag_has_no_digest():
    assert singularity.pulled_rootfs("") == ""


def test_where_files_of_images_are(tmp_path):
    found = [*caches({"SINGULARITY_CACHEDIR": "/big"}, tmp_path)]
    assert found == [tmp_path / ".apptainer/cache/blob/blobs", Path("/big/cache/blob/blobs")]
