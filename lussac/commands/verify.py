"""``lussac verify``."""

import argparse
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lussac.commands.options import options
from lussac.console import Display, make_console, shown_warnings
from lussac.errors import ReproducibilityError, UsageError
from lussac.interrupt import interruptible
from lussac.pipeline.compare import Comparison, Row, first_difference
from lussac.pipeline.recorded import Recorded
from lussac.pipeline.rerun import rerun, scratch_name, scratch_place
from lussac.pipeline.verify import Finding, verify
from lussac.store import remove_scratch

STYLES = {"as recorded": "green", "identical": "green", "agrees": "yellow", "other": "yellow", "unknown": "yellow"}


def main(chosen: argparse.Namespace) -> int:
    """Compare a logs folder with its record, with a new run, or with another logs folder."""
    if chosen.other is not None:
        if chosen.rerun or chosen.into:
            raise UsageError("--rerun and --into take one logs folder: what is run again is compared with it.")
        return _compare(Comparison(Recorded.read(chosen.logs), Recorded.read(chosen.other)), make_console(quiet=chosen.quiet))
    recorded = Recorded.read(chosen.logs)
    with interruptible(lambda: None), Display(quiet=chosen.quiet) as display:
        findings = verify(recorded, display.watch if display.console.is_terminal else lambda news: None)  # noqa: ARG005
    _show_findings(recorded, findings, display.console)
    return _rerun(recorded, chosen) if chosen.rerun or chosen.into else 0


def _rerun(recorded: Recorded, chosen: argparse.Namespace) -> int:
    """Run again and compare; nothing is left of the new run unless it is to be kept."""
    scratch = scratch_place(recorded), scratch_name(recorded)
    with (
        interruptible(lambda: remove_scratch(*scratch)),
        Display(quiet=chosen.quiet) as display,
        shown_warnings(display.console),
        rerun(recorded, options(chosen), display.watch, chosen.into) as again,
    ):
        return _compare(Comparison(recorded, again, ("the record", "the new run")), display.console)


def _show_findings(recorded: Recorded, findings: Sequence[Finding], console: Console) -> None:
    """Show what was looked at, part by part; raise ReproducibilityError where something is not as recorded."""
    table = _table("part", "looked at", "as recorded")
    for part, own in groupby(findings, key=attrgetter("part")):
        seen = list(own)
        good = sum(one.state == "as recorded" for one in seen)
        table.add_row(part, str(len(seen)), Text("all" if good == len(seen) else str(good), _style(seen)))
    console.print(table)
    for one in findings:
        if not one.broken and one.state != "as recorded":
            console.print(Text.assemble((f"{one.thing}: ", "yellow"), one.note), soft_wrap=True)
    if broken := [one for one in findings if one.broken]:
        lines = (f"{one.thing}: {one.state}" + (f" ({one.note})" if one.note else "") for one in broken)
        raise ReproducibilityError("\n".join([*lines, f"{recorded.folder} is not what its record says."]))
    console.print(f"{recorded.folder}: all is as recorded", soft_wrap=True)


def _style(findings: Sequence[Finding]) -> str:
    if any(one.broken for one in findings):
        return "red"
    return "green" if all(one.state == "as recorded" for one in findings) else "yellow"


def _compare(comparison: Comparison, console: Console) -> int:
    """Show two runs side by side; raise ReproducibilityError where a stage differs."""
    rows = comparison.rows()
    table = _table("stage", "result", "agreement", "what may be the reason")
    for row in rows:
        reasons = "\n".join(f"{reason.kind}: {reason.text}" for reason in row.reasons)
        table.add_row(row.stage, Text(row.state, STYLES.get(row.state, "red")), _agreement(row), Text(reasons))
    console.print(table)
    for reason in comparison.orchestrators():
        console.print(f"{reason.text}.", style="yellow", soft_wrap=True)
    first = first_difference(rows)
    if first is None:
        near = ", ".join(row.stage for row in rows if row.state == "agrees")
        console.print(
            f"Not identical, but within the tolerance: {near}." if near else "All stages are identical.", soft_wrap=True
        )
        return 0
    why = "; ".join(f"{reason.kind} ({reason.text})" for reason in first.reasons)
    raise ReproducibilityError(f"The first stage that differs is {first.stage}. Why: {why}.")


def _agreement(row: Row) -> str:
    if row.agreement is None:
        return ""
    return f"{row.agreement:.4f}" + (f" (at least {row.tolerance:g})" if row.tolerance is not None else "")


def _table(*headings: str) -> Table:
    return Table(*headings, box=None, padding=(0, 2, 0, 0), header_style="bold")
