import ctypes
import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from spikeinterface.core import NumpySorting

from lussac import cli
from lussac.commands import check
from lussac.commands.init import EXAMPLES
from lussac.console import Display, counts, make_console, show_error, show_scores, show_summary, shown_warnings
from lussac.demo import Score
from lussac.pipeline import Result, Step
from lussac.pipeline.progress import Progress


def sorting(units):
    return NumpySorting.from_unit_dict([{unit: np.array([unit + 1]) for unit in range(units)}], 30_000.0)


@pytest.fixture
def terminal(monkeypatch):
    """A display on a terminal, and what it writes."""
    text = io.StringIO()
    monkeypatch.setattr("lussac.console.make_console", lambda **_: Console(file=text, force_terminal=True, width=100))
    with Display() as display:
        yield display, text


def test_lines_in_a_terminal(terminal):
    display, text = terminal
    display.watch(Progress("one", "waiting"))
    display.watch(Progress("one", "running", "detecting [peaks]\nmore"))
    display.watch(Progress("one", "done", "12 units"))
    display.watch(Progress("two", "failed", "no memory"))
    display._live.refresh()
    for part in ("one", "12 units", "two", "no memory"):
        assert part in text.getvalue()


def test_one_line_per_change_elsewhere(capsys):
    with Display() as display:
        for news in (
            Progress("one", "waiting"),
            Progress("one", "running", "first"),
            Progress("one", "running", "second"),
            Progress("one", "done", "12 units"),
            Progress("two", "reused"),
        ):
            display.watch(news)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" after ")[0] for line in lines] == ["one: running", "one: done", "two: reused"]


def test_quiet(capsys):
    with Display(quiet=True) as display:
        display.watch(Progress("one", "done"))
    assert capsys.readouterr().out == ""


def test_summary(capsys):
    steps = (
        Step("01-align_units.all", {"a": 2}, {"a": 2}, reused=True, seconds=0.0),
        Step("02-export_to_phy.all", {"a": 2}, {"a": 1}, reused=False, seconds=1.26, exports=(Path("/out/phy"),)),
    )
    result = Result(
        sortings={"a": sorting(1)},
        analyses={"a": sorting(2)},
        steps=steps,
        logs_folder=Path("/logs"),
        failed_sorters={"b": "no memory"},
    )
    show_summary(result, make_console())
    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert rows == [
        "step units in units out time",
        "analyses a 2",
        "01-align_units.all a 2 a 2 stored",
        "02-export_to_phy.all a 2 a 1 1.3 s",
        "b failed: no memory",
        "result a 1",
        "export /out/phy",
        "logs /logs",
    ]


def test_scores(capsys):
    show_scores({"a": Score(12, 9, 1)}, 20, make_console())
    assert capsys.readouterr().out.split() == [
        "sorting",
        "units",
        "found",
        "of",
        "20",
        "neurons",
        "bad",
        "units",
        "a",
        "12",
        "9",
        "1",
    ]


def test_counts():
    assert counts({"a": 2, "b": 0}) == "a 2, b 0"
    assert counts({}) == "none"


def test_an_error_is_one_block_on_the_error_stream(capsys):
    show_error("params.json:3:4: [bold] is wrong\nwrite something else", 2)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "lussac: error\n  params.json:3:4: [bold] is wrong\n  write something else\n  (exit code 2)\n"


def test_warnings_are_shown_and_other_news_stay_in_the_log(capsys):
    logger = logging.getLogger("lussac")
    with shown_warnings(make_console()):
        logger.warning("3 spikes dropped")
        logger.error("told at the end")
    assert capsys.readouterr().out.split() == ["WARNING", "3", "spikes", "dropped"]


class TestCommandLine:
    def test_no_command_prints_help(self, capsys):
        assert cli.main([]) == 2
        assert "usage: lussac" in capsys.readouterr().out

    def test_version(self, capsys):
        with pytest.raises(SystemExit):
            cli.main(["--version"])
        assert capsys.readouterr().out.startswith("lussac 3.")

    def test_a_file_alone_is_run(self, capsys):
        assert cli.main(["gone.json"]) == 2
        assert "gone.json" in capsys.readouterr().err

    def test_init_lists_the_examples(self, capsys):
        assert cli.main(["init"]) == 0
        assert "synthetic" in capsys.readouterr().out.split()

    def test_init_copies_an_example_and_never_overwrites(self, tmp_path, capsys):
        file = tmp_path / "params.json"
        assert cli.main(["init", "synthetic", str(file)]) == 0
        assert file.read_text() == (EXAMPLES / "params_synthetic.json").read_text()
        file.write_text("precious")
        assert cli.main(["init", "synthetic", str(file)]) == 2
        assert file.read_text() == "precious"
        assert cli.main(["init", "synthetic", str(tmp_path / "gone" / "params.json")]) == 2
        assert cli.main(["init", "nothing", str(tmp_path / "other.json")]) == 2
        assert "Choose one of" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("error", "code", "text"), [(KeyboardInterrupt, 130, "goes on from there"), (ZeroDivisionError, 1, "Traceback")]
    )
    def test_what_is_not_the_users_fault(self, monkeypatch, capsys, error, code, text):
        def fail(chosen):
            raise error

        monkeypatch.setattr(check, "main", fail)
        assert cli.main(["check", "params.json"]) == code
        err = capsys.readouterr().err
        assert text in err
        assert f"exit code {code}" in err


ARENAS = """
import ctypes, sys, threading
from lussac import cli
if sys.argv[1] == "one":
    cli.use_memory_again()
held = []
threads = [threading.Thread(target=lambda: held.append([bytes(5000) for _ in range(100)])) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
sys.exit(libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout")))
"""
PAGES = """
import resource
from lussac import cli
cli.use_memory_again()
size = 1 << 24
bytearray(size)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    bytearray(size)
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize() / size)
"""
glibc = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="glibc alone has arenas and thresholds")


def printed(program, *words, **more):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")} | more
    told = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True, env=environment)
    return told.stdout


@glibc
@pytest.mark.parametrize("wanted", ["one", "many"])
def test_threads_take_memory_from_one_place(wanted):
    assert (printed(ARENAS, wanted).count("<heap nr=") == 1) == (wanted == "one")


@glibc
def test_memory_that_was_given_back_is_used_again():
    assert float(printed(PAGES)) < 1
    assert float(printed(PAGES, MALLOC_MMAP_THRESHOLD_="1000000")) > 9
