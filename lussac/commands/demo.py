"""``lussac demo``."""

import argparse

from lussac import demo, params
from lussac.commands.options import options
from lussac.console import make_console, run_and_show, show_scores
from lussac.plan import compile_plan


def main(chosen: argparse.Namespace) -> int:
    """Make a recording whose neurons are known, sort it with several sorters, merge, compare."""
    console = make_console(quiet=chosen.quiet)
    console.print(f"{chosen.folder}: {demo.SECONDS:g} s of {demo.CHANNELS} channels and {demo.NEURONS} neurons", soft_wrap=True)
    file = demo.prepare(chosen.folder)
    result = run_and_show(compile_plan(params.read(file)), options(chosen), quiet=chosen.quiet)
    show_scores(demo.scores(chosen.folder, {**result.analyses, **result.sortings}), demo.NEURONS, console)
    console.print(f"Run it again, or change {file} and run: lussac {file}", soft_wrap=True)
    return 0
