import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lussac.interrupt import interruptible

HEAD = """
import os, signal, subprocess, sys, time
from pathlib import Path
from lussac.interrupt import interruptible
def clean_up():
    Path(sys.argv[1]).write_text("clean")
"""


def run_until_ready(code, path):
    process = subprocess.Popen(
        [sys.executable, "-c", HEAD + code, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    return process


def is_running(process):
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def interrupt_myself(number):
    with interruptible(lambda: None):
        os.kill(os.getpid(), number)
        time.sleep(5)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_become_keyboard_interrupts(number):
    with pytest.raises(KeyboardInterrupt):
        interrupt_myself(number)


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGINT)
    with interruptible(lambda: None):
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_a_process_that_does_not_end_is_killed_with_its_children(tmp_path):
    code = """
with interruptible(clean_up, deadline=0.3):
    child = subprocess.Popen(["sleep", "60"])
    while True:
        try:
            print("ready", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            print(child.pid, flush=True)
"""
    with run_until_ready(code, tmp_path / "note") as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 130
        child = int(process.stdout.readline())
        assert "the same command goes on from there" in process.stderr.read()
    assert (tmp_path / "note").read_text() == "clean"
    assert not is_running(child)


def test_a_second_signal_does_not_disturb_the_clean_up(tmp_path):
    code = """
try:
    with interruptible(clean_up, deadline=5):
        try:
            print("ready", flush=True)
            time.sleep(60)
        finally:
            print("cleaning", flush=True)
            time.sleep(0.3)
except KeyboardInterrupt:
    sys.exit(7)
"""
    with run_until_ready(code, tmp_path / "note") as process:
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "cleaning\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 7
    assert not (tmp_path / "note").exists()


def test_the_end_of_a_forked_worker_is_not_heard_by_the_watcher(tmp_path):
    code = """
with interruptible(clean_up, deadline=0.2):
    ready, written = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(written, b"1")
        time.sleep(60)
    os.read(ready, 1)
    os.kill(child, signal.SIGINT)
    time.sleep(0.1)
    assert os.waitpid(child, os.WNOHANG) == (0, 0)
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
    time.sleep(0.5)
print("ready", flush=True)
"""
    with run_until_ready(code, tmp_path / "note") as process:
        assert process.wait(5) == 0
