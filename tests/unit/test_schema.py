from importlib import resources

import jsonschema
import pytest

from lussac import jsonc
from lussac.schema import schema


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(schema())
    return jsonschema.Draft202012Validator(schema())


@pytest.mark.parametrize("name", ["params_synthetic.json", "params_neuropixels.json", "params_cerebellar_cortex.json"])
def test_the_examples_fit_the_schema(name: str, validator: jsonschema.Draft202012Validator) -> None:
    text = resources.files("lussac").joinpath("params_examples", name).read_text(encoding="utf-8")
    validator.validate(jsonc.parse(text, name).data)


@pytest.mark.parametrize(
    "pipeline",
    [{"align_unit": {}}, {"align_units_b": {}}, {"align_units": {"all": {"treshold": 1}}}, {"align_units_2": {"all": 3}}],
)
def test_a_wrong_pipeline_does_not(pipeline: object, validator: jsonschema.Draft202012Validator) -> None:
    assert not validator.is_valid({"lussac": {"pipeline": pipeline}})


def test_every_parameter_is_described() -> None:
    properties = schema()["$defs"]["LussacParams"]["properties"]
    assert all(value.get("description") for value in properties.values())
