"""``lussac init``."""

import argparse
from pathlib import Path

from lussac import inside, params_examples
from lussac.console import make_console
from lussac.errors import UsageError
from lussac.inside import Kind

EXAMPLES = Path(next(iter(params_examples.__path__)))


def main(chosen: argparse.Namespace) -> int:
    """Write a commented params.json to start from."""
    console = make_console()
    examples = {file.stem.removeprefix("params_"): file for file in sorted(EXAMPLES.glob("*.json"))}
    if chosen.example is None:
        console.print("\n".join(examples))
        return 0
    if chosen.example not in examples:
        raise UsageError(f"There is no example {chosen.example!r}. Choose one of {', '.join(examples)}.")
    try:
        with chosen.params.open("x", encoding="utf-8") as stream:
            stream.write(examples[chosen.example].read_text(encoding="utf-8"))
    except FileExistsError as error:
        raise UsageError(f"{chosen.params} exists already and is left as it is. Give the name of a new file.") from error
    except OSError as error:
        seen = inside.here()
        advice = "give a file in a folder that exists" if seen.kind is Kind.ELSEWHERE else inside.unwritable(chosen.params, seen)
        raise UsageError(f"{chosen.params} can't be written: {error.strerror}; {advice}.") from error
    console.print(f"{chosen.params}: adapt the section 'recording', then run: lussac {chosen.params}", soft_wrap=True)
    return 0
