"""What the user sees in the terminal; with cli.py the only place that prints."""

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

import rich.progress
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table
from rich.text import Text

from lussac.interrupt import interruptible
from lussac.pipeline import Options, Result, Step, run
from lussac.pipeline.inputs import check_inputs
from lussac.pipeline.log import LOGGER
from lussac.pipeline.progress import Progress
from lussac.plan import Plan
from lussac.store import remove_scratch

if TYPE_CHECKING:
    from lussac.demo import Score

MARKS = {
    "waiting": ("…", "dim"),
    "running": ("▸", "cyan"),
    "done": ("✓", "green"),
    "reused": ("✓", "dim"),
    "failed": ("✗", "red"),
}
PLAIN_WIDTH = 120
"""Columns where the output goes to a file or a pipe."""


class Display:
    """Shows how sorters and passes get on: live lines in a terminal, otherwise one line per change.

    Parameters
    ----------
    quiet
        Show nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = make_console(quiet=quiet)
        self._lines: dict[str, rich.progress.TaskID] = {}
        self._started: dict[str, float] = {}
        self._lock = threading.Lock()
        self._live = rich.progress.Progress(
            rich.progress.TextColumn("{task.fields[mark]}"),
            rich.progress.TextColumn("{task.description}"),
            rich.progress.TimeElapsedColumn(),
            rich.progress.TextColumn("{task.fields[text]}", style="dim", markup=False),
            console=self.console,
        )

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.console.is_terminal:
            self._live.stop()

    def watch(self, news: Progress) -> None:
        """Show news; may be called from any thread."""
        with self._lock:
            if self.console.is_terminal:
                self._update(news)
            else:
                self._say(news)

    def _update(self, news: Progress) -> None:
        mark, style = MARKS[news.state]
        if news.name not in self._lines:
            self._lines[news.name] = self._live.add_task(news.name, start=False, mark="", text="", total=None)
        line = self._lines[news.name]
        if news.state != "waiting":
            self._live.start_task(line)
        text = news.text.splitlines()[0] if news.text else ""
        self._live.update(line, mark=f"[{style}]{mark}[/{style}]", text=text[: max(20, self.console.width - 50)])
        if news.state in ("done", "reused", "failed"):
            self._live.stop_task(line)

    def _say(self, news: Progress) -> None:
        """Print a line when something starts or ends; what a sorter says in between is in the log."""
        is_new = news.name not in self._started
        if news.state == "waiting" or (news.state == "running" and not is_new):
            return
        self._started.setdefault(news.name, time.monotonic())
        is_start = news.state == "running"
        seconds = "" if is_start else f" after {time.monotonic() - self._started[news.name]:.1f} s"
        text = f": {news.text}" if news.text and not is_start else ""
        self.console.print(f"{news.name}: {news.state}{seconds}{text}", markup=False, highlight=False, soft_wrap=True)


def run_and_show(plan: Plan, options: Options, *, quiet: bool = False) -> Result:
    """Run a plan, show how it gets on, and sum up what it did.

    Raises
    ------
    LussacError
        See `lussac.pipeline.run`.
    KeyboardInterrupt
        On Ctrl-C and SIGTERM, after all processes have ended and the scratch folder is gone.
    """
    folders = plan.params.lussac
    with interruptible(lambda: remove_scratch(folders.tmp_folder, folders.logs_folder)):
        with Display(quiet=quiet) as display, shown_warnings(display.console):
            result = run(plan, options, watch=display.watch)
        show_summary(result, display.console)
    return result


@contextlib.contextmanager
def shown_warnings(console: Console) -> Iterator[None]:
    """Print the warnings that go into the log; errors are told when they end the command."""
    handler = RichHandler(logging.WARNING, console, show_time=False, show_path=False, markup=False)
    handler.addFilter(lambda record: record.levelno == logging.WARNING)
    logger = logging.getLogger(LOGGER)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def check_and_show(plan: Plan) -> None:
    """Check what a plan reads, and print what a run would do."""
    console = make_console()
    with shown_warnings(console):
        check_inputs(plan, logging.getLogger(LOGGER))
    for heading, rows in plan.describe().items():
        console.print(Text(heading, style="bold"))
        for row in rows:
            console.print(Text("  " + "  ".join(filter(None, row))), soft_wrap=True)


def make_console(*, quiet: bool = False, stderr: bool = False) -> Console:
    """Return a console that is wide enough for tables where it is no terminal."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, quiet=quiet, highlight=False, width=None if stream.isatty() else PLAIN_WIDTH)


def show_summary(result: Result, console: Console) -> None:
    """Print what a run did and where its results are."""
    table = _table("step", "units in", "units out", "time")
    table.add_row("analyses", "", counts({name: sorting.get_num_units() for name, sorting in result.analyses.items()}), "")
    for step in result.steps:
        table.add_row(step.label, counts(step.units_in), counts(step.units_out), _time(step))
    console.print(table)
    for name, message in result.failed_sorters.items():
        console.print(Text.assemble((f"{name} failed: ", "red"), message))
    ends = counts({name: sorting.get_num_units() for name, sorting in result.sortings.items()})
    console.print(Text.assemble(("result   ", "bold"), ends))
    for path in result.exports:
        console.print(Text.assemble(("export   ", "bold"), str(path)), soft_wrap=True)
    console.print(Text.assemble(("logs     ", "bold"), str(result.logs_folder)), soft_wrap=True)


def show_scores(scores: "Mapping[str, Score]", neurons: int, console: Console) -> None:
    """Print how sortings compare with the truth."""
    table = Table(
        "sorting", "units", f"found of {neurons} neurons", "bad units", box=None, padding=(0, 2, 0, 0), header_style="bold"
    )
    for name, score in scores.items():
        table.add_row(name, str(score.units), str(score.found), str(score.bad))
    console.print(table)


def _table(*headings: str) -> Table:
    return Table(*headings, box=None, padding=(0, 2, 0, 0), header_style="bold")


def counts(units: Mapping[str, int]) -> str:
    """Return counts of units by analysis as one text."""
    return ", ".join(f"{name} {count}" for name, count in units.items()) or "none"


def _time(step: Step) -> str:
    return "stored" if step.reused else f"{step.seconds:.1f} s"


def show_error(message: str, exit_code: int) -> None:
    """Print an error as one block to the error stream."""
    console = make_console(stderr=True)
    console.print(Text("lussac: error", style="bold red"))
    console.print(Text("\n".join(f"  {line}" for line in message.splitlines())), soft_wrap=True)
    console.print(Text(f"  (exit code {exit_code})", style="dim"))
