"""The check of values against a model: everything that is wrong at once, each with its place and with what is allowed."""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, JsonValue, ValidationError
from pydantic_core import ErrorDetails

from lussac.errors import Problem
from lussac.jsonc import Document, Keys

M = TypeVar("M", bound=BaseModel)


def validate(model: type[M], data: Any, where: Keys, document: Document) -> M | tuple[Problem, ...]:  # noqa: ANN401
    """Check values against a model.

    Parameters
    ----------
    model
        The model.
    data
        The values, as JSON has them: numbers are no texts, bools are no numbers, lists are tuples.
    where
        The keys that lead to the values in the document.
    document
        Tells the place of every problem.

    Returns
    -------
    The model with the values, or every problem found.
    """
    checked = _validated(model, data, document)
    return _located(checked, model, where, document) if isinstance(checked, dict) else checked


def salvage(model: type[M], document: Document) -> tuple[M, tuple[Problem, ...]]:
    """Check a whole document against a model that needs no field.

    Returns
    -------
    The part of the document that is right, and every problem with the rest. What is left out is so little that the checks that
    follow find what else is wrong.
    """
    problems: tuple[Problem, ...] = ()
    data = document.data
    while isinstance(checked := _validated(model, data, document), dict):
        problems = problems or _located(checked, model, (), document)
        for path in checked:
            data = _without(data, path)
    return checked, problems


def as_tuples(data: Any) -> Any:  # noqa: ANN401
    """Return JSON with tuples for lists: what a `model_validator(mode="before")` returns is no longer taken for JSON."""
    if isinstance(data, Mapping):
        return {key: as_tuples(value) for key, value in data.items()}
    return tuple(map(as_tuples, data)) if isinstance(data, list) else data


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the nearest known name, or else what is known."""
    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(name.lower(), [other.lower() for other in names], 1)
    if near:
        return f"; did you mean '{next(other for other in names if other.lower() == near[0])}'?"
    return f"; known: {', '.join(names)}" if names else "; none is allowed here"


def _validated(model: type[M], data: JsonValue, document: Document) -> M | dict[Keys, list[ErrorDetails]]:
    try:
        return model.model_validate_json(json.dumps(data), strict=True, context={"base": document.base})
    except ValidationError as error:
        return _by_path(error.errors(include_url=False), data)


def _by_path(errors: Iterable[ErrorDetails], data: JsonValue) -> dict[Keys, list[ErrorDetails]]:
    """Group errors by the keys that lead to what is wrong."""
    found: dict[Keys, list[ErrorDetails]] = {}
    for error in errors:
        found.setdefault(_path(error, data), []).append(error)
    # what is wrong around something wrong is another form of a union, not the one that was meant
    return {path: those for path, those in found.items() if not any(other[: len(path)] == path != other for other in found)}


def _located(
    faults: Mapping[Keys, Sequence[ErrorDetails]], model: type[BaseModel], where: Keys, document: Document
) -> tuple[Problem, ...]:
    return tuple(
        document.problem((*where, *path), _message(errors, model), key=errors[0]["type"] in {"extra_forbidden", "missing"})
        for path, errors in faults.items()
    )


def _without(data: Any, path: Keys) -> dict[str, Any]:  # noqa: ANN401
    """Return a copy that lacks the value at a path, or, where a key is missing there, the object around it."""
    if not path or not isinstance(data, dict):
        return {}
    left = dict(data)
    key, *rest = path
    inner = left.pop(str(key), None)
    if isinstance(inner, dict) and rest and (len(rest) > 1 or rest[0] in inner):
        left[str(key)] = _without(inner, tuple(rest))
    return left


def _path(error: ErrorDetails, data: Any) -> Keys:  # noqa: ANN401
    """Return the keys that lead to an error, without the names of types that pydantic puts between them."""
    *inner, last = error["loc"] or ("",)
    path: list[str | int] = []
    for key in [*inner, last]:
        try:
            data = data[key]
        except (KeyError, IndexError, TypeError):
            continue
        path.append(key)
    if error["type"] == "missing":
        path.append(last)
    return tuple(path)


_KINDS = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a text",
    "path_type": "a text",
    "tuple_type": "a list",
    "list_type": "a list",
}


def _message(errors: Sequence[ErrorDetails], model: type[BaseModel]) -> str:
    """Return what is wrong with one value; several errors are the forms of a union, none of which fits."""
    error = errors[0]
    *outer, name = error["loc"] or ("",)
    context = error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            return f"unknown key{suggestion(str(name), _names(model, outer))}"
        case "missing":
            return "is missing"
        case "value_error":
            return str(context["error"])
        case "too_long" | "too_short":
            wanted = context.get("max_length", context.get("min_length"))
            return f"must have {wanted} values, not {context['actual_length']}"
    allowed = [_KINDS.get(one["type"], one["msg"].removeprefix("Input should be ")) for one in errors]
    return f"must be {' or '.join(dict.fromkeys(allowed))}, not {_shown(error)}{_meant(error)}"


def _meant(error: ErrorDetails) -> str:
    """Return the nearest of the words that are allowed."""
    words = re.findall(r"'([^']*)'", str(error.get("ctx", {}).get("expected", "")))
    hint = suggestion(str(error["input"]), words)
    return hint if "did you mean" in hint else ""


def _shown(error: ErrorDetails) -> str:
    text = json.dumps(error["input"], default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _names(model: type[BaseModel], outer: Iterable[str | int]) -> list[str]:
    """Return the fields of the models that a path leads to."""
    models = [model]
    for key in outer:
        named = [one for one in models if one.__name__ == key]
        inside = [annotation for one in models for annotation in _annotations(one, str(key))]
        models = named or [inner for annotation in inside for inner in _models(annotation)] or models
    return [name for one in models for name in one.model_fields]


def _annotations(model: type[BaseModel], key: str) -> Iterator[object]:
    """Return the type that a model has for a key, be it a field or one of its free keys."""
    if key in model.model_fields:
        yield model.model_fields[key].annotation
    elif model.model_config.get("extra") == "allow":
        yield model.__annotations__.get("__pydantic_extra__")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 - any type
    """Return the models named in a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
