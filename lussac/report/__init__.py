"""What a run found and decided, for people to look at: a page, and two tables to go on with in pandas or MATLAB."""

from pathlib import Path

from lussac.report.content import of_run
from lussac.report.page import render
from lussac.report.stored import read
from lussac.report.tables import to_csv, units
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
    stored = read(logs)
    pictures = read_templates(logs, stored)
    unit_rows, decision_rows = units(stored, pictures), decisions(stored)
    page = page or logs / REPORT_FILE
    with explained(page.parent):
        write_atomically(logs / UNITS_FILE, to_csv(unit_rows, first=("sorting", "unit")))
        write_atomically(logs / DECISIONS_FILE, to_csv(decision_rows, first=("step", "sorting", "unit", "action", "reason")))
        write_atomically(page, render(of_run(stored, pictures, unit_rows, decision_rows)))
    return page
