"""Params -> what will be run, in which order; or everything that is wrong, at once and before anything runs."""

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lussac import analyses, inside, loading, modules, places, preprocessing
from lussac.errors import FolderError, InputError, ParamsError, Problem
from lussac.jsonc import Document, Keys
from lussac.modules import EXPORT_MARKER, MERGED
from lussac.modules.base import Module, ModuleParams
from lussac.params import Params, check
from lussac.places import Place, Role
from lussac.store import refuse_foreign
from lussac.units import EVERYTHING, REST, Selector
from lussac.validation import suggestion, validate

CATEGORIZES = "units_categorization"
REMOVES_CATEGORIES = "clear"
EMPTY_MEANS_ALL = frozenset({"find_purkinje_cells"})
PIPELINE: Keys = ("lussac", "pipeline")


@dataclass(frozen=True, slots=True)
class Pass:
    """One module on one category.

    Parameters
    ----------
    step
        Which key of the pipeline this is, counted from 1.
    key
        That key: the module's name, maybe with a number.
    module
        Name of the module.
    selector
        The category.
    params
        Parameters, defaults filled in.
    """

    step: int
    key: str
    module: str
    selector: Selector
    params: ModuleParams

    @property
    def label(self) -> str:
        """Return a name for people and folders: ``03-remove_bad_units_2.CS+SS``."""
        category = re.sub(r"[^\w+-]", "_", self.selector.text)
        return f"{self.step:02}-{self.key}.{category}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be run.

    Parameters
    ----------
    params
        All four sections.
    document
        Where they come from.
    analyses
        Names of the analyses that the pipeline starts with, in order.
    modules
        Those of the pipeline, by name.
    passes
        In the order in which they run.
    undecided
        Categories that only a loaded analysis may carry, and what is wrong if none does.
    """

    params: Params
    document: Document
    analyses: tuple[str, ...]
    modules: Mapping[str, Module[Any]]
    passes: tuple[Pass, ...]
    undecided: tuple[tuple[str, Problem], ...] = ()

    @property
    def base(self) -> Path:
        """Return the folder of params.json."""
        return self.document.base

    def check_categories(self, carried: Collection[str]) -> None:
        """Check the categories again when those of the loaded analyses are known.

        Raises
        ------
        ParamsError
            Where nothing makes a category and no analysis carries it.
        """
        problems = [problem for category, problem in self.undecided if category not in carried]
        if problems:
            raise ParamsError(self.document.file, problems)

    def describe(self) -> dict[str, list[tuple[str, ...]]]:
        """Return the plan as tables for people: rows of texts, by heading."""
        source, folders = self.params.recording, self.params.lussac
        recorded: list[tuple[str, ...]] = (
            [(source.recording_extractor, ", ".join(source.preprocessing) or "no preprocessing")] if source else []
        )
        sorters = self.params.spike_sorting.items()
        return {
            "recording": recorded,
            "spike sorting": [(name, run.sorter_name, ", ".join(run.preprocessing)) for name, run in sorters],
            "analyses": [(name, str(path)) for name, path in self.params.analyses.items()],
            "pipeline": [(order.label, order.module, order.selector.text, _given(order.params)) for order in self.passes],
            "folders": [("logs", str(folders.logs_folder)), ("scratch", str(folders.tmp_folder))],
        }


def compile_plan(document: Document, *, recording_given: bool = False, sortings_given: Collection[str] = ()) -> Plan:
    """Check params and put them in order.

    Parameters
    ----------
    document
        From `params.read` or `params.from_dict`.
    recording_given
        A recording is given as an object, so that the params may lack it.
    sortings_given
        Names of analyses that are given as objects.

    Raises
    ------
    ParamsError
        With everything that is wrong.
    """
    params, problems = check(document)
    # whatever is wrong, its name is known, and says nothing more about what refers to it
    names = (*sortings_given, *_keys(document, "analyses"), *_keys(document, "spike_sorting"))
    drafts, pipeline_problems = _drafts(params, document)
    unknown = _unknown_categories(drafts, document)
    may_carry = bool(params.analyses or sortings_given)
    checks = [
        *_recording_problems(params, document, recording_given=recording_given),
        *_analysis_problems(params, document, sortings_given),
        *_sorter_problems(params, document),
        *pipeline_problems,
        *([] if may_carry else [problem for _, problem in unknown]),
        *_sortings_problems(drafts, document, names),
        *_overlap_problems(drafts, document),
        *_place_problems(params, document, drafts),
    ]
    # what was left out because it is wrong itself may seem to be missing
    problems += tuple(one for one in checks if not any(other.path.startswith(f"{one.path}.") for other in problems))
    if problems:
        raise ParamsError(document.file, list(dict.fromkeys(problems)))
    passes = tuple(
        Pass(draft.step, draft.key, draft.name, selector, draft.params)
        for draft in drafts
        for selector in draft.selectors
        if draft.params is not None
    )
    used = {draft.name: draft.module for draft in drafts if draft.module}
    return Plan(params, document, names, used, passes, unknown)


class _Draft(NamedTuple):
    """A module on the categories of one key, before everything is known to be right."""

    step: int
    key: str
    name: str
    where: Keys
    selectors: tuple[Selector, ...]
    module: Module[Any] | None
    params: ModuleParams | None
    raw: Mapping[str, Any]

    @property
    def made(self) -> frozenset[str]:
        """Categories that the units may have afterwards; of a module that isn't known, whatever it could make."""
        if self.module is None:
            return frozenset(self.raw)
        made = set(self.raw) - set(self.module.params.model_fields) - {REMOVES_CATEGORIES}
        return frozenset(made) if self.name == CATEGORIZES else frozenset()


