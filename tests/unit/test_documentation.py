"""Every example of the user's documentation of params.json, as written there."""

from pathlib import Path

import pytest

from lussac import jsonc, params, plan
from lussac.errors import ParamsError
from lussac.params import Params

MISSING_COMMA = """{
    "key1": {
        "foo": "bar",
        "index": 4
    }
    "key2": true,
    "key3": 3.141592653589793
}"""
EXTRA_COMMA = """{
    "key1": "value1",
    "key2": "value2", // This comma will crash JSON!
}"""
BINARY = """"recording": {
    "recording_extractor": "binary",
    "extractor_params": {
        "file_paths": "$PARAMS_FOLDER/recording.dat",
        "num_channels": 64,
        "sampling_frequency": 30000,
        "dtype": "int16",
        "gain_to_uV": 0.195,
        "offset_to_uV": 0.0
    },
    "probe_file": "$PARAMS_FOLDER/probe.json"
    // No preprocessing
}"""
SPIKEGLX = """"recording": {
    "recording_extractor": "SpikeGLXRecordingExtractor",
    "extractor_params": {
        "folder_path": "$PARAMS_FOLDER/recording",
        "stream_id": "imec0.ap"
    },
    // Probe is already loaded with the SpikeGLXRecordingExtractor.
    "preprocessing": {
        "phase_shift": {},
        "remove_bad_channels": {}
    }
}"""
SORTERS = """"spike_sorting": {
    "ks3_sing": {  // Kilosort 3 analysis using singularity and some custom parameters.
        "sorter_name": "kilosort3",
        "preprocessing": {
            "filter": {"band": [300., 6000.], "filter_order": 2, "ftype": "bessel"},  // Custom bessel filter
            "common_reference": {"operator": "median"}  // Common median reference.
        },
        "sorter_params": {
            "output_folder": "$PARAMS_FOLDER/analyses/ks3_sing",
            "singularity_image": true,
            "projection_threshold": [8, 8],  // Lower Kilosort's threshold.
            "freq_min": 40,  // Filter already applied in preprocessing.
            "delete_recording_dat": true  // Delete unnecessary heavy temp file.
        }
    },
    "sc_default": {  // Spyking Circus analysis using the default parameters.
        "sorter_name": "spykingcircus",
        "sorter_params": {
            "output_folder": "$PARAMS_FOLDER/analyses/sc_default"
        }
    }
}"""
ANALYSES = """"analyses": {
    "ks2_default": "path/to/ks2_analysis",  // Phy format
    "tdc_default": "path/to/tridesclous_analysis.json"  // SpikeInterface format
}"""
LUSSAC = """"lussac": {
    "logs_folder": "$PARAMS_FOLDER/lussac/logs",
    "tmp_folder": "$PARAMS_FOLDER/lussac/tmp",
    "si_global_job_kwargs": {
        "n_jobs": 6,  // Number of threads to use on the CPU. Can be increased or decreased depending on your computer.
        "chunk_duration": "2s",
        "progress_bar": false,
        "verbose": false
    },
    "pipeline": {
        /** "first_module_name": {"category_name": {module_1_params}},
            "second_module_name: {"category_name": {module_2_params}},
           ...
        */
    }
}"""
MODULE = """"module_name": {
    "category1": {
        // Parameters.
    },
    "category2": {
        // Parameters.
    }
}"""
EXAMPLES = [MISSING_COMMA, EXTRA_COMMA, BINARY, SPIKEGLX, SORTERS, ANALYSES, LUSSAC, MODULE]


def compiled(folder: Path, *sections: str) -> plan.Plan:
    (folder / "params.json").write_text("{\n" + ",\n".join(sections) + "\n}")
    return plan.compile_plan(params.read(folder / "params.json"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.split('"')[1])
def test_the_examples_stand_in_the_documentation(example: str, shared: Path) -> None:
    assert example in (shared / "spec/params-documentation.txt").read_text()


def test_missing_comma_is_an_error_at_its_place() -> None:
    with pytest.raises(ParamsError) as caught:
        jsonc.parse(MISSING_COMMA, "params.json")
    assert str(caught.value) == 'params.json:5:6: missing comma before "key2" on line 6\n        }\n         ^'


def test_extra_comma_is_an_error_at_its_place() -> None:
    with pytest.raises(ParamsError) as caught:
        jsonc.parse(EXTRA_COMMA, "params.json")
    message, line, caret = str(caught.value).split("\n")
    assert message == "params.json:3:21: extra comma before '}'; remove it"
    assert line[caret.index("^") :] == ", // This comma will crash JSON!"


def test_the_dict_that_the_first_example_means() -> None:
    whole = MISSING_COMMA.replace('}\n    "key2"', '},\n    "key2"')
    assert jsonc.parse(whole, "params.json").data == {"key1": {"foo": "bar", "index": 4}, "key2": True, "key3": 3.141592653589793}


def test_binary_recording(inputs: Path) -> None:
    recording = compiled(inputs, BINARY, ANALYSES).params.recording
    assert recording is not None
    assert recording.extractor_params["file_paths"] == f"{inputs}/recording.dat"
    assert recording.probe_file == inputs / "probe.json"
    assert recording.preprocessing == {}


def test_spikeglx_recording(inputs: Path) -> None:
    recording = compiled(inputs, SPIKEGLX, ANALYSES).params.recording
    assert recording is not None
    assert list(recording.preprocessing) == ["phase_shift", "remove_bad_channels"]


def test_two_sorters(inputs: Path) -> None:
    made = compiled(inputs, BINARY, SORTERS)
    assert made.analyses == ("ks3_sing", "sc_default")
    run = made.params.spike_sorting["ks3_sing"]
    assert run.preprocessing["filter"] == {"band": [300.0, 6000.0], "filter_order": 2, "ftype": "bessel"}
    assert run.sorter_params["projection_threshold"] == [8, 8]
    assert run.sorter_params["output_folder"] == f"{inputs}/analyses/ks3_sing"


def test_analyses_are_relative_to_the_file(inputs: Path) -> None:
    assert compiled(inputs, BINARY, ANALYSES).params.analyses == {
        "ks2_default": inputs / "path/to/ks2_analysis",
        "tdc_default": inputs / "path/to/tridesclous_analysis.json",
    }


def test_all_four_sections(inputs: Path) -> None:
    made = compiled(inputs, BINARY, SORTERS, ANALYSES, LUSSAC)
    assert made.analyses == ("ks2_default", "tdc_default", "ks3_sing", "sc_default")
    section = made.params.lussac
    assert (section.logs_folder, section.tmp_folder) == (inputs / "lussac/logs", inputs / "lussac/tmp")
    expected = {"n_jobs": 6, "chunk_duration": "2s", "progress_bar": False}
    assert section.si_global_job_kwargs.kwargs() == expected
    assert section.pipeline == {}
    assert made.passes == ()


def test_the_structure_of_a_module() -> None:
    document = jsonc.parse("{" + MODULE + "}", "params.json")
    assert document.data == {"module_name": {"category1": {}, "category2": {}}}
    result, problems = params.check(params.from_dict({"lussac": {"pipeline": document.data}}, Path()))
    assert isinstance(result, Params)
    assert not problems


def test_a_module_that_is_none_is_an_error_at_its_key(inputs: Path) -> None:
    pipeline = '"lussac": {"pipeline": {' + MODULE + "}}"
    with pytest.raises(ParamsError) as caught:
        compiled(inputs, BINARY, ANALYSES, pipeline)
    problem = caught.value.problems[0]
    assert problem.path == "lussac.pipeline.module_name"
    assert problem.message.startswith("there is no module 'module_name'")
