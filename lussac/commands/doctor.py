"""``lussac doctor``."""

import argparse

from rich.text import Text

from lussac.console import make_console
from lussac.engines.doctor import Verdict, examine
from lussac.sorters.catalogue import catalogue

STYLES = {Verdict.GOOD: "green", Verdict.NOTE: "yellow", Verdict.BAD: "red"}


def main(chosen: argparse.Namespace) -> int:
    """Say what of this machine sorters can run on, with the fix for what is missing."""
    console = make_console()
    is_well = True
    images = {name: row.reference for name, row in catalogue().items()}
    packages = {name: row.needs({}) for name, row in catalogue().items() if row.packages}
    for finding in examine(chosen.folder, images, packages):
        is_well = is_well and finding.verdict is not Verdict.BAD
        line = Text.assemble((f"{finding.verdict:4} ", STYLES[finding.verdict]), (f"{finding.about}: ", "bold"), finding.found)
        console.print(line, soft_wrap=True)
        if finding.fix:
            console.print(Text(f"     {finding.fix}", style="dim"), soft_wrap=True)
    return 0 if is_well else 1
