"""``lussac report``."""

import argparse

from lussac.console import make_console
from lussac.errors import UsageError


def main(chosen: argparse.Namespace) -> int:
    """Write what a run did as one HTML page, with its tables beside the logs, or as an RO-Crate."""
    if chosen.ro_crate and chosen.output:
        raise UsageError("An RO-Crate is the logs folder itself, so that --ro-crate takes no --output.")
    if chosen.ro_crate:
        from lussac.report.crate import write_crate  # noqa: PLC0415 - one or the other is imported

        written = write_crate(chosen.logs)
    else:
        from lussac.report import write_report  # noqa: PLC0415

        written = write_report(chosen.logs, chosen.output)
    make_console().print(str(written), soft_wrap=True)
    return 0
