"""What every engine does with a job; jobs are one-line programs, so that each test takes a second."""

import os
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from engines_here import answering, image_of, job_in, left_by, owners

from lussac.engines.base import IN, OUT, Job, Limits, Outcome


def ignore(_line: str) -> None:
    pass


@pytest.fixture
def make_job(image, tmp_path):
    def make(program: str, **changes) -> Job:
        env = {"PYTHONUNBUFFERED": "1", "WHERE": OUT}
        job = job_in(tmp_path, image, "python", "-c", program, **{"env": env, **changes})
        (tmp_path / "in" / "given").write_text("given")
        return job

    return make


@pytest.fixture
def run(engine, tmp_path):
    def run(job: Job, *, stop: threading.Event | None = None, progress=ignore):
        return engine.run(job, tmp_path / "log", progress, stop or threading.Event())

    return run


def test_runs_in_its_folders_and_environment(make_job, run, tmp_path):
    end = run(make_job("import os; open(os.environ['WHERE'] + '/made', 'w').write(os.getcwd()); print('done')"))
    assert (end.outcome, end.code, end.message) == (Outcome.OK, 0, "")
    assert (tmp_path / "out" / "made").exists()
    assert (tmp_path / "log").read_text() == "done\n"
    assert owners(tmp_path / "out") == {os.getuid()}


def test_reads_its_input(make_job, run, tmp_path):
    job = make_job("")
    (tmp_path / "in" / "main.py").write_text(
        "import sys; print(open(sys.argv[1] + '/given').read(), file=open(sys.argv[2] + '/copy', 'w'))"
    )
    assert run(replace(job, argv=("python", f"{IN}/main.py", IN, OUT))).outcome is Outcome.OK
    assert (tmp_path / "out" / "copy").read_text() == "given\n"


def test_tells_the_newest_line(make_job, run):
    lines = []
    run(make_job("import time; print('one\\ntwo'); time.sleep(1); print('three'); time.sleep(1)"), progress=lines.append)
    assert lines == ["two", "three"]


def test_an_error_is_the_sorters(make_job, run, tmp_path):
    end = run(make_job("raise ValueError('no spikes')"))
    assert (end.outcome, end.code) == (Outcome.SORTER_ERROR, 1)
    assert "ValueError: no spikes" in (tmp_path / "log").read_text()


def test_a_crash_is_the_sorters(make_job, run):
    end = run(make_job("import ctypes; ctypes.string_at(0)"))
    assert end.outcome is Outcome.SORTER_ERROR
    assert "signal 11" in end.message


def test_stops_at_the_time_limit_even_what_ignores_it(make_job, run):
    program = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    end = run(make_job(program, limits=Limits(seconds=1.5)))
    assert end.outcome is Outcome.TIMEOUT
    assert "1.5 s" in end.message


def test_stops_at_the_memory_limit(make_job, run):
    program = "import time; x = bytearray(b'1') * (400 << 20); time.sleep(60)"
    end = run(make_job(program, limits=Limits(memory=200 << 20, seconds=30)))
    if "memory" not in end.enforced:
        pytest.skip("this engine can't limit memory here, and says so")
    assert end.outcome is Outcome.OOM


def test_stops_within_five_seconds_even_what_ignores_it(make_job, run, tmp_path):
    program = (
        "import signal, os, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGINT, signal.SIG_IGN);"
        "os.fork(); open(os.environ['WHERE'] + '/up', 'w'); time.sleep(60)"
    )
    stop, ends = threading.Event(), []
    thread = threading.Thread(target=lambda: ends.append(run(make_job(program), stop=stop)))
    thread.start()
    while not (tmp_path / "out" / "up").exists():
        time.sleep(0.05)
    begin = time.monotonic()
    stop.set()
    thread.join(20)
    assert time.monotonic() - begin < 5
    assert ends[0].outcome is Outcome.KILLED
    assert owners(tmp_path / "out") == {os.getuid()}


def test_two_run_side_by_side(make_job, engine, tmp_path):
    """Each waits for the other's file: one after the other, neither would end well."""
    job = make_job("")
    program = (
        "import os, sys, time; mine, other = (os.environ['WHERE'] + '/' + name for name in sys.argv[1:]); open(mine, 'w')\n"
        "while not os.path.exists(other): time.sleep(0.05)"
    )
    jobs = [
        replace(job, argv=("python", "-c", program, *names), label=job.label + names, limits=Limits(seconds=60))
        for names in ("ab", "ba")
    ]
    ends = []

    def run(job: Job) -> None:
        ends.append(engine.run(job, tmp_path / job.label, ignore, threading.Event()))

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [end.outcome for end in ends] == [Outcome.OK, Outcome.OK]


@pytest.mark.parametrize("program", ["print(1)", "raise ValueError", "import os; os.kill(os.getpid(), 9)"])
def test_nothing_is_left_after_a_run(make_job, run, engine, tmp_path, program):
    job = make_job(program)
    run(job)
    assert left_by(engine, tmp_path) == []
    assert owners(tmp_path) == {os.getuid()}


@pytest.mark.singularity
def test_the_command_may_be_called_singularity(tmp_path, monkeypatch):
    """As at sites that have not changed their name: the same engine runs, and the same image file."""
    engine = answering("singularity")
    found = image_of(engine)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "singularity").symlink_to(shutil.which("apptainer") or shutil.which("singularity"))
    tools = [folder for folder in os.environ["PATH"].split(":") if not (Path(folder) / "apptainer").exists()]
    for tool in ("python3", "env", "sh", "unsquashfs", "mksquashfs", "squashfuse", "fusermount"):
        if (file := shutil.which(tool)) and str(Path(file).parent) not in tools:
            (tmp_path / "bin" / tool).symlink_to(file)
    monkeypatch.setenv("PATH", ":".join([str(tmp_path / "bin"), *tools]))
    assert engine.unavailable() is None
    assert engine.describe()["flavour"] == "singularity"
    job = job_in(tmp_path, found, "python", "-c", "print('here')")
    end = engine.run(job, tmp_path / "log", ignore, threading.Event())
    assert end.outcome is Outcome.OK, (tmp_path / "log").read_text()
    assert end.command[0] == str(tmp_path / "bin" / "singularity")