def _drafts(params: Params, document: Document) -> tuple[list[_Draft], list[Problem]]:
    """Read the pipeline module by module, category by category."""
    drafts: list[_Draft] = []
    problems: list[Problem] = []
    known = modules.names()
    for step, (key, categories) in enumerate(params.lussac.pipeline.items(), 1):
        name = module_name(key, known)
        if name not in known:
            problems.append(document.problem((*PIPELINE, key), f"there is no module '{key}'{_meant(key, known)}", key=True))
        elif not categories and name not in EMPTY_MEANS_ALL:
            message = f'names no category, so that it would do nothing; write "{key}": {{"all": {{}}}} for all units'
            problems.append(document.problem((*PIPELINE, key), message, key=True))
        module = modules.load(name) if name in known else None
        for category, raw in (categories or {EVERYTHING: {}}).items():
            where = (*PIPELINE, key, category)
            checked = validate(module.params, raw, where, document) if module else ()
            selectors, wrong = _selectors(category, where, document)
            problems += [*(checked if isinstance(checked, tuple) else ()), *wrong]
            valid = None if isinstance(checked, tuple) else checked
            drafts.append(_Draft(step, key, name, where, selectors, module, valid, raw))
    return drafts, problems


def module_name(key: str, known: Collection[str]) -> str:
    """Return ``remove_bad_units`` for ``remove_bad_units_2``."""
    return key if key in known else re.sub(r"_\d+$", "", key, flags=re.ASCII)


def _meant(key: str, known: Collection[str]) -> str:
    begun = [name for name in known if key.startswith(name)]
    return f"; to run {begun[0]} once more, write '{begun[0]}_2'" if begun else suggestion(module_name(key, known), known)


def _selectors(category: str, where: Keys, document: Document) -> tuple[tuple[Selector, ...], list[Problem]]:
    try:
        return Selector.parse_passes(category), []
    except ValueError as error:
        return (), [document.problem(where, f"{error}; write 'A+B' for one pass on both, 'A;B' for one pass on each", key=True)]


