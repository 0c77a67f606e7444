"""Write requirements.txt, with hashes, beside every requirements.in: ``python containers/lock.py [SORTER...]``.

Lines in requirements.in: ``# python 3.9`` names another Python than 3.11; ``# alone`` says that the image isn't built on
containers/base; ``# sources`` that some packages come without wheels. The CPU build of torch (``+cpu``) is looked for in the
folder $WHEELS or in the package index $TORCH_INDEX.
"""

# ruff: noqa: INP001 - scripts, not a package

import os
import re
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


def in_base() -> list[str]:
    """Return the packages of the base, which images on it don't install again."""
    return re.findall(r"^([\w.-]+)==", BASE.read_text(), re.MULTILINE)


def cpu_torch() -> list[str]:
    """Return where builds of torch for the CPU are: a folder (WHEELS) or a package index (TORCH_INDEX)."""
    if wheels := os.environ.get("WHEELS"):
        return [f"--find-links={wheels}"]
    if index := os.environ.get("TORCH_INDEX"):
        return [f"--extra-index-url={index}"]
    sys.exit("Say where builds of torch for the CPU are: WHEELS=folder or TORCH_INDEX=address.")


def lock(source: Path) -> None:
    """Resolve one requirements.in into the requirements.txt beside it."""
    lines = source.read_text().splitlines()
    python = next((line.removeprefix("# python ") for line in lines if line.startswith("# python ")), "3.11")
    on_base = source.parent.name != "base" and "# alone" not in lines
    constraint = [f"--constraint={BASE}", *(f"--no-emit-package={name}" for name in in_base())] if on_base else []
    sources = [] if "# sources" in lines else ["--only-binary=:all:"]
    torch = cpu_torch() if any("+cpu" in line for line in lines) else []
    target = source.with_suffix(".txt")
    command = [sys.executable, "-m", "uv", "pip", "compile", *COMMON, *constraint, *sources, *torch, f"--python-version={python}"]
    subprocess.run([*command, f"--output-file={target}", str(source)], check=True, cwd=HERE)  # noqa: S603 -- our own arguments


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(path.parent.name for path in HERE.glob("*/requirements.in")):
        for source in sorted((HERE / name).glob("requirements*.in")):
            lock(source)
