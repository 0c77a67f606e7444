"""Folders with any name, on any disk, are the same for a job on every engine."""

import json
import os
import shutil
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from engines_here import job_in, owners

from lussac.engines.base import IN, OUT, Mount, Outcome

HOSTILE = 'it\'s a, "lab" disk=1;ro é漢 \\x $HOME'
COLON = "C: drive"
PROGRAM = """
import json, shutil, sys
given, params, out = sys.argv[1:]
shutil.copyfile(given, out + "/given")
json.dump(open(params).read(), open(out + "/params", "w"))
"""


@pytest.fixture
def other_disk():
    """Return a folder on another disk than the temporary one."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(params=["hostile", "colon", "link", "link to hostile"])
def base(request, tmp_path, other_disk):
    """Return folders whose names or places have broken other programs."""
    if request.param in ("hostile", "colon"):
        return tmp_path / (COLON if request.param == "colon" else HOSTILE)
    target = other_disk if request.param == "link" else other_disk / HOSTILE
    target.mkdir(exist_ok=True)
    (tmp_path / "link").symlink_to(target)
    return tmp_path / "link"


def test_a_job_sees_its_folders_and_the_params_folder_at_its_own_path(engine, image, base, tmp_path):
    base.mkdir(exist_ok=True)
    argv = ("python", "-c", PROGRAM, f"{IN}/{HOSTILE}", str(base / "my model, 2.json"), OUT)
    job = job_in(base, image, *argv, env={"WORDS": HOSTILE})
    job = replace(job, mounts=(*job.mounts, Mount(base, str(base))))
    (base / "in" / HOSTILE).write_text("given")
    (base / "my model, 2.json").write_text("of the params")
    end = engine.run(job, tmp_path / "log", lambda _line: None, threading.Event())
    assert end.outcome is Outcome.OK, end.message + (tmp_path / "log").read_text()
    assert (base / "out" / "given").read_text() == "given"
    assert json.loads((base / "out" / "params").read_text()) == "of the params"
    assert owners(base.resolve()) == {os.getuid()}
