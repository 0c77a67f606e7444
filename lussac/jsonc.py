"""JSON with comments -> values, and the line and column of every key and value.

The only file that knows commentjson. Its lexer says what is a text, a number or a comment, and where; the grammar is read here,
because commentjson takes extra commas and repeated keys silently and forgets where a value stood.
"""

import json
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from lussac.errors import ParamsError, Problem

Keys = tuple[str | int, ...]
"""Keys of objects and indices of arrays that lead from the top of the file to a value."""

_DEEPEST = 100
_SHOWN = 120  # characters of a line in a message
_LITERALS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None}
_NUMBER = re.compile(r"-?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_TEXT_OR_COMMENT = re.compile(r'"(?:\\[^\n]|[^"\\\n])*"?|(?://|#)[^\n]*|(?P<block>/\*.*?(?P<end>\*/|\Z))', re.DOTALL)
_ELSEWHERE = {"True": "true", "False": "false", "None": "null", "NaN": "null", "Infinity": "null", "undefined": "null"}


class Place(NamedTuple):
    """Line and column, counted from 1; 0 where there is no file."""

    line: int
    column: int


NOWHERE = Place(0, 0)


@dataclass(frozen=True, slots=True)
class Document:
    """Values, and where they stand.

    Parameters
    ----------
    file
        Name of the file, as messages give it.
    base
        The folder that relative paths in it start from.
    text
        The whole file, as it was read.
    data
        Dicts, lists, strings, numbers, bools and None.
    keys, values
        Where each key and each value starts. Empty for values that come from no file.
    """

    file: str
    base: Path
    text: str
    data: Any
    keys: Mapping[Keys, Place] = field(default_factory=dict)
    values: Mapping[Keys, Place] = field(default_factory=dict)

    def where(self, path: Keys, *, key: bool = False) -> Place:
        """Return the place of a value, or of its key; the nearest thing around it where there is no such value."""
        if key and path in self.keys:
            return self.keys[path]
        if path in self.values:
            return self.values[path]
        return self.where(path[:-1], key=True) if path else NOWHERE

    def problem(self, path: Keys, message: str, *, key: bool = False) -> Problem:
        """Return what is wrong with a value (or with its key) as a problem with its place."""
        return Problem(*self.where(path, key=key), ".".join(map(str, path)), message)

    def map_strings(self, change: Callable[[str], str]) -> "Document":
        """Return a copy with every string replaced, keys and values; the places stay."""

        def changed(value: Any) -> Any:  # noqa: ANN401 - JSON has no better type
            match value:
                case str():
                    return change(value)
                case dict():
                    return {change(key): changed(item) for key, item in value.items()}
                case list():
                    return [changed(item) for item in value]
            return value

        def moved(places: Mapping[Keys, Place]) -> dict[Keys, Place]:
            return {tuple(change(key) if isinstance(key, str) else key for key in path): at for path, at in places.items()}

        return replace(self, data=changed(self.data), keys=moved(self.keys), values=moved(self.values))


def parse(text: str, file: str) -> Document:
    """Read JSON with ``//``, ``#`` and ``/* */`` comments, and with numbers such as ``300.`` and ``.5``.

    Raises
    ------
    ParamsError
        With every fault found, each with its line and a caret under the place.
    """
    reader = _Reader(text.removeprefix("\ufeff"))
    try:
        data = reader.whole()
    except _FaultError as fault:
        reader.report(fault.place, fault.message)
        data = None
    if reader.problems:
        raise ParamsError(file, reader.problems)
    return Document(file, Path(file).absolute().parent, text, data, reader.keys, reader.values)


class _Token(NamedTuple):
    """A piece of the file; the text is empty at its end."""

    text: str
    place: Place

    @property
    def end(self) -> Place:
        return Place(self.place.line, self.place.column + len(self.text))


class _FaultError(Exception):
    """A fault after which nothing sensible can be read."""

    def __init__(self, place: Place, message: str) -> None:
        self.place = place
        self.message = message


class _Reader:
    """Reads one text from its start to its end."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        self.keys: dict[Keys, Place] = {}
        self.values: dict[Keys, Place] = {}
        self.problems: list[Problem] = []
        self._tokens = _tokens(text, self.lines)
        self._token = self._last = _Token("", Place(1, 1))

    def whole(self) -> Any:  # noqa: ANN401 - JSON has no better type
        """Return the only value of the text."""
        self._take()
        if not self._token.text:
            raise _FaultError(Place(1, 1), "the file is empty")
        data = self._value(())
        if self._token.text:
            raise _FaultError(self._token.place, f"nothing may follow the end of the file's only value, but {self._named()} does")
        return data

    def report(self, place: Place, message: str, path: Keys = ()) -> None:
        """Note a fault, with the line and a caret under the place."""
        start = max(0, place.column - _SHOWN // 2)
        line = self.lines[place.line - 1].rstrip("\r").replace("\t", " ")[start : start + _SHOWN]
        shown = f"{message}\n    {line}\n    {' ' * (place.column - 1 - start)}^"
        self.problems.append(Problem(*place, ".".join(map(str, path)), shown))

    def _take(self) -> _Token:
        """Return the current token and go on to the next."""
        self._last, self._token = self._token, next(self._tokens)
        return self._last

    def _named(self) -> str:
        return f"'{self._token.text}'" if self._token.text else "the end of the file"

    def _value(self, path: Keys) -> Any:  # noqa: ANN401 - JSON has no better type
        text, place = self._token
        self.values[path] = place
        if len(path) > _DEEPEST:
            raise _FaultError(place, f"nested deeper than {_DEEPEST} levels")
        if text == "{":
            return self._object(path)
        if text == "[":
            return self._array(path)
        if text == ",":
            raise _FaultError(place, "extra comma; remove it")
        if not text or text in "}]:":
            raise _FaultError(place, f"a value is expected, not {self._named()}")
        self._take()
        if text in _LITERALS:
            return _LITERALS[text]
        return self._string(text, place) if text[0] == '"' else self._number(text, place)

    def _object(self, path: Keys) -> dict[str, Any]:
        members: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for _ in self._items("}"):
            key, place = self._key()
            at = (*path, key)
            self.keys[at] = place
            value = self._value(at)
            if key in lines:
                advice = f'; to run a module twice, write "{_unused(key, members)}"' if path[-1:] == ("pipeline",) else ""
                self.report(place, f'the key "{key}" is already on line {lines[key]}{advice}', at)
            lines.setdefault(key, place.line)
            members[key] = value
        return members

    def _key(self) -> tuple[str, Place]:
        text, place = self._token
        if text == ",":
            raise _FaultError(place, "extra comma; remove it")
        if not text.startswith('"'):
            raise _FaultError(place, f"a key in double quotes is expected, not {self._named()}")
        self._take()
        if self._token.text != ":":
            raise _FaultError(self._last.end, f"missing ':' after the key {text}")
        self._take()
        return self._string(text, place), place

    def _array(self, path: Keys) -> list[Any]:
        return [self._value((*path, index)) for index, _ in enumerate(self._items("]"))]

    def _items(self, closing: str) -> Iterator[None]:
        """Pass the brackets and the commas of an object or an array; stop before each item."""
        opening = self._take()
        while self._token.text != closing:
            if not self._token.text:
                raise _FaultError(opening.place, f"'{opening.text}' is never closed: a '{closing}' is missing")
            yield
            if self._token.text == ",":
                comma = self._take()
                if self._token.text == closing:
                    self.report(comma.place, f"extra comma before '{closing}'; remove it")
            elif self._token.text not in ("", closing):
                self._missing_comma(opening, closing)
        self._take()

    def _missing_comma(self, opening: _Token, closing: str) -> None:
        """Note a missing comma where an item follows; give up where something else does."""
        following = self._token.text
        if following in "}]:" or (closing == "}" and following[0] != '"'):
            of = f"the '{opening.text}' of line {opening.place.line}"
            raise _FaultError(self._token.place, f"a comma or the '{closing}' that closes {of} is expected, not {self._named()}")
        self.report(self._last.end, f"missing comma before {following} on line {self._token.place.line}")

    def _string(self, text: str, place: Place) -> str:
        try:
            value = str(json.loads(text))
        except json.JSONDecodeError as error:
            self.report(
                Place(place.line, place.column + error.pos),
                "not allowed in a text; write \\\\ for a backslash, \\n for a new line, \\t for a tab",
            )
            return ""
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            self.report(place, "the text holds a character that no file name or table can hold (\\u0000, or half of a pair)")
        return value

    def _number(self, text: str, place: Place) -> float:
        if not _NUMBER.fullmatch(text):
            self.report(place, f"'{text}' is no number in JSON: no '+' and no zeros in front")
            return 0
        try:
            number = float(text) if set(text) & set(".eE") else int(text)
        except ValueError:  # Python refuses integers of thousands of digits
            number = math.inf
        if math.isinf(number):
            self.report(place, "the number is too large")
            return 0
        return number


def _tokens(text: str, lines: list[str]) -> Iterator[_Token]:
    """Cut a text into brackets, commas, colons, texts, numbers and words; the last token is empty."""
    parser, unexpected = _grammar()
    text = _TEXT_OR_COMMENT.sub(lambda match: _blanked(match, text), text)
    try:
        for token in parser.lex(text):
            yield _Token(str(token), Place(token.line, token.column))
    except unexpected as error:
        place = Place(error.line, error.column)
        raise _FaultError(place, _unexpected(lines[place.line - 1][place.column - 1 :])) from None
    while True:
        yield _Token("", Place(len(lines), len(lines[-1]) + 1))


def _grammar() -> tuple[Any, Any]:
    """Return commentjson's parser and the error of its lexer."""
    with warnings.catch_warnings():
        # its lark uses modules that Python has renamed; imported here, because reading its grammar takes 0.1 s
        warnings.simplefilter("ignore", DeprecationWarning)
        from commentjson.commentjson import lark, parser  # noqa: PLC0415
    return parser, lark.exceptions.UnexpectedCharacters


def _blanked(match: re.Match[str], text: str) -> str:
    """Overwrite a block comment, which commentjson doesn't know, with spaces, so that all that follows keeps its place."""
    if match["block"] is None:
        return match[0]
    if not match["end"]:
        before = text[: match.start()]
        place = Place(before.count("\n") + 1, match.start() - before.rfind("\n"))
        raise _FaultError(place, "the comment is never closed: a '*/' is missing")
    return re.sub(r"[^\n]", " ", match[0])


def _unexpected(rest: str) -> str:
    """Say what is wrong where no token starts."""
    if rest.startswith('"'):
        return "the text is never closed: a '\"' is missing on this line"
    if rest.startswith("'"):
        return "texts stand in double quotes"
    word = re.match(r"[\w$.]*", rest)
    name = word[0] if word and word[0] else rest[:1]
    if name in _ELSEWHERE:
        return f"'{name}' is not JSON; write {_ELSEWHERE[name]}"
    return f"unexpected '{name}'; keys and texts stand in double quotes"


def _unused(key: str, members: Mapping[str, Any]) -> str:
    """Return ``name_2``, or the next number that is free."""
    name = re.sub(r"_\d+$", "", key)
    number = 2
    while f"{name}_{number}" in members:
        number += 1
    return f"{name}_{number}"
