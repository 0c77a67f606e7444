"""Apptainer for a user without root: the usual case on a cluster. Root runs the tests on the test bed, which has such a user."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import pytest
from engines_here import REPOSITORY, answering, image_of, left_by, owners
from tiny import Case, write_params

from lussac.provenance import read_record

pytestmark = [
    pytest.mark.singularity,
    pytest.mark.skipif(os.geteuid() != 0, reason="without root all tests are run by such a user already"),
]
USER = os.environ.get("TESTBED_USER", "testbed")


@pytest.fixture(scope="module")
def home():
    """Return a folder of the user, who can't see into root's."""
    try:
        account = pwd.getpwnam(USER)
    except KeyError:
        pytest.skip(f"there is no user {USER}; containers/testbed/apptainer-up.sh makes one")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    os.chown(folder, account.pw_uid, account.pw_gid)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def command(home):
    """Return how the user starts Lussac: with a Python that isn't in root's home, and copies of what is."""
    shutil.copytree(REPOSITORY / "lussac", home / "program" / "lussac", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {
        "PYTHONPATH": f"{home / 'program'}:{sysconfig.get_path('purelib')}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": home,
        "NUMBA_CACHE_DIR": home / "numba",
        "MPLCONFIGDIR": home / "matplotlib",
        "DOCKER_HOST": "",
    }
    as_user = ["runuser", "-u", USER, "--", "env", *(f"{name}={value}" for name, value in environment.items())]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        words = [*as_user, python, "-m", "lussac"]
        if subprocess.run([*words, "--version"], capture_output=True, check=False, cwd=home).returncode == 0:
            return words
    pytest.skip(f"there is no Python that {USER} could run Lussac with")


@pytest.fixture
def params(case, home):
    """Return a params.json of the user, with one sorter in apptainer."""
    engine = answering("singularity")
    image_of(engine)
    folder = Path(tempfile.mkdtemp(dir=home))
    shutil.copytree(case.folder, folder / "data")
    mine = Case(folder / "data", case.analyses)
    sorter = {"sorter_name": "simple", "sorter_params": {"singularity_image": True}}
    file = write_params(folder, {**mine.params({}, n_jobs=1), "analyses": {}, "spike_sorting": {"one": sorter}})
    subprocess.run(["chown", "-R", USER, folder], check=True)
    return file


def test_a_sorter_runs_and_all_files_are_the_users(command, params):
    ended = subprocess.run([*command, params, "--quiet"], capture_output=True, text=True, check=False, cwd=params.parent)
    assert (ended.returncode, ended.stderr) == (0, "")
    (record,) = read_record(params.parent / "logs")["sorters"]
    assert record["engine"]["rootless"] == "True"
    assert record["units"] >= 2
    assert owners(params.parent) == {params.stat().st_uid}
    assert left_by(answering("singularity"), params.parent) == []


def test_nothing_is_left_after_the_user_stops_it(command, params):
    process = subprocess.Popen([*command, params, "--quiet"], cwd=params.parent, start_new_session=True, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (params.parent / "analyses" / ".one.lussac-draft" / "work" / "sorter").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert left_by(answering("singularity"), params.parent) == []
    assert owners(params.parent) == {params.stat().st_uid}


def test_the_doctor_says_whether_the_user_may(command, home):
    ended = subprocess.run([*command, "doctor"], capture_output=True, text=True, check=False, cwd=home)
    assert "good singularity: flavour apptainer" in ended.stdout
    assert "good user namespaces: allowed" in ended.stdout
