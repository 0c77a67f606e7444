"""Take out of a folder of packages what no sorter runs, and compile the rest: ``python slim.py [FOLDER]``.

The root of a running image is read-only, so what isn't compiled now is compiled again at every start. Unchecked hashes instead
of times give the same bytes in every build.
"""

# ruff: noqa: INP001 - a script, not a package

import compileall
import py_compile
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

FOLDERS = {"tests", "test", "include"}
SUFFIXES = {".pyx", ".pxd", ".a", ".pyi"}


def main(library: Path) -> None:
    """Slim and compile."""
    for path in sorted(library.rglob("*"), reverse=True):
        if path.name in FOLDERS and path.is_dir():
            shutil.rmtree(path)
        elif path.suffix in SUFFIXES and path.is_file():
            path.unlink()
    if strip := shutil.which("strip"):
        # libraries that a wheel brought along (numpy.libs and so on) are laid out so that strip breaks them
        bare = [path for path in library.rglob("*.so*") if path.is_file() and not path.parent.name.endswith(".libs")]
        subprocess.run([strip, "--strip-unneeded", *map(str, bare)], check=False)  # noqa: S603 - what it can't strip stays
    for source in sorted(library.rglob("*.py")):
        compileall.compile_file(source, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else sysconfig.get_path("purelib")))
