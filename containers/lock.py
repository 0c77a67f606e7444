"""Write requirements.txt, with hashes, beside every requirements.in: ``python containers/lock.py [FOLDER...]``.

What stands on containers/base (all but those whose recipe.toml says ``alone``) leaves out what that has. Published images get a
file for each of their Pythons. The CPU build of torch (``+cpu``) is looked for in the folder $WHEELS or in the package index
$TORCH_INDEX.
"""

# ruff: noqa: INP001 - a script, not a package

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
BASE = HERE / "base" / "requirements.txt"
PYTHONS = ("3.8", "3.9")
GLIBC, OLD_GLIBC = "x86_64-manylinux_2_28", "x86_64-manylinux2014"
ONLY_WHEELS = "--only-binary=:all:"
COMMON = [
    "--generate-hashes",
    "--no-header",
    "--no-annotate",
    "--no-emit-index-url",
    "--no-emit-find-links",
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
    recipe = source.with_name("recipe.toml")
    facts = tomllib.loads(recipe.read_text()) if recipe.exists() else {}
    constraint = [] if facts.get("alone") else [f"--constraint={BASE}", *(f"--no-emit-package={name}" for name in in_base())]
    compiles = "g++" in facts.get("build_packages", ())
    resolve(source, source.with_suffix(".txt"), "3.11", GLIBC, *constraint, *([] if compiles else [ONLY_WHEELS]))


def lock_published(folder: Path) -> None:
    """Resolve what is laid over published images, for each Python that they have; some are as old as Ubuntu 18.04."""
    for python in PYTHONS:
        resolve(folder / "requirements.in", folder / f"requirements-{python}.txt", python, OLD_GLIBC, ONLY_WHEELS)
    resolve(folder / "pip.in", folder / "pip.txt", PYTHONS[0], OLD_GLIBC, ONLY_WHEELS)


def resolve(source: Path, target: Path, python: str, platform: str, *options: str) -> None:
    """Write one lock file."""
    torch = cpu_torch() if "+cpu" in source.read_text() else []
    command = [sys.executable, "-m", "uv", "pip", "compile", *COMMON, *options, *torch]
    command += [f"--python-version={python}", f"--python-platform={platform}", f"--output-file={target}", str(source)]
    subprocess.run(command, check=True, cwd=HERE)  # noqa: S603 -- our own arguments


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(path.parent.name for path in HERE.glob("*/requirements.in")):
        if name == "published":
            lock_published(HERE / name)
            continue
        for source in sorted((HERE / name).glob("requirements*.in")):
            lock(source)
