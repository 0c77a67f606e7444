"""Every JSON block of the documentation is a part of a params.json that is accepted."""

from pathlib import Path

import pytest

from lussac import jsonc, params, plan
from tests.pages import PAGES, fenced

SECTIONS = ("recording", "spike_sorting", "analyses", "lussac")
RECORDING = '"recording": {"recording_extractor": "binary", "extractor_params": {"file_paths": "recording.dat", %s}}'
BINARY = RECORDING % '"sampling_frequency": 30000, "num_channels": 64, "dtype": "int16"'
ANALYSES = '"analyses": {"ks2": "path/to/ks2_analysis", "tdc": "path/to/tridesclous_analysis.json"}'
CATEGORIES = '"units_categorization_9": {"all": {"CS": {}, "SS": {}, "spikes": {}}}'


def blocks() -> list:
    return [
        pytest.param(text, id=f"{page.name}-{number}")
        for page in PAGES
        for number, text in enumerate(fenced(page, "json"), start=1)
    ]


def whole(text: str) -> str:
    """Return a params.json around sections, around parameters of a sorter, or around modules, with or without their braces."""
    text = text.strip()
    if not text.startswith("{"):
        text = "{" + text + "}"
    given = jsonc.parse(text, "block").data
    if "recording" in given and len(given) > 1:
        return text
    inside = text[1:-1]
    if "sorter_params" in given:
        inside = f'"spike_sorting": {{"ks4": {{"sorter_name": "kilosort4",\n{inside}}}}}'
    elif not set(given) <= set(SECTIONS):
        inside = f'"lussac": {{"pipeline": {{{CATEGORIES},\n{inside}}}}}'
    missing = [section for name, section in (("recording", BINARY), ("analyses", ANALYSES)) if name not in given]
    return "{" + ",\n".join([*missing, inside]) + "}"


@pytest.mark.parametrize("text", blocks())
def test_every_block_is_accepted(text: str, inputs: Path) -> None:
    (inputs / "params.json").write_text(whole(text), encoding="utf-8")
    plan.compile_plan(params.read(inputs / "params.json"))
