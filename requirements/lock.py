"""Write the lock files: hashed requirements without addresses, the same versions on every Python and platform we support."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
COMMON = [
    "--universal",
    "--python-version=3.11",
    "--fork-strategy=fewest",
    "--generate-hashes",
    "--no-header",
    "--no-annotate",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--quiet",
]


def compile_lock(name: str, *arguments: str) -> None:
    """Resolve the requirements that the arguments name into requirements/<name>.txt."""
    command = [sys.executable, "-m", "uv", "pip", "compile", *COMMON, *arguments, "--output-file", str(HERE / f"{name}.txt")]
    subprocess.run(command, check=True, cwd=HERE.parent)  # noqa: S603 -- our own arguments


if __name__ == "__main__":
    compile_lock("lussac", "pyproject.toml")
    compile_lock("image", "pyproject.toml", "--extra=mountainsort5", "--constraint=requirements/lussac.txt")
    compile_lock("dev", "pyproject.toml", "--group=dev", "--constraint=requirements/lussac.txt")
    compile_lock("actionlint", "requirements/actionlint.in")
    compile_lock("build", "requirements/build.in", "--constraint=requirements/dev.txt")
    compile_lock("validator", "requirements/validator.in")
