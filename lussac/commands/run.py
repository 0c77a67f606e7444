"""``lussac run``."""

import argparse

from lussac import params
from lussac.commands.options import options
from lussac.console import run_and_show
from lussac.plan import compile_plan


def main(chosen: argparse.Namespace) -> int:
    """Run the pipeline of a params.json, or go on where it stopped."""
    run_and_show(compile_plan(params.read(chosen.params)), options(chosen), quiet=chosen.quiet)
    return 0
