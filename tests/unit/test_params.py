import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from lussac import jsonc, params, validation
from lussac.errors import InputError, ParamsError
from lussac.params import Band, Count, Fraction, Milliseconds, Params, Periods, Strict, WaveformExtraction


class Similarity(Strict):
    min_similarity: Fraction = 0.3
    window: Milliseconds = 0.2


class Outer(Strict):
    inner: Similarity = Similarity(window=0.5)
    other: Milliseconds = 7.0


class Example(Strict):
    wvf_extraction: WaveformExtraction | None = WaveformExtraction(
        ms_before=1.0, ms_after=1.5, max_spikes_per_unit=2000, filter_band=(150, 7000)
    )
    refractory_period: Periods = (0.2, 1.0)
    outer: Outer = Outer(inner=Similarity(min_similarity=0.9), other=8.0)
    similarity: Similarity | bool = True
    mode: Literal["extremum", "at_index"] = "extremum"
    band: Band | None = None
    count: Count = 2
    flag: bool = False
    sets: Mapping[str, Similarity] = {}


def validated(text: str) -> Example:
    document = jsonc.parse(text, "params.json")
    result = validation.validate(Example, document.data, (), document)
    assert isinstance(result, Example), result
    return result


def problems(text: str) -> list[str]:
    document = jsonc.parse(text, "params.json")
    result = validation.validate(Example, document.data, (), document)
    assert isinstance(result, tuple)
    return [f"{one.line}:{one.column} {one.path}: {one.message}" for one in sorted(result)]


def checked(text: str, folder: Path) -> tuple[Params, tuple[str, ...]]:
    (folder / "params.json").write_text(text)
    result, found = params.check(params.read(folder / "params.json"))
    return result, tuple(f"{one.line}:{one.column} {one.path}: {one.message}" for one in sorted(found))


def test_a_partial_dict_keeps_the_defaults_of_the_field() -> None:
    extraction = validated('{"wvf_extraction": {"ms_before": 2}}').wvf_extraction
    assert extraction == WaveformExtraction(ms_before=2.0, ms_after=1.5, max_spikes_per_unit=2000, filter_band=(150, 7000))


def test_nested_defaults_are_kept_level_by_level() -> None:
    assert validated('{"outer": {"inner": {"window": 1}}}').outer == Outer(
        inner=Similarity(min_similarity=0.9, window=1.0), other=8.0
    )
    assert validated('{"outer": {"other": 1}}').outer == Outer(inner=Similarity(min_similarity=0.9, window=0.5), other=1.0)


def test_filter_is_another_name_for_filter_band() -> None:
    extraction = validated('{"wvf_extraction": {"filter": [null, 3000.]}}').wvf_extraction
    assert extraction is not None
    assert extraction.filter_band == (None, 3000.0)
    assert extraction.ms_after == 1.5


def test_null_is_not_a_partial_dict() -> None:
    assert validated('{"wvf_extraction": null}').wvf_extraction is None


def test_whole_numbers_may_have_a_point_or_an_exponent() -> None:
    assert validated('{"count": 1e3, "wvf_extraction": {"max_spikes_per_unit": 500.}}').count == 1000


