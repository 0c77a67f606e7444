"""``lussac report``."""

import argparse

from lussac.console import make_console
from lussac.pipeline.run import REPORT_FILE
from lussac.pipeline.verify import finished_record
from lussac.report import write_report


def main(chosen: argparse.Namespace) -> int:
    """Write what a run did as one HTML page."""
    file = chosen.output or chosen.logs / REPORT_FILE
    write_report(finished_record(chosen.logs), file)
    make_console().print(str(file), soft_wrap=True)
    return 0
