"""A file of the package imports only from the layers above it (docs/architecture.md)."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lussac"
LAYERS = (
    ("errors", "inside", "units", "__version__"),
    ("algorithms",),
    ("jsonc", "validation", "params"),
    ("engines", "store", "provenance", "interrupt", "plainpickle"),
    (
        "recording",
        "preprocessing",
        "loading",
        "columns",
        "sortings",
        "analyses",
        "bandpass",
        "spikes",
        "traces",
        "waveforms",
        "quality",
    ),
    ("fusing", "sorters", "modules", "params_examples"),
    ("plan", "places", "schema"),
    ("pipeline", "report"),
    ("api", "console", "commands", "demo", "cli", "__init__", "__main__"),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
NUMBERS_ONLY = {"numpy", "numba", "scipy"}
STANDARD_LIBRARY = sys.stdlib_module_names
FILES = sorted(PACKAGE.rglob("*.py"))


def part(file: Path) -> str:
    """Return the file's or package's name directly under lussac/."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield from (f"{node.module}.{alias.name}" if node.module == "lussac" else str(node.module) for alias in node.names)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_only_from_layers_above(file: Path) -> None:
    own = part(file)
    for name in imports(file):
        root, _, rest = name.partition(".")
        other = rest.split(".")[0]
        if file.name == "runner.py":
            assert root in STANDARD_LIBRARY | {"spikeinterface", "probeinterface", "numpy"}, (
                f"a sorter's image may not have {name}"
            )
        elif root == "lussac":
            assert rest != "sorters.runner", "the runner is started, never imported"
            assert LEVEL[other] <= LEVEL[own], f"{own} (layer {LEVEL[own]}) imports {name} (layer {LEVEL[other]})"
        elif root in {"spikeinterface", "probeinterface"}:
            assert LEVEL[own] >= LEVEL["recording"], f"{own} imports {name}: SpikeInterface starts at the layer of recording.py"
        elif own == "algorithms":
            assert root in NUMBERS_ONLY | STANDARD_LIBRARY, f"algorithms are numbers in, numbers out: {name}"


@pytest.mark.parametrize(("library", "owner"), [("commentjson", "jsonc"), ("spython", "engines"), ("docker", "engines")])
def test_one_place_knows_a_library(library: str, owner: str) -> None:
    users = {part(file) for file in FILES for name in imports(file) if name.partition(".")[0] == library}
    assert users <= {owner}


def test_every_file_has_a_layer() -> None:
    assert {part(file) for file in FILES} <= set(LEVEL)