def test_models_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Example().count = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"refractory_perod": 1}', ["1:2 refractory_perod: unknown key; did you mean 'refractory_period'?"]),
        ('{"outer": {"inner": {"x": 1}}}', ["1:22 outer.inner.x: unknown key; known: min_similarity, window"]),
        ('{"sets": {"a": {"windo": 1}}}', ["1:17 sets.a.windo: unknown key; did you mean 'window'?"]),
        ('{"similarity": {"windo": 1}}', ["1:17 similarity.windo: unknown key; did you mean 'window'?"]),
        ('{"similarity": 3}', ["1:16 similarity: must be an object or true or false, not 3"]),
        (
            '{"outer": {"inner": {"min_similarity": 3}}}',
            ["1:40 outer.inner.min_similarity: must be less than or equal to 1, not 3"],
        ),
        ('{"refractory_period": [0.2]}', ["1:2 refractory_period.1: is missing"]),
        ('{"refractory_period": [1, 2, 3]}', ["1:23 refractory_period: must have 2 values, not 3"]),
        ('{"refractory_period": [2, 1]}', ["1:23 refractory_period: the first value can't exceed the second, not [2, 1]"]),
        ('{"band": [300, 300]}', ["1:10 band: the first value must be below the second, not [300, 300]"]),
        ('{"mode": "extremun"}', ["1:10 mode: must be 'extremum' or 'at_index', not \"extremun\"; did you mean 'extremum'?"]),
        ('{"mode": 3}', ["1:10 mode: must be 'extremum' or 'at_index', not 3"]),
        ('{"count": true}', ["1:11 count: must be a whole number, not true"]),
        ('{"count": "2"}', ['1:11 count: must be a whole number, not "2"']),
        ('{"count": 2.5}', ["1:11 count: must be a whole number, not 2.5"]),
        ('{"count": 0}', ["1:11 count: must be greater than or equal to 1, not 0"]),
        ('{"flag": 1}', ["1:10 flag: must be true or false, not 1"]),
        ('{"flag": "true"}', ['1:10 flag: must be true or false, not "true"']),
    ],
)
def test_each_fault_says_where_and_what_is_allowed(text: str, expected: list[str]) -> None:
    assert problems(text) == expected


def test_all_problems_in_one_report() -> None:
    found = problems('{"count": 0,\n "flagg": 1,\n "outer": {"other": -1, "inner": 3}}')
    assert [one.split(" ")[0] for one in found] == ["1:11", "2:2", "3:21", "3:34"]


def test_params_folder_is_replaced_in_keys_and_values(tmp_path: Path) -> None:
    folder = tmp_path / 'odd "name\\'
    folder.mkdir()
    text = """{
        "recording": {"recording_extractor": "binary", "extractor_params": {"file_paths": ["$PARAMS_FOLDER/a.dat"]}},
        "analyses": {"$PARAMS_FOLDER": "$PARAMS_FOLDER/phy"}
    }"""
    result, found = checked(text, folder)
    assert not found
    assert result.recording is not None
    assert result.recording.extractor_params == {"file_paths": [f"{folder}/a.dat"]}
    assert result.analyses == {str(folder): folder / "phy"}


def test_relative_paths_start_at_the_folder_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "below").mkdir()
    text = '{"analyses": {"a": "../phy"}, "lussac": {"logs_folder": "logs"}}'
    (tmp_path / "below/params.json").write_text(text)
    monkeypatch.chdir(tmp_path)
    result, _ = params.check(params.read("below/params.json"))
    assert result.analyses["a"] == tmp_path / "phy"
    assert result.lussac.logs_folder == tmp_path / "below/logs"
    assert result.lussac.tmp_folder == tmp_path / "below/lussac/tmp"


@pytest.mark.parametrize("path", ["x" * 256, "x/" * 2048 + "x", "~nobody-of-this-name/x"])
def test_what_can_be_no_path(path: str, tmp_path: Path) -> None:
    _, (problem,) = checked(json.dumps({"analyses": {"a": path}}), tmp_path)
    assert "analyses.a: " in problem


def test_default_folders_without_a_lussac_section(tmp_path: Path) -> None:
    result, found = checked("{}", tmp_path)
    assert not found
    assert result.lussac.logs_folder == tmp_path / "lussac/logs"


