"""params.json as a JSON schema, so that editors complete and check it while it is written."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from lussac import modules
from lussac.params import LussacParams, Params


def schema() -> dict[str, Any]:
    """Return the schema of params.json, with the parameters of every module."""
    steps = {name: modules.load(name).params for name in modules.names()}
    wanted: list[type[BaseModel]] = [Params, LussacParams, *steps.values()]
    places, content = models_json_schema([(model, "validation") for model in wanted], title="params.json of Lussac")
    definitions = content["$defs"]
    section = places[LussacParams, "validation"]["$ref"].rpartition("/")[2]
    definitions[section]["properties"]["pipeline"] = {
        "type": "object",
        "description": LussacParams.model_fields["pipeline"].description,
        "patternProperties": {
            f"^{name}(_[0-9]+)?$": {
                "type": "object",
                "additionalProperties": places[model, "validation"],
                "description": _purpose(name),
            }
            for name, model in steps.items()
        },
        "additionalProperties": False,
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **content, **places[Params, "validation"]}


def _purpose(name: str) -> str:
    return (modules.load(name).run.__doc__ or "").partition("\n")[0]
