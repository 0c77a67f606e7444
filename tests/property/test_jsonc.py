import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lussac import jsonc
from lussac.errors import ParamsError, Problem

quick = settings(deadline=None, max_examples=50)  # the first call reads the grammar
characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
texts = st.text(characters, max_size=12) | st.sampled_from(["//", "/*", "*/", "#", '"', "\\"])
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(texts, children, max_size=4),
    max_leaves=12,
)
line_comments = st.builds(
    "{}{}\n".format,
    st.sampled_from(["//", "#"]),
    st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=8),
)
block_comments = st.text(max_size=8).filter(lambda text: "*/" not in text).map("/*{}*/".format)
gaps = st.lists(line_comments | block_comments | st.sampled_from([" ", "\n", "\t", "\r\n"]), max_size=3).map("".join)


def pieces(value: object) -> list[str]:
    """Return the tokens of a value; comments may stand between any two."""
    match value:
        case dict():
            inner = [[json.dumps(key), ":", *pieces(item)] for key, item in value.items()]
        case list():
            inner = [pieces(item) for item in value]
        case _:
            return [json.dumps(value)]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    joined = [token for index, item in enumerate(inner) for token in ([","] if index else []) + item]
    return [opening, *joined, closing]


@quick
@given(values, st.data())
def test_reads_what_json_reads_whatever_the_comments(value: object, data: st.DataObject) -> None:
    text = "".join(data.draw(gaps) + token for token in pieces(value)) + data.draw(gaps)
    assert jsonc.parse(text, "x").data == json.loads(json.dumps(value))


@quick
@given(values)
def test_every_place_is_where_the_value_stands(value: object) -> None:
    text = json.dumps(value, indent=2)
    document = jsonc.parse(text, "x")
    lines = text.split("\n")
    decoder = json.JSONDecoder()
    for path, (line, column) in document.values.items():
        found, _ = decoder.raw_decode("\n".join([lines[line - 1][column - 1 :], *lines[line:]]))
        expected = document.data
        for key in path:
            expected = expected[key]
        assert found == expected
    for path, (line, column) in document.keys.items():
        assert decoder.raw_decode(lines[line - 1][column - 1 :])[0] == path[-1]


@quick
@given(values, st.data())
def test_a_damaged_text_is_an_error_with_a_place_or_still_json(value: object, data: st.DataObject) -> None:
    text = json.dumps(value, indent=1)
    place = data.draw(st.integers(0, len(text) - 1))
    damaged = text[:place] + data.draw(st.sampled_from(["", ",", "}", "]", '"', "x", ":", "\\", "1", "/*"])) + text[place + 1 :]
    try:
        jsonc.parse(damaged, "x")
        problems: tuple[Problem, ...] = ()
    except ParamsError as error:
        problems = error.problems
    lines = damaged.split("\n")
    assert all(1 <= problem.line <= len(lines) for problem in problems)
    assert all(1 <= problem.column <= len(lines[problem.line - 1]) + 1 for problem in problems)
    if not problems and "." not in damaged:  # '300.' and '.5' are all that is read beyond JSON
        json.loads(damaged)


def laid_out(tokens: list[str], data: st.DataObject) -> tuple[str, list[int]]:
    """Return the tokens with spaces and comments between them, and where each starts."""
    text, starts = "", []
    for token in tokens:
        text += data.draw(gaps)
        starts.append(len(text))
        text += token
    return text + data.draw(gaps), starts


def place(text: str, offset: int) -> tuple[int, int]:
    before = text[:offset]
    return before.count("\n") + 1, offset - before.rfind("\n")


def only_problem(text: str) -> Problem:
    with pytest.raises(ParamsError) as caught:
        jsonc.parse(text, "x")
    (problem,) = caught.value.problems
    return problem


containers = st.lists(values, min_size=2, max_size=4) | st.dictionaries(texts, values, min_size=2, max_size=4)


@quick
@given(containers, st.data())
def test_a_comma_taken_away_is_missing_behind_what_stands_before_it(value: object, data: st.DataObject) -> None:
    tokens = pieces(value)
    comma = data.draw(st.sampled_from([index for index, text in enumerate(tokens) if text == ","]))
    text, starts = laid_out([*tokens[:comma], " ", *tokens[comma + 1 :]], data)
    problem = only_problem(text)
    assert problem.message.startswith("missing comma before ")
    assert (problem.line, problem.column) == place(text, starts[comma - 1] + len(tokens[comma - 1]))


@quick
@given(containers, st.data())
def test_a_comma_too_many_is_found_where_it_stands(value: object, data: st.DataObject) -> None:
    tokens = pieces(value)
    full = [index for index, text in enumerate(tokens) if text in "}]" and tokens[index - 1] not in "{["]
    closing = data.draw(st.sampled_from(full))
    text, starts = laid_out([*tokens[:closing], ",", *tokens[closing:]], data)
    problem = only_problem(text)
    assert problem.message.startswith("extra comma before ")
    assert (problem.line, problem.column) == place(text, starts[closing])


@quick
@given(st.dictionaries(texts, values, min_size=1, max_size=4), st.data())
def test_a_key_written_twice_is_found_where_it_stands_again(value: dict[str, object], data: st.DataObject) -> None:
    tokens = pieces(value)
    key = data.draw(st.sampled_from(sorted(value)))
    text, starts = laid_out([*tokens[:-1], ",", json.dumps(key), ":", "1", "}"], data)
    problem = only_problem(text)
    first = jsonc.parse(text[: starts[-5]] + "}", "x").where((key,), key=True)
    assert problem.message.startswith(f'the key "{key}" is already on line {first.line}')
    assert (problem.line, problem.column) == place(text, starts[-4])
