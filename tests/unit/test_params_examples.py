"""The files that users start from are right."""

from importlib import resources
from pathlib import Path

import pytest

from lussac import params, plan

EXAMPLES = sorted(
    file.name for file in resources.files("lussac").joinpath("params_examples").iterdir() if file.name.endswith(".json")
)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_is_a_plan(name: str, tmp_path: Path) -> None:
    (tmp_path / "recording.dat").write_bytes(bytes(128))
    (tmp_path / "probe.json").write_text("{}")
    (tmp_path / "recording").mkdir()
    text = resources.files("lussac").joinpath("params_examples", name).read_text(encoding="utf-8")
    (tmp_path / name).write_text(text, encoding="utf-8")
    made = plan.compile_plan(params.read(tmp_path / name))
    assert made.analyses
    assert not made.undecided
    assert any(made.modules[order.module].fuses for order in made.passes)
    assert any(made.modules[order.module].exports for order in made.passes)
    assert made.params.lussac.logs_folder.is_relative_to(tmp_path)
