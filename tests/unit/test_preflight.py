"""What the look from inside a container finds; with a real container in tests/engines/test_faults.py."""

import os
import subprocess
import sys

import pytest

from lussac.engines.base import OUT, WORK
from lussac.engines.preflight import PROGRAM, Answer, advice, arguments, check
from lussac.errors import EngineError


@pytest.fixture
def folders(tmp_path):
    for name in ("out", "work"):
        (tmp_path / name).mkdir()
    return tmp_path / "out", tmp_path / "work"


def run_here(*folders):
    """Run the program as a container with these folders would."""

    def run(name: str) -> Answer:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", PROGRAM, name, *folders], capture_output=True, text=True, check=False
        )
        return Answer(done.returncode, done.stderr)

    return run


def test_good_folders_are_left_as_they_were(folders):
    check(*folders, run_here(*folders))
    assert [list(folder.iterdir()) for folder in folders] == [[], []]


def test_another_folder_is_noticed(folders, tmp_path):
    with pytest.raises(EngineError, match=r"A container doesn't see what lies in .*out.*LUSSAC_HOST_PATH_MAP"):
        check(*folders, run_here(tmp_path, tmp_path))
    assert [list(folder.iterdir()) for folder in folders] == [[], []]


def test_an_answer_that_does_not_arrive_is_noticed(folders):
    with pytest.raises(EngineError, match="doesn't arrive there"):
        check(*folders, lambda _name: Answer(0, ""))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_of_somebody_else_are_noticed(folders):
    run = run_here(*folders)

    def as_another(name: str) -> Answer:
        answer = run(name)
        os.chown(folders[0] / f"{name}.back", 4242, 4242)
        return answer

    with pytest.raises(EngineError, match=f"belongs to user 4242, and not to {os.getuid()}"):
        check(*folders, as_another)
    assert list(folders[0].iterdir()) == []


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("PermissionError: [Errno 13] Permission denied: '/lussac/out/x'", "chcon -Rt container_file_t"),
        ("OSError: [Errno 28] No space left on device", "no space left"),
        ("OSError: [Errno 122] Disk quota exceeded", "no space left"),
        ("OSError: [Errno 5] Input/output error", "lussac doctor"),
    ],
)
def test_each_reason_has_its_advice(folders, reason, words):
    assert words in advice(folders[0], reason)


def test_the_program_gets_the_mounts_and_the_user_of_the_sorter_but_no_gpu():
    made = arguments({"image": "x", "user": "1:1", "mounts": ["m"], "device_requests": ["gpu"], "command": ["sort"]}, "name")
    assert (made["image"], made["user"], made["mounts"]) == ("x", "1:1", ["m"])
    assert made["command"][-3:] == ["name", OUT, WORK]
    assert "device_requests" not in made
