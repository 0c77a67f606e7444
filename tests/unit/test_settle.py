"""Kernels that two processes compile are the same bytes once they are settled, and run."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "containers" / "service" / "settle.py"
KERNEL = """
import numba, numpy

@numba.njit(cache=True)
def inner(a):
    return a * 2.0

@numba.njit(cache=True)
def outer(a, b):
    return inner((a - b) ** 2 / (a + 1.0)).sum()

print(outer(numpy.arange(4.0), numpy.ones(4)))
"""


def settle():
    spec = importlib.util.spec_from_file_location("settle", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compiled(folder, cache, **variables):
    """Run the kernel; return what it prints."""
    (folder / "kernel.py").write_text(KERNEL)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONHASHSEED": "0", **variables}
    command = [sys.executable, "kernel.py"]
    return subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True, timeout=120).stdout


def files_of(cache):
    return {file.relative_to(cache).as_posix(): file.read_bytes() for file in cache.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernels")
    made = [folder / "one", folder / "other"]
    for cache in made:
        compiled(folder, cache)
    return folder, made


def test_equal_bytes_that_still_run(caches):
    folder, made = caches
    assert files_of(made[0]) != files_of(made[1]), "numba names no addresses any more: settle.py can go"
    for cache in made:
        settle().main(cache)
    assert files_of(made[0]) == files_of(made[1])
    said = compiled(folder, made[0], NUMBA_DEBUG_CACHE="1")
    assert "data loaded" in said
    assert "data saved" not in said
    assert said.splitlines()[-1] == compiled(folder, folder / "new").splitlines()[-1]


def test_addresses_stay_apart():
    one, other = b"__numba_array_expr_0x7ffaebd39b10", b"__numba_array_expr_0x7ffaebd39c20"
    settled = settle().settled(b" ".join((one, other, one, b"<function f at 0x7ffaf1e67560>", b"0x7ffaebd39b10")), "a")
    first, second, third, *rest, untouched = settled.split()
    assert first == third != second
    assert len(first) == len(one)
    assert b"7ffaf1e67560" not in b" ".join(rest)
    assert untouched == b"0x7ffaebd39b10"
