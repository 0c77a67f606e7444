"""``lussac run``."""

import argparse
from dataclasses import replace

from lussac import params
from lussac.commands.options import options
from lussac.console import run_and_show
from lussac.plan import compile_plan


def main(chosen: argparse.Namespace) -> int:
    """Run the pipeline of a params.json, or go on where it stopped."""
    wanted = replace(options(chosen), hold_spikes=False)  # what is shown are numbers of units
    run_and_show(compile_plan(params.read(chosen.params)), wanted, quiet=chosen.quiet)
    return 0
