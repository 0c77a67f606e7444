"""The guard: nothing of a sorter outlives the process that asked for it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lussac.engines.guard import OVER_MEMORY
from lussac.engines.process import GUARD

CHILD_THAT_STAYS = """
import os, sys, time
ready, done = os.pipe()
if os.fork() == 0:
    os.setsid()
    with open(sys.argv[1], "w") as file:
        file.write(str(os.getpid()))
    os.write(done, b".")
    time.sleep(60)
os.read(ready, 1)
"""


def start(*command: str, parent: int | None = None, memory: int = 0) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-I", "-S", GUARD, str(parent or os.getpid()), str(memory), *command])


def lives(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_for(file: Path) -> int:
    deadline = time.monotonic() + 20
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return int(file.read_text())


@pytest.mark.parametrize("code", [0, 3])
def test_gives_the_exit_code(code):
    assert start(sys.executable, "-c", f"raise SystemExit({code})").wait(20) == code


def test_gives_the_signal_of_a_crash():
    assert start(sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)").wait(20) == 128 + signal.SIGSEGV


def test_ends_what_the_command_leaves_behind(tmp_path):
    assert start(sys.executable, "-c", CHILD_THAT_STAYS, str(tmp_path / "pid")).wait(20) == 0
    assert not lives(int((tmp_path / "pid").read_text()))


def test_ends_a_command_that_ignores_the_wish(tmp_path):
    stubborn = (
        "import os, signal, sys, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "open(sys.argv[1], 'w').write(str(os.getpid()))\ntime.sleep(60)\n"
    )
    guard = start(sys.executable, "-c", stubborn, str(tmp_path / "pid"))
    pid = wait_for(tmp_path / "pid")
    begin = time.monotonic()
    guard.terminate()
    guard.wait(20)
    assert time.monotonic() - begin < 5
    assert not lives(pid)


def test_ends_all_when_its_parent_is_killed(tmp_path):
    parent = (
        "import os, subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-I', '-S', sys.argv[1], str(os.getpid()), '0', sys.executable, '-c',"
        " \"import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)\", sys.argv[2]])\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", parent, GUARD, str(tmp_path / "pid")])
    pid = wait_for(tmp_path / "pid")
    process.kill()
    process.wait()
    deadline = time.monotonic() + 5
    while lives(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_refuses_to_start_for_a_parent_that_is_gone(tmp_path):
    assert start(sys.executable, "-c", f"open({str(tmp_path / 'ran')!r}, 'w')", parent=1 << 22).wait(20) != 0
    assert not (tmp_path / "ran").exists()


def test_ends_a_command_over_its_memory():
    assert (
        start(sys.executable, "-c", "import time; x = b'1' * (200 << 20); time.sleep(60)", memory=100 << 20).wait(20)
        == OVER_MEMORY
    )


def test_removes_shared_memory_of_a_killed_command(tmp_path):
    leaky = (
        "import sys, time\nfrom multiprocessing.shared_memory import SharedMemory\n"
        "block = SharedMemory(create=True, size=1 << 20)\n"
        "open(sys.argv[1], 'w').write('1')\nopen(sys.argv[2], 'w').write(block.name)\ntime.sleep(60)\n"
    )
    guard = start(sys.executable, "-c", leaky, str(tmp_path / "ready"), str(tmp_path / "name"))
    wait_for(tmp_path / "ready")
    time.sleep(0.2)
    guard.terminate()
    guard.wait(20)
    assert not (Path("/dev", "shm") / (tmp_path / "name").read_text().lstrip("/")).exists()
