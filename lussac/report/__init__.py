"""What runs found and decided, for people to look at: a page, and tables to go on with in pandas or MATLAB."""

from collections.abc import Sequence
from pathlib import Path

from lussac.errors import FolderError
from lussac.report.comparison import MIN_AGREEMENT, of_sides, table_of
from lussac.report.content import of_run
from lussac.report.page import render
from lussac.report.stored import read
from lussac.report.tables import MATCH, to_csv, units
from lussac.report.templates import read_templates
from lussac.report.verdicts import decisions
from lussac.store import explained, write_atomically

REPORT_FILE, UNITS_FILE, DECISIONS_FILE = "report.html", "units.csv", "decisions.csv"


def write_report(logs: Path, page: Path | None = None) -> Path:
    """Write the page and its tables from what a run has stored so far, whether or not it came to its end.

    Parameters
    ----------
    logs
        The logs folder of a run; the tables are written into it.
    page
        The HTML file; ``report.html`` in the logs folder by default.

    Returns
    -------
    The HTML file.

    Raises
    ------
    InputError
        The folder has no record of a run.
    FolderError
        The disk is full or can't be written.
    """
    page = _writable(page or logs / REPORT_FILE)
    stored = read(logs)
    pictures = read_templates(logs, stored)
    unit_rows, decision_rows = units(stored, pictures), decisions(stored)
    with explained(page.parent):
        write_atomically(logs / UNITS_FILE, to_csv(unit_rows, first=("sorting", "unit")))
        write_atomically(logs / DECISIONS_FILE, to_csv(decision_rows, first=("step", "sorting", "unit", "action", "reason")))
        write_atomically(page, render(of_run(stored, pictures, unit_rows, decision_rows)))
    return page


def write_comparison(paths: Sequence[Path], page: Path, window: float = MATCH, least: float = MIN_AGREEMENT) -> Path:
    """Write a page that shows runs or sortings side by side, and its table of neurons beside it, as CSV.

    Parameters
    ----------
    paths
        Logs folders of runs, or sortings as `analyses` takes them, two or more, of one recording.
    page
        The HTML file; the table has the same name with the ending csv.
    window
        Largest distance of two spikes that are one, in ms.
    least
        Agreement from which on two units are one neuron, 0 .. 1.

    Returns
    -------
    The HTML file.

    Raises
    ------
    UsageError
        There is only one sorting.
    InputError
        Something can't be read, or they are not of one recording.
    FolderError
        The disk is full or can't be written.
    """
    content, page = of_sides(paths, window, least), _writable(page)
    with explained(page.parent):
        write_atomically(page.with_suffix(".csv"), to_csv(table_of(content), first=("neuron", "found_in", "mean_agreement")))
        write_atomically(page, render(content))
    return page


def _writable(page: Path) -> Path:
    if not page.parent.is_dir():
        raise FolderError(f"{page} can't be written: there is no folder {page.parent}. Make it, or name another file.")
    return page
