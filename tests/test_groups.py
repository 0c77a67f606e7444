"""Tests that share something run one after the other: `make test` gives each group of them to one worker."""

import subprocess
import sys

MODULE = """
import os, pathlib, pytest

@pytest.mark.xdist_group("shared thing")
@pytest.mark.parametrize("number", range(6))
def test(number):
    pathlib.Path(f"{number}.worker").write_text(os.environ["PYTEST_XDIST_WORKER"])
"""


def test_a_group_has_one_worker(tmp_path):
    (tmp_path / "test_it.py").write_text(MODULE)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup", "-p", "no:cacheprovider", "test_it.py"]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)
    workers = [file.read_text() for file in tmp_path.glob("*.worker")]
    assert len(workers) == 6
    assert len(set(workers)) == 1
