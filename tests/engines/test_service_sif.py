"""The service image as a single file, run by a user without root: ``singularity exec lussac.sif lussac params.json``."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import jsonschema
import pytest
from service import SIF, TESTBED_USER, owners, run, text_of, write_data

from lussac import __version__
from lussac.provenance import SCHEMA_FILE, read_record
from lussac.store import file_hash
from tests.pages import ROOT

pytestmark = [pytest.mark.singularity, pytest.mark.xdist_group("service"), pytest.mark.usefixtures("service_sif")]
PROGRAM = shutil.which("singularity") or shutil.which("apptainer") or "apptainer"
USER = TESTBED_USER if os.geteuid() == 0 else None


@pytest.fixture
def data(user_folder):
    """A folder of the user, under a path with a space."""
    folder, owner = user_folder
    return write_data(folder / "session 1", owner=owner)


def apptainer(*words, **options):
    return run(PROGRAM, *words, user=USER, cwd="/", **options)


def test_run_inside_by_a_user_without_root(data):
    done = apptainer("exec", "--bind", f"{data}:/data", SIF, "lussac", "/data/params.json")
    assert "simple will run inside Lussac's own image: this machine's apptainer is not bound into this container" in text_of(done)
    record = read_record(data / "lussac" / "logs")
    assert [sorter["engine"]["name"] for sorter in record["sorters"]] == ["local"]
    jsonschema.validate(record, json.loads(SCHEMA_FILE.read_text()))
    image = record["software"]["image"]
    assert (image["sif"]["path"], image["rootfs"]) == (str(SIF), f"sif:{file_hash(SIF)}")
    assert image["labels"]["org.opencontainers.image.version"] == __version__
    assert owners(data) == {(data.stat().st_uid, data.stat().st_gid)}
    again = apptainer("run", "--bind", f"{data}:/data", SIF, "/data/params.json")
    assert "simple: reused" in again.stdout
    assert (data / "lussac" / "logs" / "provenance.json").is_file()


@pytest.mark.slow
def test_sorters_in_images_of_their_own_from_within(data, nested):
    done = apptainer("exec", "--bind", f"{nested},{data}:/data", SIF, "lussac", "/data/params.json")
    assert "inside Lussac's own image" not in text_of(done)
    (sorter,) = read_record(data / "lussac" / "logs")["sorters"]
    assert sorter["engine"]["name"] == "singularity"
    assert owners(data) == {(data.stat().st_uid, data.stat().st_gid)}


@pytest.fixture
def nested():
    """What to bind so that the host's apptainer is found inside."""
    script = apptainer("exec", SIF, "cat", "/opt/lussac/nested.sh").stdout
    binds = run("sh", "-c", script).stdout.strip()
    return f"{binds},{Path(os.environ['LUSSAC_SIF_DIR'])}" if os.environ.get("LUSSAC_SIF_DIR") else binds


def test_the_probe_decides(data, nested):
    """An apptainer that can't start a container: sorters run inside, with its reason."""
    done = apptainer("exec", "--bind", f"{nested},{data}:/data", SIF, "lussac", "doctor", "/data")
    assert "good singularity: flavour apptainer" in text_of(done)
    broken = "/dev/null:/usr/bin/squashfuse_ll"  # what opens image files
    done = apptainer("exec", "--bind", f"{nested},{data}:/data,{broken}", SIF, "lussac", "/data/params.json")
    assert "simple will run inside Lussac's own image: apptainer can't start a container from within this one" in text_of(done)


def test_nothing_of_the_user_gets_in(data):
    evil = data / "evil"
    evil.mkdir()
    (evil / "json.py").write_text("raise SystemExit('a module of the user was imported')")
    (data / "argparse.py").write_text("raise SystemExit('a module of the working directory was imported')")
    environment = {**os.environ, "PYTHONPATH": str(evil), "PYTHONSTARTUP": str(evil / "json.py")}
    done = apptainer("exec", "--bind", f"{data}:/data", "--pwd", "/data", SIF, "lussac", "--version", env=environment)
    assert done.stdout.startswith("lussac ")


def test_params_that_are_not_bound():
    done = apptainer("exec", SIF, "lussac", "/data/params.json", check=2)
    assert 'singularity exec --bind "$PWD:/data" lussac.sif lussac /data/params.json' in text_of(done)


def test_a_folder_that_is_bound_read_only(data):
    done = apptainer("exec", "--bind", f"{data}:/data:ro", SIF, "lussac", "/data/params.json", check=2)
    assert "/data is mounted read-only: bind /data without `:ro`" in text_of(done)


def test_its_help_labels_and_test():
    assert "singularity run lussac.sif params.json" in apptainer("run-help", SIF).stdout
    labels = json.loads(apptainer("inspect", "--json", "--labels", SIF).stdout)["data"]["attributes"]["labels"]
    assert labels["org.opencontainers.image.title"] == "lussac"
    assert labels["org.opencontainers.image.base.digest"].startswith("sha256:")
    assert f"lussac {__version__}" in apptainer("test", SIF).stdout


@pytest.mark.slow
@pytest.mark.docker
def test_image_files_of_sorters_are_made_of_docker_images(service_image):
    command = shutil.which("lussac", path=str(Path(sys.executable).parent))
    done = run(ROOT / "containers" / "sifs.sh", "simple", env={**os.environ, "LUSSAC": str(command)})
    assert re.search(r"^simple: \S+\.sif \(sha256:[0-9a-f]{64}\)$", done.stdout, re.MULTILINE)
