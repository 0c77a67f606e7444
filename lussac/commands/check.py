"""``lussac check``."""

import argparse

from lussac import params
from lussac.console import check_and_show
from lussac.plan import compile_plan


def main(chosen: argparse.Namespace) -> int:
    """Validate a params.json and print the plan."""
    check_and_show(compile_plan(params.read(chosen.params)))
    return 0
