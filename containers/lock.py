"""Write requirements.txt, with hashes, for every image that has a requirements.in: ``python containers/lock.py [SORTER...]``.

A line ``# python 3.9`` in requirements.in names another Python than 3.11; ``# alone`` an image that isn't built on containers/base.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
BASE = HERE / "base" / "requirements.txt"
COMMON = [
    "--generate-hashes",
    "--no-header",
    "--no-annotate",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--python-platform=x86_64-manylinux_2_28",
    "--quiet",
]


def lock(source: Path) -> None:
    """Resolve one requirements.in into the requirements.txt beside it."""
    lines = source.read_text().splitlines()
    python = next((line.removeprefix("# python ") for line in lines if line.startswith("# python ")), "3.11")
    on_base = source.parent.name != "base" and "# alone" not in lines
    constraint = [f"--constraint={BASE}"] if on_base else []
    sources = [] if "# sources" in lines else ["--only-binary=:all:"]
    target = source.with_suffix(".txt")
    command = [sys.executable, "-m", "uv", "pip", "compile", *COMMON, *constraint, *sources, f"--python-version={python}"]
    subprocess.run([*command, f"--output-file={target}", str(source)], check=True, cwd=HERE)  # noqa: S603 -- our own arguments


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(path.parent.name for path in HERE.glob("*/requirements.in")):
        lock(HERE / name / "requirements.in")
