"""What the documentation shows is true: its params are accepted, its commands run, its links lead somewhere."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from spikeinterface.core import generate_ground_truth_recording

from tests.pages import PAGES, ROOT, fenced


def blocks(language: str) -> list:
    """Return every fenced block of a language, named by its page and number."""
    return [
        pytest.param(text, id=f"{page.relative_to(ROOT)}-{number}")
        for page in PAGES
        for number, text in enumerate(fenced(page, language), start=1)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("text", blocks("console"))
def test_make_targets_exist(text: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {word for line in text.splitlines() if line.startswith("make ") for word in line.split()[1:] if "=" not in word}
    assert named <= targets


def test_the_tests_that_a_page_names_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs/tested.md").read_text())
    assert len(named) > 20
    defined = {file: re.findall(r"^def (test_\w+)\(", (ROOT / file).read_text(), re.MULTILINE) for file, _ in named}
    assert [(file, name) for file, name in named if name not in defined[file]] == []


def test_the_module_of_the_architecture_page_works() -> None:
    text, *_ = fenced(ROOT / "docs/architecture.md", "python")
    page: dict = {}
    exec(compile(text, "docs/architecture.md", "exec"), page)  # noqa: S102 - our own page
    recording, sorting = generate_ground_truth_recording(durations=[2.0], num_channels=2, num_units=3, seed=0)
    module, context = page["MODULE"], SimpleNamespace(recording=recording)
    rates = {unit: spikes / 2.0 for unit, spikes in sorting.count_num_spikes_per_unit().items()}
    middle = sorted(rates.values())[1]
    kept = module.run({"a": sorting}, module.params(min_rate=middle), context).sortings["a"]
    assert set(kept.unit_ids) == {unit for unit, rate in rates.items() if rate >= middle}
