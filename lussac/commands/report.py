"""``lussac report``."""

import argparse

from lussac.console import make_console
from lussac.report import write_report


def main(chosen: argparse.Namespace) -> int:
    """Write what a run did as one HTML page, with its tables beside the logs."""
    make_console().print(str(write_report(chosen.logs, chosen.output)), soft_wrap=True)
    return 0