def _unknown_categories(drafts: Sequence[_Draft], document: Document) -> tuple[tuple[str, Problem], ...]:
    """Return the categories that no module makes before they are used, with what is wrong."""
    known = [EVERYTHING, REST]
    found: list[tuple[str, Problem]] = []
    for draft in drafts:
        for selector in draft.selectors:
            for category in selector.categories:
                if category not in known:
                    message = f"nothing before makes the category '{category}', and no analysis carries it"
                    found.append((category, document.problem(draft.where, message + suggestion(category, known), key=True)))
            known += sorted(draft.made.difference(known))
    return tuple(found)


def _sortings_problems(drafts: Sequence[_Draft], document: Document, names: Sequence[str]) -> Iterator[Problem]:
    """Check the names of analyses that a module is limited to."""
    fused = False
    for draft in drafts:
        known = [*names, MERGED] if fused else list(names)
        given = draft.raw.get("sortings")
        if given == []:
            message = "names no analysis, so that the module would do nothing; leave it out for all of them"
            yield document.problem((*draft.where, "sortings"), message)
        for index, name in enumerate(given if isinstance(given, list) else ()):
            if name not in known:
                at = (*draft.where, "sortings", index)
                yield document.problem(at, f"there is no analysis {name!r} here{suggestion(str(name), known)}")
        fused = fused or bool(draft.module and draft.module.fuses)


def _overlap_problems(drafts: Sequence[_Draft], document: Document) -> Iterator[Problem]:
    """Check that no unit is fused twice in one step."""
    earlier: list[tuple[_Draft, Selector]] = []
    for draft in drafts:
        for selector in draft.selectors if draft.module and draft.module.fuses else ():
            for other, before in earlier:
                if other.step == draft.step and selector.overlaps(before) and _share_a_sorting(other, draft):
                    message = f"'{selector.text}' and '{before.text}' share units, which {draft.name} can't fuse twice"
                    yield document.problem(draft.where, f"{message}; join them with '+', or drop one", key=True)
            earlier.append((draft, selector))


def _share_a_sorting(one: _Draft, other: _Draft) -> bool:
    if not (one.params and other.params and one.params.sortings and other.params.sortings):
        return True
    return not set(one.params.sortings).isdisjoint(other.params.sortings)


def _recording_problems(params: Params, document: Document, *, recording_given: bool) -> Iterator[Problem]:
    if params.recording is not None:
        for path, message in loading.problems(params.recording, document.base):
            yield document.problem(("recording", *path), message)
    elif not recording_given:
        yield document.problem(("recording",), "is missing: this section says how to read the recording")


def _analysis_problems(params: Params, document: Document, given: Collection[str]) -> Iterator[Problem]:
    """Check the names of all analyses, and that those that should exist do."""
    taken: dict[str, str] = dict.fromkeys(given, "the sorting that is given")
    for section in ("analyses", "spike_sorting"):
        for name in _keys(document, section):
            line = document.where((section, name), key=True).line
            if not re.fullmatch(r"[^./\\\0][^/\\\0]*", name) or name == MERGED:
                message = f"{name!r} can't be the name of an analysis: choose one without slashes and without a dot in front"
                yield document.problem((section, name), f"{message}, and not '{MERGED}'", key=True)
            if name in taken:
                yield document.problem((section, name), f"has the name of {taken[name]}; rename one of them", key=True)
            taken.setdefault(name, f"{section}.{name}" + (f" on line {line}" if line else ""))
    if not taken:
        yield document.problem(("analyses",), "there is no analysis: list sorters in spike_sorting, or sorted data in analyses")
    for name, path in params.analyses.items():
        try:
            analyses.recognise(path)
        except InputError as error:
            yield document.problem(("analyses", name), str(error))


def _sorter_problems(params: Params, document: Document) -> Iterator[Problem]:
    if not params.spike_sorting:
        return
    from lussac import sorters  # noqa: PLC0415 - SpikeInterface's sorters take a second to import

    for name, run in params.spike_sorting.items():
        where: Keys = ("spike_sorting", name)
        for path, message in (*sorters.problems(name, run), *preprocessing.step_problems(run.preprocessing, ("preprocessing",))):
            yield document.problem((*where, *path), message)


