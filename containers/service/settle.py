"""Take the addresses of the process that compiled them out of numba's cached kernels: ``python settle.py FOLDER``.

Numba names an array expression, and comments on functions, by where in memory they lay, which is another place in each build.
Another text of the same length does as well: it is only a name. It follows from the name of the file, so that no two kernels
get the same one.
"""

# ruff: noqa: INP001 - a script, not a package

import hashlib
import re
import sys
from pathlib import Path

ADDRESS = re.compile(rb"(?<=__numba_array_expr_0x)[0-9a-f]{9,16}|(?<= at 0x)[0-9a-f]{9,16}(?=>)")


def settled(content: bytes, name: str) -> bytes:
    """Return a cached kernel in which each address is replaced, by its place in the order of those in this file."""
    known: dict[bytes, bytes] = {}

    def replaced(found: re.Match[bytes]) -> bytes:
        address = found[0]
        if address not in known:
            known[address] = hashlib.sha256(f"{name} {len(known)}".encode()).hexdigest()[: len(address)].encode()
        return known[address]

    return ADDRESS.sub(replaced, content)


def main(folder: Path) -> None:
    """Rewrite the files of compiled code."""
    for file in sorted(folder.rglob("*.nbc")):
        file.write_bytes(settled(file.read_bytes(), file.relative_to(folder).as_posix()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
