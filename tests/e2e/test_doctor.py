"""`lussac doctor` on this machine: what it says of each engine is what the engine says, and every fault has its fix."""

import os
import re
import subprocess
import sys

import pytest
from engines_here import CONTAINERS, answering, image_of
from tiny import lussac

from lussac.engines.doctor import rights


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """Return the verdict and the finding by what was looked at, of a folder that is still to be made."""
    _, out, err = lussac("doctor", tmp_path_factory.mktemp("results") / "new")
    assert err == ""
    found = re.findall(r"^(good|note|bad) +([^:\n]+): (.*)$", out, flags=re.MULTILINE)
    return {about: (verdict, text) for verdict, about, text in found}


@pytest.mark.parametrize("name", CONTAINERS)
def test_an_engine_that_answers_is_described(said, name):
    engine = answering(name)
    image_of(engine)
    verdict, text = said[name]
    assert verdict == "good"
    assert engine.describe()["version"] in text
    assert "rootless" in text
    assert "simple" in said[f"{name} images"][1] or said[f"{name} images"][0] == "note"


@pytest.mark.docker
def test_the_folder_is_looked_at_as_the_daemon_sees_it(said):
    answering("docker")
    verdict, text = said["path mapping"]
    assert verdict == "good"
    assert "is the same path for the docker daemon" in text


def test_an_engine_that_is_not_there_has_its_fix(tmp_path):
    environment = {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    words = [sys.executable, "-m", "lussac", "doctor", tmp_path]
    out = subprocess.run(words, env=environment, capture_output=True, text=True, check=False).stdout
    assert f"docker: no daemon answers at unix://{tmp_path}/none.sock" in out
    assert "start docker or set DOCKER_HOST" in out


def test_disk_and_gpu_are_always_looked_at(said):
    assert "GB free" in said["disk of the results"][1]
    assert said["GPU"][0] in ("good", "note")


def test_the_rights_of_a_daemon_are_explained():
    """No daemon of this kind runs on the test bed."""
    assert "files belong to you" in rights({"rootless": "True", "cgroup": "2"})
    assert "limits of memory and cores are not enforced" in rights({"rootless": "True", "cgroup": "1"})
    assert rights({"rootless": "False", "cgroup": "1"}) == ""