def test_the_right_part_is_kept_where_something_is_wrong(tmp_path: Path) -> None:
    text = """{
        "recording": {"recording_extractor": 3},
        "spike_sorting": {"a": {}, "b": {"sorter_name": "simple"}},
        "lussac": {"logs_level": 7, "pipeline": {"m": {"all": 3, "CS": {"x": [1]}}, "n": []}},
        "analysis": {}
    }"""
    result, found = checked(text, tmp_path)
    assert found == (
        "2:46 recording.recording_extractor: must be a text, not 3",
        "3:27 spike_sorting.a.sorter_name: is missing",
        "4:34 lussac.logs_level: must be less than or equal to 3, not 7",
        "4:63 lussac.pipeline.m.all: must be an object, not 3",
        "4:90 lussac.pipeline.n: must be an object, not []",
        "5:9 analysis: unknown key; did you mean 'analyses'?",
    )
    assert result.recording is None
    assert list(result.spike_sorting) == ["b"]
    assert result.lussac.logs_level == 2
    assert result.lussac.pipeline == {"m": {"CS": {"x": [1]}}}


@pytest.mark.parametrize("text", ["[]", "3", '"params"', "null"])
def test_a_file_that_is_no_object(text: str, tmp_path: Path) -> None:
    _, found = checked(text, tmp_path)
    assert found == (f"1:1 : must be an object, not {text}",)


@pytest.mark.parametrize("jobs", [1, 6, -1, 0.5, 6.0, 1.0])
def test_jobs_are_a_count_or_a_fraction(jobs: float, tmp_path: Path) -> None:
    result, found = checked(json.dumps({"lussac": {"si_global_job_kwargs": {"n_jobs": jobs}}}), tmp_path)
    assert not found
    assert result.lussac.si_global_job_kwargs.kwargs() == {"n_jobs": jobs, "progress_bar": False}


@pytest.mark.parametrize("jobs", [0, -2, 1.5, True, "2"])
def test_no_other_number_of_jobs(jobs: object, tmp_path: Path) -> None:
    _, found = checked(json.dumps({"lussac": {"si_global_job_kwargs": {"n_jobs": jobs}}}), tmp_path)
    assert len(found) == 1
    assert "lussac.si_global_job_kwargs.n_jobs: must be a" in found[0]


def test_a_dict_may_hold_paths_and_numpy_numbers(tmp_path: Path) -> None:
    mapping = {
        "recording": {
            "recording_extractor": "binary",
            "extractor_params": {"num_channels": np.int64(4), "gain": np.float32(0.5)},
        },
        "analyses": {"a": Path("phy")},
    }
    result, found = params.check(params.from_dict(mapping, tmp_path))
    assert not found
    assert result.analyses == {"a": tmp_path / "phy"}
    assert result.recording is not None
    assert result.recording.extractor_params == {"num_channels": 4, "gain": 0.5}


@pytest.mark.parametrize("value", [object(), float("nan"), {1, 2}])
def test_a_dict_with_something_that_json_has_not(value: object, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="only what JSON can hold"):
        params.from_dict({"recording": value}, tmp_path)


def test_a_problem_of_a_dict_has_a_path_but_no_place(tmp_path: Path) -> None:
    _, (problem,) = params.check(params.from_dict({"lussac": {"logs_level": 9}}, tmp_path))
    assert problem.render("params") == "params: lussac.logs_level: must be less than or equal to 3, not 9"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_any_unicode_encoding(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "params.json").write_bytes('{"analyses": {"å": "b"}}'.encode(encoding))
    result, _ = params.check(params.read(tmp_path / "params.json"))
    assert list(result.analyses) == ["å"]


def test_a_byte_that_is_no_text_is_an_error_at_its_place(tmp_path: Path) -> None:
    (tmp_path / "params.json").write_bytes('{\n "å": "'.encode() + b'\xe9"}')
    with pytest.raises(ParamsError, match=r":2:8: the byte 0xe9 is no utf-8; save the file as UTF-8"):
        params.read(tmp_path / "params.json")


def test_a_recording_given_by_mistake(tmp_path: Path) -> None:
    with (tmp_path / "recording.dat").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(InputError, match=r"too large for a params\.json"):
        params.read(tmp_path / "recording.dat")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file or directory"):
        params.read(tmp_path / "missing.json")
    with pytest.raises(InputError, match="Is a directory"):
        params.read(tmp_path)
