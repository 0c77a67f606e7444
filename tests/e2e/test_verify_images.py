"""Images of a run against its record, and runs again in the very same image."""

import hashlib
import json
import secrets
import subprocess
from dataclasses import replace

import pytest
from engines_here import CONTAINERS, IMAGE, answering, image_of
from tiny import lussac, write_params

from lussac.engines.base import ImageRef
from lussac.pipeline.recorded import Recorded
from lussac.pipeline.verify import verify
from lussac.sorters import described

PIPELINE = {"align_units": {"all": {}}, "merge_sortings": {"all": {}}}
OTHER_RECIPE = f"""
FROM {IMAGE}
USER 0
RUN file=$(python -c 'import spikeinterface.sorters.internal.simplesorter as module; print(module.__file__)') \\
 && sed -i 's/"detect_threshold": 5.0/"detect_threshold": 9.0/' "$file" \\
 && rm -r "$(dirname "$file")/__pycache__"
"""


def docker(*words, text=None):
    return subprocess.run(["docker", *words], check=True, capture_output=True, text=True, input=text, timeout=300).stdout


def facts(image, **other):
    """Return what a run records of an image, if it were another."""
    return described(replace(image, **other))


def finding(tmp_path, image, engine):
    run = {"name": "own", "outcome": "done", "image": image, "engine": {"name": engine}}
    record = {"inputs": [], "sorters": [run], "steps": [], "params": {"file": "none", "sha256": ""}, "run": "one"}
    (own,) = (one for one in verify(Recorded(tmp_path, record)) if one.part == "own")
    return own


@pytest.mark.parametrize("name", CONTAINERS)
def test_an_image_that_is_the_same(name, tmp_path):
    assert finding(tmp_path, facts(image_of(answering(name))), name).state == "as recorded"


def test_the_environment(tmp_path):
    image = image_of(answering("local"))
    assert finding(tmp_path, facts(image), "local").state == "as recorded"
    other = facts(image, rootfs="environment:other", details={**image.details, "numpy": "1.0"})
    found = finding(tmp_path, other, "local")
    assert (found.state, found.broken, "numpy 1.0 then" in found.note) == ("other", False, True)


@pytest.mark.docker
def test_an_image_that_was_built_anew(tmp_path):
    image = image_of(answering("docker"))
    found = finding(tmp_path, facts(image, rootfs="sha256:other", start="sha256:" + "0" * 64), "docker")
    assert (found.state, found.broken, image.rootfs in found.note) == ("changed", True, True)
    found = finding(tmp_path, facts(image, rootfs="sha256:other", start="lussac/base:0.105.3"), "docker")
    assert (found.state, "still here" in found.note) == ("other", True)


@pytest.mark.docker
def test_an_image_that_is_gone_and_an_engine_that_is(tmp_path, monkeypatch):
    image = image_of(answering("docker"))
    found = finding(tmp_path, facts(image, asked="lussac/no-such:1"), "docker")
    assert (found.state, found.broken) == ("unknown", False)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    assert finding(tmp_path, facts(image), "docker").state == "unknown"


def test_an_image_file(tmp_path):
    file = tmp_path / "sorter.sif"
    file.write_bytes(b"an image")
    details = {"sif": str(file), "sha256": hashlib.sha256(b"an image").hexdigest(), "made by": "apptainer 1.4"}
    image = described(ImageRef(asked=str(file), start=str(file), digest="", rootfs="sif:1", source="sif", details=details))
    assert finding(tmp_path, image, "singularity").state == "as recorded"
    file.write_bytes(b"another")
    assert finding(tmp_path, image, "singularity").state == "changed"
    file.unlink()
    assert finding(tmp_path, image, "singularity").state == "unknown"


def write_run(case, folder, **sorter_params):
    params = case.params(PIPELINE, analyses=("alpha",))
    return write_params(folder, params | {"spike_sorting": {"own": {"sorter_name": "simple", "sorter_params": sorter_params}}})


@pytest.mark.slow
@pytest.mark.docker
def test_a_run_again_in_its_image_and_a_run_in_another(case, tmp_path):
    image_of(answering("docker"))
    name = f"lussac-test/again-{secrets.token_hex(4)}"
    docker("tag", IMAGE, f"{name}:1")
    assert lussac(write_run(case, tmp_path / "one", docker_image=f"{name}:1"), timeout=600)[0] == 0
    try:
        docker("build", "--network=none", "--tag", f"{name}:1", "-", text=OTHER_RECIPE)
        code, out, err = lussac("verify", tmp_path / "one" / "logs", "--into", tmp_path / "again", timeout=600)
        assert (code, err) == (0, "")
        assert "the one that ran is still here" in out
        assert "All stages are identical." in out
        record = json.loads((tmp_path / "again" / "logs" / "provenance.json").read_text())
        assert record["sorters"][0]["image"]["requested"].startswith("sha256:")
        assert lussac(write_run(case, tmp_path / "two", docker_image=f"{name}:1"), timeout=600)[0] == 0
        code, _, err = lussac("verify", tmp_path / "one" / "logs", tmp_path / "two" / "logs")
        assert (code, "The first stage that differs is own. Why: image" in " ".join(err.split())) == (5, True)
    finally:
        docker("image", "rm", f"{name}:1")


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.singularity
def test_a_run_again_on_another_engine(case, tmp_path):
    image_of(answering("docker"))
    answering("singularity")
    assert lussac(write_run(case, tmp_path / "one", docker_image=True), timeout=600)[0] == 0
    code, out, err = lussac("verify", tmp_path / "one" / "logs", "--rerun", "--engine", "singularity", timeout=600)
    assert (code, err) == (0, "")
    assert "All stages are identical." in out
