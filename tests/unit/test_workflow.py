"""The workflow of GitHub runs what it names, pinned, with no more rights than it needs; `make workflow` checks its form."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.fixture(params=WORKFLOWS, ids=lambda file: file.name)
def text(request):
    return request.param.read_text()


def test_there_is_one():
    assert [file.name for file in WORKFLOWS] == ["ci.yml"]


def test_actions_are_pinned_by_commit(text):
    used = re.findall(r"uses: (.*)", text)
    assert used
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) for action in used), used


def test_only_what_publishes_may_write(text):
    head, jobs = text.split("\njobs:\n")
    assert "permissions:\n  contents: read\n" in head
    writes = {job.split(":", 1)[0].strip() for job in re.split(r"\n(?=  \w+:\n)", jobs) if ": write" in job}
    assert writes == {"publish"}


def test_what_it_runs_is_there(text):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z-]+)", text)) <= targets
    assert all((ROOT / script).is_file() for script in re.findall(r"(containers/[\w-]+\.sh)", text))
