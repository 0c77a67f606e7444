import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lussac import modules, params, plan, validation
from lussac.errors import ParamsError
from lussac.modules import EXPORT_MARKER
from lussac.plan import Plan
from lussac.units import Selector


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a recording, a probe, and a Phy folder."""
    (tmp_path / "recording.dat").write_bytes(bytes(128))
    (tmp_path / "probe.json").write_text("{}")
    for name in ("phy", "other"):
        (tmp_path / name).mkdir()
        for array in ("spike_times", "spike_clusters"):
            np.save(tmp_path / name / f"{array}.npy", np.zeros(1, dtype=np.int64))
        (tmp_path / name / "params.py").write_text("sample_rate = 30000.\n")
    return tmp_path


RECORDING = {
    "recording_extractor": "binary",
    "extractor_params": {"file_paths": "recording.dat", "sampling_frequency": 30000, "num_channels": 4, "dtype": "int16"},
    "probe_file": "probe.json",
}


def sections(pipeline: Mapping[str, Any] | None = None, **others: object) -> dict[str, Any]:
    return {"recording": RECORDING, "analyses": {"phy": "phy"}, "lussac": {"pipeline": pipeline or {}}, **others}


def compiled(folder: Path, content: Mapping[str, Any], **given: Any) -> Plan:
    return plan.compile_plan(params.from_dict(content, folder), **given)


def problems(folder: Path, content: Mapping[str, Any], **given: Any) -> list[str]:
    with pytest.raises(ParamsError) as caught:
        compiled(folder, content, **given)
    return [f"{problem.path}: {problem.message}" for problem in caught.value.problems]


def one_problem(folder: Path, content: Mapping[str, Any], **given: Any) -> str:
    (problem,) = problems(folder, content, **given)
    return problem


def test_passes_in_the_order_of_the_file(folder: Path) -> None:
    made = compiled(
        folder,
        sections(
            {
                "units_categorization": {"all": {"CS": {"firing_rate": {"max": 5}}, "SS": {"firing_rate": {"min": 20}}}},
                "remove_bad_units": {"rest": {}, "CS;SS": {"firing_rate": {"min": 1}}},
                "align_units_7": {"CS+SS": {"threshold": 0.4}},
            }
        ),
    )
    assert [order.label for order in made.passes] == [
        "01-units_categorization.all",
        "02-remove_bad_units.rest",
        "02-remove_bad_units.CS",
        "02-remove_bad_units.SS",
        "03-align_units_7.CS+SS",
    ]
    assert [order.step for order in made.passes] == [1, 2, 2, 2, 3]
    assert made.passes[4].module == "align_units"
    assert made.passes[4].selector == Selector.parse("CS+SS")
    assert made.passes[4].params.model_dump()["threshold"] == 0.4
    assert set(made.modules) == {"units_categorization", "remove_bad_units", "align_units"}


def test_partial_parameters_keep_the_defaults_of_the_module(folder: Path) -> None:
    made = compiled(folder, sections({"align_units": {"all": {"wvf_extraction": {"ms_before": 3}}}}))
    extraction = made.passes[0].params.model_dump()["wvf_extraction"]
    assert extraction == {"ms_before": 3.0, "ms_after": 2.0, "max_spikes_per_unit": 1000, "filter_band": (200.0, 6000.0)}


def test_an_empty_pipeline_is_a_plan(folder: Path) -> None:
    made = compiled(folder, sections())
    assert made.passes == ()
    assert made.analyses == ("phy",)


def test_every_problem_in_one_report_in_the_order_of_the_file(folder: Path) -> None:
    text = """{
  "recording": {"recording_extractor": "binari"},
  "spike_sorting": {
    "sc2": {"sorter_name": "spykingcircus2", "preprocessing": {"filtr": {}}, "sorter_params": {"matching": {}, "detektion": 1}},
    "x": {"sorter_name": "simpel"}
  },
  "analyses": {"ks": "nowhere", "sc2": "phy"},
  "lussac": {
    "logs_level": 9,
    "pipeline": {
      "units_categorization": {"all": {"CS": {"firing_rat": {"min": 1}}}},
      "remove_bad_units_v2": {"CS": {}},
      "remove_bad_units_2": {"CS": {"firing_rate": {"min": "2"}}, "all": {"sortings": ["kss"]}},
      "align_units": {"CS++SS": {}, "CS": {"treshold": 0.3}},
      "remove_redundant_units": {}
    }
  },
  "analisis": {}
}"""
    (folder / "params.json").write_text(text)
    with pytest.raises(ParamsError) as caught:
        plan.compile_plan(params.read(folder / "params.json"))
    assert [(problem.line, problem.path) for problem in caught.value.problems] == [
        (2, "recording.recording_extractor"),
        (4, "spike_sorting.sc2"),
        (4, "spike_sorting.sc2.preprocessing.filtr"),
        (4, "spike_sorting.sc2.sorter_params.detektion"),
        (5, "spike_sorting.x.sorter_name"),
        (7, "analyses.ks"),
        (9, "lussac.logs_level"),
        (11, "lussac.pipeline.units_categorization.all.CS.firing_rat"),
        (12, "lussac.pipeline.remove_bad_units_v2"),
        (13, "lussac.pipeline.remove_bad_units_2.CS.firing_rate.min"),
        (13, "lussac.pipeline.remove_bad_units_2.all.sortings.0"),
        (14, "lussac.pipeline.align_units.CS++SS"),
        (14, "lussac.pipeline.align_units.CS.treshold"),
        (15, "lussac.pipeline.remove_redundant_units"),
        (18, "analisis"),
    ]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("remove_bad_unit", "there is no module 'remove_bad_unit'; did you mean 'remove_bad_units'?"),
        ("remove_bad_unit_2", "there is no module 'remove_bad_unit_2'; did you mean 'remove_bad_units'?"),
        (
            "remove_bad_units_b",
            "there is no module 'remove_bad_units_b'; to run remove_bad_units once more, write 'remove_bad_units_2'",
        ),
        ("base", "there is no module 'base'; known: "),
    ],
)
def test_unknown_modules(folder: Path, key: str, message: str) -> None:
    assert one_problem(folder, sections({key: {"all": {}}})).startswith(f"lussac.pipeline.{key}: {message}")


def test_a_module_without_a_category_would_do_nothing(folder: Path) -> None:
    assert "names no category" in one_problem(folder, sections({"align_units": {}}))


def test_only_find_purkinje_cells_without_a_category_means_all(folder: Path) -> None:
    (order,) = compiled(folder, sections({"find_purkinje_cells": {}})).passes
    assert order.selector.text == "all"


def test_categories_are_known_after_they_are_made(folder: Path) -> None:
    before = {"align_units": {"CS": {}}, "units_categorization": {"all": {"CS": {}, "clear": {}}}, "align_units_2": {"clear": {}}}
    made = compiled(folder, sections(before))
    assert [category for category, _ in made.undecided] == ["CS", "clear"]
    made.check_categories(["CS", "clear"])
    with pytest.raises(ParamsError, match=r"pipeline.align_units.CS: nothing before makes the category 'CS'"):
        made.check_categories(["SS"])


def test_a_category_made_by_an_earlier_pass_of_the_same_step(folder: Path) -> None:
    pipeline = {"units_categorization": {"all": {"CS": {}}, "CS": {"clear": {}}}}
    assert compiled(folder, sections(pipeline)).undecided == ()


def test_unknown_categories_are_refused_at_once_where_only_sorters_make_analyses(folder: Path) -> None:
    content = sections({"align_units": {"al": {}}}, analyses={}, spike_sorting={"a": {"sorter_name": "simple"}})
    assert one_problem(folder, content) == (
        "lussac.pipeline.align_units.al: nothing before makes the category 'al', and no analysis carries it; did you mean 'all'?"
    )


def test_units_are_fused_once(folder: Path) -> None:
    assert "share units" in one_problem(folder, sections({"merge_sortings": {"all": {}, "rest": {}}}))
    both = {"units_categorization": {"all": {"CS": {}}}, "merge_sortings": {"CS": {}, "rest": {}}}
    assert len(compiled(folder, sections(both)).passes) == 3


def test_the_same_units_of_different_analyses_are_fused_apart(folder: Path) -> None:
    passes = {"all": {"sortings": ["phy"]}, "rest": {"sortings": ["other"]}}
    made = compiled(folder, sections({"merge_sortings": passes}, analyses={"phy": "phy", "other": "other"}))
    assert len(made.passes) == 2
    assert made.base == folder


def test_names_in_sortings(folder: Path) -> None:
    pipeline = {"align_units": {"all": {"sortings": ["phi"]}}}
    assert one_problem(folder, sections(pipeline)) == (
        "lussac.pipeline.align_units.all.sortings.0: there is no analysis 'phi' here; did you mean 'phy'?"
    )


def test_a_module_on_no_analysis_would_do_nothing(folder: Path) -> None:
    assert "names no analysis" in one_problem(folder, sections({"align_units": {"all": {"sortings": []}}}))


def test_the_merged_sorting_has_a_name_after_it_is_made(folder: Path) -> None:
    limited = {"all": {"sortings": ["merged_sorting"]}}
    assert "there is no analysis 'merged_sorting'" in one_problem(folder, sections({"align_units": limited}))
    compiled(folder, sections({"merge_sortings": {"all": {}}, "align_units": limited}))


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "merged_sorting"])
def test_names_of_analyses_become_folders(folder: Path, name: str) -> None:
    assert "can't be the name of an analysis" in one_problem(folder, sections(analyses={name: "phy"}))


def test_one_name_for_two_analyses(folder: Path) -> None:
    content = json.dumps(sections(spike_sorting={"phy": {"sorter_name": "simple"}}), indent=1)
    (folder / "params.json").write_text(content)
    with pytest.raises(ParamsError, match=r"spike_sorting.phy: has the name of analyses.phy on line \d+; rename one of them"):
        plan.compile_plan(params.read(folder / "params.json"))


def test_one_name_for_a_given_sorting_and_an_analysis(folder: Path) -> None:
    found = one_problem(folder, sections(), sortings_given=["phy"])
    assert found == "analyses.phy: has the name of the sorting that is given; rename one of them"


def test_something_must_be_analysed(folder: Path) -> None:
    assert "there is no analysis" in one_problem(folder, sections(analyses={}))
    assert compiled(folder, sections(analyses={}), sortings_given=["a"]).analyses == ("a",)


def test_the_recording_is_needed_unless_it_is_given(folder: Path) -> None:
    content = sections()
    del content["recording"]
    assert one_problem(folder, content).startswith("recording: is missing")
    assert compiled(folder, content, recording_given=True).params.recording is None


@pytest.mark.parametrize(
    ("recording", "path"),
    [
        ({"recording_extractor": "spikeglxx"}, "recording.recording_extractor"),
        ({"extractor_params": {**RECORDING["extractor_params"], "chanels": 3}}, "recording.extractor_params.chanels"),
        (
            {"extractor_params": {**RECORDING["extractor_params"], "file_paths": "none.dat"}},
            "recording.extractor_params.file_paths",
        ),
        ({"probe_file": "none.json"}, "recording.probe_file"),
        ({"preprocessing": {"bandpass_filter": {"freq_mn": 1}}}, "recording.preprocessing.bandpass_filter.freq_mn"),
    ],
)
def test_faults_of_the_recording(folder: Path, recording: Mapping[str, Any], path: str) -> None:
    assert one_problem(folder, sections(recording={**RECORDING, **recording})).startswith(path)


def test_an_analysis_that_is_none(folder: Path) -> None:
    assert "analyses.a: " in one_problem(folder, sections(analyses={"a": "recording.dat"}))


@pytest.mark.parametrize(
    ("lussac", "path"),
    [
        ({"logs_folder": "x", "tmp_folder": "x"}, "lussac.logs_folder"),
        ({"logs_folder": "x", "tmp_folder": "x/tmp"}, "lussac.logs_folder"),
        ({"logs_folder": "x/logs", "tmp_folder": "x"}, "lussac.tmp_folder"),
        ({"logs_folder": "phy/.."}, "lussac.logs_folder"),
        ({"tmp_folder": "phy"}, "lussac.tmp_folder"),
        ({"tmp_folder": "analyses"}, "lussac.tmp_folder"),
    ],
)
def test_folders_do_not_hold_what_they_must_not(folder: Path, lussac: Mapping[str, str], path: str) -> None:
    found = problems(folder, sections(lussac=lussac, spike_sorting={"a": {"sorter_name": "simple"}}))
    assert all(one.startswith(path) for one in found), found


def test_what_is_written_can_be(folder: Path) -> None:
    (folder / "file").touch()
    (folder / "mine").mkdir()
    (folder / "mine/notes.txt").touch()
    content = sections(
        {"export_to_phy": {"all": {"path": "file/phy"}}},
        recording={**RECORDING, "preprocessing": {"cache": "file/cache"}},
        spike_sorting={"a": {"sorter_name": "simple", "sorter_params": {"output_folder": "file/a"}}},
    )
    content["lussac"] |= {"logs_folder": "mine", "tmp_folder": "file"}
    found = problems(folder, content)
    assert len([one for one in found if one.endswith("is a file; choose another folder")]) == 4, found
    assert any(one.startswith("lussac.logs_folder: ") and "didn't make" in one for one in found), found


def test_the_params_themselves_are_an_input(folder: Path) -> None:
    inside = folder / "logs"
    inside.mkdir()
    (inside / "params.json").write_text(
        json.dumps(sections(lussac={"logs_folder": "."}, analyses={"a": "../phy"}, recording=None))
    )
    with pytest.raises(ParamsError, match=r"would hold .*params\.json"):
        plan.compile_plan(params.read(inside / "params.json"), recording_given=True)


def test_an_export_replaces_only_what_lussac_wrote(folder: Path) -> None:
    content = sections({"export_to_phy": {"all": {"path": "export"}}})
    compiled(folder, content)
    (folder / "export").mkdir()
    compiled(folder, content)
    (folder / "export/notes.txt").write_text("mine")
    assert "was not written by Lussac" in one_problem(folder, content)
    (folder / "export" / EXPORT_MARKER).write_text("")
    compiled(folder, content)


@pytest.mark.parametrize("path", [".", "phy", "lussac", "lussac/tmp/export"])
def test_an_export_never_holds_an_input_nor_lies_in_scratch_space(folder: Path, path: str) -> None:
    found = problems(folder, sections({"export_to_phy": {"all": {"path": path}}}))
    assert any("would hold" in one for one in found), found


def test_two_exports_to_one_folder(folder: Path) -> None:
    pipeline = {"export_to_phy": {"all": {"path": "a"}}, "export_to_sigui": {"all": {"path": "a"}}}
    assert "would hold" in one_problem(folder, sections(pipeline))


def test_two_passes_of_one_export(folder: Path) -> None:
    pipeline = {"units_categorization": {"all": {"CS": {}, "SS": {}}}, "export_to_phy": {"CS;SS": {"path": "a"}}}
    assert "would hold" in one_problem(folder, sections(pipeline))


def test_two_sorters_in_one_folder(folder: Path) -> None:
    run = {"sorter_name": "simple", "sorter_params": {"output_folder": "out"}}
    assert "would hold" in one_problem(folder, sections(spike_sorting={"a": run, "b": run}))


@pytest.mark.parametrize(
    ("module", "values"),
    [
        ("remove_bad_units", {"amplitude": {"peak_sign": "neg", "mode": "peak_to_peak", "min": 20}}),
        ("remove_bad_units", {"SNR": {"peak_sign": "neg", "peak_mode": "extremum", "min": 1.5}}),
        ("remove_bad_units", {"sd_ratio": {"max": 2, "spike_amplitudes_kwargs": {}, "sd_ratio_kwargs": {}}}),
        (
            "remove_bad_units",
            {"wvf_extraction": {"ms_before": 1, "ms_after": 1, "max_spikes_per_unit": 500, "filter": [100, 9000]}},
        ),
        ("remove_redundant_units", {"wvf_extraction": None, "arguments": {"align": False, "remove_strategy": "max_spikes"}}),
        ("remove_duplicated_spikes", {"censored_period": 0.3, "method": "keep_first_iterative"}),
        (
            "merge_units",
            {"auto_merge_params": {"bin_ms": 0.05, "window_ms": 150, "corr_diff_thresh": 0.2, "minimum_spikes": 100}},
        ),
        ("merge_units", {"auto_merge_params": {"template_diff_thresh": 0.25, "num_shift": 5, "sigma_smooth_ms": 0.6}}),
        ("merge_units", {"auto_merge_params": {"censor_correlograms_ms": 0.2, "firing_contamination_balance": 2.5}}),
        (
            "merge_units",
            {"refractory_period": [0.2, 1.0], "auto_merge_params": {"steps_params": {"correlogram": {"corr_diff_thresh": 0.1}}}},
        ),
        ("merge_sortings", {"correlogram_validation": {"max_time": 70.0, "gaussian_std": 0.6, "gaussian_truncate": 5.0}}),
        ("export_to_phy", {"path": "phy_export", "export_params": {"compute_amplitudes": False, "copy_binary": False}}),
        ("export_to_sigui", {"path": "gui", "spike_amplitudes": False, "principal_components": False}),
        ("export_to_sigui", {"path": "gui", "spike_amplitudes": {}, "principal_components": {"n_components": 3}}),
    ],
)
def test_the_names_of_older_files_are_accepted(folder: Path, module: str, values: Mapping[str, Any]) -> None:
    compiled(folder, sections({module: {"all": values}}))


def test_a_description_for_people(folder: Path) -> None:
    described = compiled(folder, sections({"align_units": {"all": {"threshold": 0.4}}})).describe()
    assert described["pipeline"] == [("01-align_units.all", "align_units", "all", "threshold: 0.4")]
    assert described["analyses"] == [("phy", str(folder / "phy"))]


def test_every_module_has_a_purpose_and_described_parameters() -> None:
    for name in modules.names():
        module = modules.load(name)
        assert module.run.__doc__, name
        for field, info in module.params.model_fields.items():
            described = info.description or any(inner.__doc__ for inner in validation._models(info.annotation))
            assert described, f"{name}.{field}"
