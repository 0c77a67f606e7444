from pathlib import Path

import pytest

from lussac import jsonc
from lussac.errors import ParamsError

FAULTS = {
    "missing comma": (
        '{\n  "a": {}\n  "b": true,\n}',
        ['2:10 missing comma before "b" on line 3', "3:12 extra comma before '}'"],
    ),
    "missing comma in an array": ("[1 2, 3\n4]", ["1:3 missing comma before 2", "1:8 missing comma before 4 on line 2"]),
    "extra comma": ('{\n  "a": [1, 2,],\n}', ["2:13 extra comma before ']'", "2:15 extra comma before '}'"]),
    "comma after a comma": ('{"a": 1,, "b": 2}', ["1:9 extra comma"]),
    "comma before an item": ("[,1]", ["1:2 extra comma"]),
    "unclosed object": ('{\n  "a": {"b": 1\n', ["2:8 '{' is never closed"]),
    "unclosed array": ('{"a": [1, 2', ["1:7 '[' is never closed"]),
    "unclosed after a comma": ('{"a": 1,', ["1:1 '{' is never closed"]),
    "wrong bracket": ('{"a": [1, 2}', ["1:12 a comma or the ']' that closes the '[' of line 1"]),
    "bracket too many": ('{"a": 1}\n}', ["2:1 nothing may follow"]),
    "unclosed comment": ('{\n /* "a": 1 }\n', ["2:2 the comment is never closed"]),
    "unclosed text": ('{\n "a": "b\n}', ["2:7 the text is never closed"]),
    "no value": ('{"a": }', ["1:7 a value is expected, not '}'"]),
    "no value at the end": ('{"a":', ["1:6 a value is expected, not the end of the file"]),
    "no colon": ('{"a" 1}', ["1:5 missing ':' after the key \"a\""]),
    "key without quotes": ("{a: 1}", ["1:2 unexpected 'a'; keys and texts stand in double quotes"]),
    "number as key": ("{1: 1}", ["1:2 a key in double quotes is expected, not '1'"]),
    "single quotes": ("{'a': 1}", ["1:2 texts stand in double quotes"]),
    "Python's words": ('{"a": True}', ["1:7 'True' is not JSON; write true"]),
    "nan": ('{"a": NaN}', ["1:7 'NaN' is not JSON; write null"]),
    "sign": ('{"a": +1}', ["1:7 '+1' is no number in JSON"]),
    "octal": ('{"a": 007, "b": -01.5}', ["1:7 '007' is no number", "1:17 '-01.5' is no number"]),
    "too large": ('{"a": 1e999}', ["1:7 the number is too large"]),
    "very long integer": ('{"a": ' + "9" * 5000 + "}", ["1:7 the number is too large"]),
    "backslash": (r'{"a": "C:\data"}', ["1:10 not allowed in a text; write \\\\ for a backslash"]),
    "tab in a text": ('{"a": "b\tc"}', ["1:9 not allowed in a text"]),
    "half a pair": (r'{"a": "\ud800"}', ["1:7 the text holds a character"]),
    "nul": (r'{"a": "\u0000"}', ["1:7 the text holds a character"]),
    "empty": ("", ["1:1 the file is empty"]),
    "only a comment": ("// nothing\n", ["1:1 the file is empty"]),
    "too deep": ("[" * 200, ["1:102 nested deeper than 100 levels"]),
    "the same key": ('{\n "a": 1,\n "a": 2\n}', ['3:2 the key "a" is already on line 2']),
    "the same module": (
        '{"pipeline": {"m_1": {}, "m_2": {},\n "m_1": {}}}',
        ['2:2 the key "m_1" is already on line 1; to run a module twice, write "m_3"'],
    ),
    "inside the same key": (
        '{"m": {"all": {}},\n "m": {"all": {}},\n "n": {"all": {}, "all": {}}}',
        ['2:2 the key "m" is already on line 1', '3:19 the key "all" is already on line 3'],
    ),
}


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ParamsError) as caught:
        jsonc.parse(text, "params.json")
    return tuple(f"{problem.line}:{problem.column} {problem.message}" for problem in caught.value.problems)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_at_its_place(fault: str) -> None:
    text, expected = FAULTS[fault]
    found = problems(text)
    assert len(found) == len(expected), found
    for one, start in zip(found, expected, strict=True):
        assert one.startswith(start), found


def test_a_syntax_error_shows_its_line_and_a_caret() -> None:
    (message,) = problems('{\n\t"a": 1,\n\t"b": 2, // extra\n}')
    assert message.split("\n")[1:] == ['     "b": 2, // extra', "           ^"]
    assert message.startswith("3:8 ")


def test_a_long_line_is_cut_around_the_place() -> None:
    (message,) = problems("[" + "1, " * 5000 + "]")
    _, line, caret = message.split("\n")
    assert len(line) < 130
    assert line[caret.index("^")] == ","


def test_comments_of_three_kinds_but_not_inside_texts() -> None:
    text = """{ // one "
        # two {
        "a": /* three, "b": 1
        // */ "http://x", /**/ "c": "a /* b */ # c", /* " */ "d#": 1 /***/
    }"""
    document = jsonc.parse(text, "params.json")
    assert document.data == {"a": "http://x", "c": "a /* b */ # c", "d#": 1}
    assert document.where(("d#",), key=True) == (4, 62)


def test_numbers_of_the_documentation() -> None:
    data = jsonc.parse("[300., .5, -.5, 3, -0.0, 1E3, 2.e-1, 12345678901234567890]", "x").data
    assert data == [300.0, 0.5, -0.5, 3, -0.0, 1000.0, 0.2, 12345678901234567890]
    assert [type(number) for number in data] == [float, float, float, int, float, float, float, int]


def test_places_of_keys_and_values() -> None:
    document = jsonc.parse('{\n  "a": [1, {"b": true}],\r\n  "c":\n    null}', "x")
    assert document.where(("a",), key=True) == (2, 3)
    assert document.where(("a",)) == (2, 8)
    assert document.where(("a", 1, "b"), key=True) == (2, 13)
    assert document.where(("a", 1, "b")) == (2, 18)
    assert document.where(("c",)) == (4, 5)
    assert document.where(("a", 1, "missing")) == (2, 12)
    assert document.where(("missing", 0, "too")) == (1, 1)
    assert document.problem(("a", 0), "wrong").render("x") == "x:2:9: a.0: wrong"


def test_values_without_a_file_have_no_place() -> None:
    assert jsonc.Document("x", Path(), "", {"a": 1}).problem(("a",), "wrong").render("x") == "x: a: wrong"


def test_strings_are_replaced_in_keys_and_values() -> None:
    document = jsonc.parse('{"F/a": ["F", {"F": 1}]}', "x").map_strings(lambda text: text.replace("F", r"C:\"x"))
    assert document.data == {r"C:\"x/a": [r"C:\"x", {r"C:\"x": 1}]}
    assert document.where((r"C:\"x/a", 1, r"C:\"x"), key=True) == (1, 16)


def test_byte_order_mark_is_skipped() -> None:
    assert jsonc.parse('\ufeff{"a": 1}', "x").where(("a",), key=True) == (1, 2)
