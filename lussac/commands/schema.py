"""``lussac schema``."""

import argparse
import json

from lussac.console import make_console
from lussac.schema import schema


def main(chosen: argparse.Namespace) -> int:  # noqa: ARG001
    """Print the JSON schema of params.json, for editors."""
    make_console().print(json.dumps(schema(), indent=1), markup=False, soft_wrap=True)
    return 0
