"""Every command that the documentation shows does what it says, typed as it stands there."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lussac import jsonc
from tests.pages import PAGES, fenced
from tests.tiny import write_recording

CHECKED_ELSEWHERE = {"make", "pip"}
WITH_RUNS = {"reproducible.md"}
"""Pages whose commands need finished runs: test_verify.py types them."""
EXAMPLE_CHANNELS = 16
LUSSAC = shutil.which("lussac", path=str(Path(sys.executable).parent))


def blocks() -> list:
    return [
        pytest.param(text.splitlines(), id=f"{page.name}-{number}")
        for page in PAGES
        if page.name not in WITH_RUNS
        for number, text in enumerate(fenced(page, "console"), start=1)
        if not {line.split()[0] for line in text.splitlines()} <= CHECKED_ELSEWHERE
    ]


def with_imitated_sorters(file: Path, case) -> None:
    """Put analyses in place of the sorters, which would take minutes; tests/e2e/test_examples.py runs those."""
    content = jsonc.parse(file.read_text(encoding="utf-8"), file.name).data
    names = content.pop("spike_sorting")
    content["analyses"] = {new: str(case.folder / f"{old}.npz.json") for new, old in zip(names, case.analyses, strict=False)}
    content["recording"] = case.recording
    file.write_text(json.dumps(content))


@pytest.mark.skipif(LUSSAC is None, reason="the command isn't installed beside this Python")
@pytest.mark.parametrize("lines", blocks())
def test_documented_commands(lines, case, tmp_path):
    write_recording(np.zeros((1000, EXAMPLE_CHANNELS)), tmp_path)
    for line in lines:
        program, *words = shlex.split(line, comments=True)
        assert program == "lussac", f"nothing runs {line!r} here"
        if words == ["params.json"]:
            with_imitated_sorters(tmp_path / "params.json", case)
        done = subprocess.run([LUSSAC, *words], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
