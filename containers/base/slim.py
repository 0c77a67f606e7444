"""Take out of an environment what no sorter runs, and compile what was added: ``python slim.py``.

The root of a running image is read-only, so what isn't compiled now is compiled again at every start. Unchecked hashes instead
of times give the same bytes in every build.
"""

import compileall
import importlib.util
import py_compile
import shutil
import sysconfig
from pathlib import Path

LIBRARY = Path(sysconfig.get_path("purelib"))
FOLDERS = {"tests", "test", "include"}
SUFFIXES = {".pyx", ".pxd", ".a", ".pyi"}


def main() -> None:
    """Slim and compile."""
    for path in sorted(LIBRARY.rglob("*"), reverse=True):
        if path.name in FOLDERS and path.is_dir():
            shutil.rmtree(path)
        elif path.suffix in SUFFIXES and path.is_file():
            path.unlink()
    for source in sorted(LIBRARY.rglob("*.py")):
        if not Path(importlib.util.cache_from_source(str(source))).exists():
            compileall.compile_file(source, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


if __name__ == "__main__":
    main()
