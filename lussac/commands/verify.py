"""``lussac verify``."""

import argparse

from lussac.commands.options import options
from lussac.console import verify_and_show
from lussac.errors import ReproducibilityError


def main(chosen: argparse.Namespace) -> int:
    """Compare a logs folder, its inputs and its exports with what its record says."""
    differences = verify_and_show(chosen.logs, options(chosen), again=chosen.rerun, quiet=chosen.quiet)
    if differences:
        raise ReproducibilityError("\n".join([*differences, f"{chosen.logs} is not what its record says."]))
    return 0
