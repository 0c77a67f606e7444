"""The image that Lussac runs in, as it is seen from within; real images are asked in tests/engines/test_service*.py."""

import hashlib

from lussac.engines.own import of_file, own_image, unnamed
from lussac.sorters import described

REVISION = "org.opencontainers.image.revision"
LABELS = {REVISION: "abc", "org.label-schema.usage.apptainer.version": "1.4.5"}


def test_outside_of_its_image_there_is_none(tmp_path, monkeypatch):
    monkeypatch.delenv("LUSSAC_IMAGE", raising=False)
    assert own_image(tmp_path) is None


def test_an_image_file_is_known_by_its_bytes(tmp_path):
    (tmp_path / "lussac.sif").write_bytes(b"image")
    facts = described(of_file({"SINGULARITY_CONTAINER": str(tmp_path / "lussac.sif"), "LUSSAC_IMAGE": "lussac"}, LABELS))
    digest = hashlib.sha256(b"image").hexdigest()
    assert facts["sif"] == {"path": str(tmp_path / "lussac.sif"), "sha256": digest, "made_by": "apptainer 1.4.5"}
    assert (facts["rootfs"], facts["labels"]) == (f"sif:{digest}", LABELS)


def test_an_image_file_that_is_not_seen_from_within_is_known_by_its_labels(tmp_path):
    for environment in ({"APPTAINER_CONTAINER": str(tmp_path / "none.sif")}, {}):
        facts = described(of_file({**environment, "LUSSAC_IMAGE": "lussac"}, LABELS))
        assert (facts["source"], facts["rootfs"], facts["sif"], facts["labels"]) == ("unknown", "", None, LABELS)
        assert facts["requested"] == environment.get("APPTAINER_CONTAINER", "lussac")


def test_without_the_socket_the_image_says_what_it_was_built_from():
    facts = described(unnamed({"LUSSAC_IMAGE": "lussac", "LUSSAC_REVISION": "abc", "LUSSAC_BASE_DIGEST": ""}))
    assert (facts["requested"], facts["source"], facts["labels"]) == ("lussac", "unknown", {REVISION: "abc"})
