"""``lussac compare``."""

import argparse

from lussac.console import make_console
from lussac.report import write_comparison


def main(chosen: argparse.Namespace) -> int:
    """Write runs or sortings side by side as one HTML page, and its table as CSV."""
    page = write_comparison(chosen.runs, chosen.output, chosen.window, chosen.min_agreement)
    make_console().print(str(page), soft_wrap=True)
    return 0