def _place_problems(params: Params, document: Document, drafts: Sequence[_Draft]) -> Iterator[Problem]:
    """Check that no folder that is written or removed holds something that is read or kept."""
    exports = [place for draft in drafts for place in _exports(draft, document.base)]
    folders = params.lussac
    caches = preprocessing.cache_folders(params.recording.preprocessing, document.base) if params.recording else ()
    every = [
        Place(("lussac", "logs_folder"), folders.logs_folder, Role.LOGS),
        Place(("lussac", "tmp_folder"), folders.tmp_folder, Role.SCRATCH),
        *_inputs(params, document),
        *(Place(("recording", "preprocessing", key), path, Role.CACHE) for key, path in caches),
        *_sorter_outputs(params, document.base),
        *exports,
    ]
    for outer, inner in places.conflicts(every):
        other = ".".join(map(str, inner.where)) or "the params themselves"
        message = f"{outer.path} would hold {inner.path} ({other}), but it is {outer.role.value}; choose another folder"
        yield document.problem(outer.where, message)
    for export in dict.fromkeys(exports):
        if not places.is_free(export.path, EXPORT_MARKER):
            message = f"{export.path} exists and was not written by Lussac; remove it, or choose another folder"
            yield document.problem(export.where, message)
    yield from _unwritable(every, document)


def _unwritable(every: Sequence[Place], document: Document) -> Iterator[Problem]:
    """Check that what will be written can be: who finds out after hours of sorting has lost them."""
    for place in dict.fromkeys(every):
        found = places.obstacle(place)
        if found is not None:
            what = "may not be written to" if found.is_dir() else "is a file"
            advice = inside.unwritable(found, inside.here())
            yield document.problem(place.where, f"{place.path} can't be written, for {found} {what}; {advice}")
        elif place.role is Role.LOGS:
            try:
                refuse_foreign(place.path)
            except FolderError as error:
                yield document.problem(place.where, str(error))


def _exports(draft: _Draft, base: Path) -> Iterator[Place]:
    """Return what each pass writes: a second pass to the same folder would replace what the first wrote."""
    for field in draft.module.exports if draft.module and draft.params else ():
        for _ in draft.selectors:
            yield Place((*draft.where, field), base / getattr(draft.params, field), Role.EXPORT)


def _inputs(params: Params, document: Document) -> Iterator[Place]:
    if document.keys:
        yield Place((), Path(document.file).absolute(), Role.INPUT)
    for name, path in params.analyses.items():
        yield Place(("analyses", name), path, Role.INPUT)
    if params.recording is None:
        return
    if params.recording.probe_file is not None:
        yield Place(("recording", "probe_file"), params.recording.probe_file, Role.INPUT)
    for key, value in params.recording.extractor_params.items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and text and os.path.exists(document.base / text):  # noqa: PTH110 - takes any text
                yield Place(("recording", "extractor_params", key), document.base / text, Role.INPUT)


def _sorter_outputs(params: Params, base: Path) -> Iterator[Place]:
    for name, run in params.spike_sorting.items():
        own = run.sorter_params
        key = "output_folder" if own.get("output_folder") else "folder"
        yield Place(("spike_sorting", name, "sorter_params", key), base / str(own.get(key) or f"analyses/{name}"), Role.RESULT)


def _keys(document: Document, section: str) -> tuple[str, ...]:
    named = document.data.get(section) if isinstance(document.data, dict) else None
    return tuple(named) if isinstance(named, dict) else ()


def _given(params: ModuleParams) -> str:
    """Return the parameters that the file names, in one line."""
    chosen = params.model_dump(mode="json", exclude_unset=True)
    return ", ".join(f"{name}: {value}" for name, value in chosen.items())
