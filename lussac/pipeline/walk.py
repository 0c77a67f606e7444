"""The way through the pipeline: what each pass is given, which stored result is its own, and what its result leaves for the next.

Run, check and status share it. Nothing here touches the disk but by the store, and nothing is decided anywhere else.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from spikeinterface.core import BaseSorting

from lussac import sortings as srt
from lussac.modules import EXPORT_MARKER
from lussac.modules.base import Module, ModuleParams, Sortings
from lussac.provenance import NUMERIC_LIBRARIES, versions
from lussac.store import Committed, Store, content_key, file_hash
from lussac.units import Selector

SORTINGS = "sortings"
EXPORTS = "exports.json"


class Pass(Protocol):
    """What the walk has to know of a pass of the plan."""

    @property
    def step(self) -> int:
        """Which key of the pipeline this pass belongs to, counted from 1."""

    @property
    def label(self) -> str:
        """Name for people and folders."""

    @property
    def module(self) -> str:
        """Name of the module."""

    @property
    def selector(self) -> Selector:
        """The category that it works on."""

    @property
    def params(self) -> ModuleParams:
        """Parameters, defaults filled in."""


@dataclass(frozen=True)
class Node:
    """One pass, with all that its result depends on.

    Parameters
    ----------
    order
        The pass of the plan.
    module
        What it runs.
    before
        The analyses that it works on, whole, in the order of their names.
    common
        What the results of all passes depend on.
    """

    order: Pass
    module: Module[Any]
    before: Sortings
    common: Mapping[str, object]

    @cached_property
    def given(self) -> Sortings:
        """The units of the category."""
        return {name: srt.select(sorting, self.order.selector) for name, sorting in self.before.items()}

    def unselected(self, name: str) -> BaseSorting:
        """Return the units of an analysis that the pass doesn't touch."""
        selected = set(srt.unit_ids(self.given[name]))
        return srt.keep(self.before[name], [unit for unit in srt.unit_ids(self.before[name]) if unit not in selected])

    @cached_property
    def hashes(self) -> dict[str, str]:
        """Content hashes of what it is given; a module that fuses never sees the units of other categories."""
        inputs = self.given if self.module.fuses else self.before
        return {name: srt.content_hash(sorting) for name, sorting in inputs.items()}

    @cached_property
    def ingredients(self) -> dict[str, object]:
        """All that the result depends on, and where it is exported to."""
        return self._content(exclude=set())

    def _content(self, exclude: set[str]) -> dict[str, object]:
        """Return the ingredients without some parameters. Their order may have a meaning, so they stay a list of pairs."""
        return {
            "kind": "step",
            "module": self.order.module,
            "version": self.module.version,
            "selector": self.order.selector.text,
            "params": _ordered(self.order.params.model_dump(mode="json", exclude={"sortings", *exclude})),
            "inputs": self.hashes,
            **self.common,
        }

    @cached_property
    def key(self) -> str:
        """Names the result by its content."""
        return content_key(self.ingredients)

    @property
    def seed(self) -> int:
        """For every random choice of the pass: equal content gives equal choices, in whatever folder it is exported to."""
        return int(content_key(self._content(exclude=set(self.module.exports)))[:8], 16) & 0x7FFFFFFF

    def results(self, outcome: Sortings) -> dict[str, BaseSorting]:
        """Return what the pass leaves: the analyses with their untouched units, or, where it fuses, the fused units alone."""
        if self.module.fuses:
            return dict(outcome)
        return {
            name: srt.gather(sorting, self.given[name], outcome.get(name, srt.keep(sorting, [])))
            for name, sorting in self.before.items()
        }


def _ordered(value: object) -> object:
    if isinstance(value, dict):
        return [[key, _ordered(inner)] for key, inner in value.items()]
    return [_ordered(inner) for inner in value] if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class State:
    """The analyses between two passes.

    Parameters
    ----------
    sortings
        All analyses.
    fused
        What the passes of the current step have fused so far: not an input of the following passes of this step.
    spent
        Analyses that passes of the current step took all units of; they disappear when it ends, not before: a following pass
        has to know how many analyses there are.
    step
        The current step.
    """

    sortings: Sortings
    fused: Sortings = field(default_factory=dict)
    spent: frozenset[str] = frozenset()
    step: int = 0

    def entering(self, step: int) -> "State":
        """Return the state that the first pass of a step finds: what the step before has fused is an analysis now."""
        if step == self.step:
            return self
        left = {name: sorting for name, sorting in self.sortings.items() if name not in self.spent}
        return State(_joined(left, self.fused), step=step)

    def before(self, order: Pass) -> dict[str, BaseSorting]:
        """Return the analyses that a pass works on, in the order of their names."""
        names = self.sortings if order.params.sortings is None else order.params.sortings
        return {name: self.sortings[name] for name in sorted(names) if name in self.sortings}

    def after(self, node: Node, results: Sortings) -> "State":
        """Return the state that a pass leaves."""
        if not node.module.fuses:
            return replace(self, sortings={**self.sortings, **results})
        left = {name: node.unselected(name) for name in node.before}
        spent = self.spent.union(name for name, sorting in left.items() if sorting.get_num_units() == 0)
        return State({**self.sortings, **left}, _joined(self.fused, results), spent, self.step)


def _joined(first: Sortings, second: Sortings) -> dict[str, BaseSorting]:
    """Return both, with the units of a sorting that is in both put together."""
    both = dict(first)
    for name, sorting in second.items():
        both[name] = srt.gather(both[name], srt.keep(both[name], []), sorting) if name in both else sorting
    return both


@dataclass(frozen=True, slots=True)
class Visit:
    """What the walk found at one pass.

    Parameters
    ----------
    node
        The pass and its inputs.
    found
        The stored result that was taken, or None.
    results
        What the pass left; None where it has still to be performed, and then the walk ends here.
    state
        All analyses after this pass.
    """

    node: Node
    found: Committed | None
    results: Sortings | None
    state: State


Perform = Callable[[Node], Sortings | None]


@dataclass(frozen=True, slots=True)
class Route:
    """All that the walk goes through.

    Parameters
    ----------
    passes
        Of the plan, in order.
    modules
        By name.
    start
        The analyses before the first pass.
    recording_hash
        Of the preprocessed recording.
    """

    passes: Sequence[Pass]
    modules: Mapping[str, Module[Any]]
    start: Sortings
    recording_hash: str

    def common(self) -> dict[str, object]:
        """Return what the results of all passes depend on."""
        return {"recording": self.recording_hash, "libraries": versions(NUMERIC_LIBRARIES)}


def walk(route: Route, store: Store, perform: Perform) -> Iterator[Visit]:
    """Go through the passes in their order.

    Parameters
    ----------
    route
        The passes and what they start from.
    store
        Where finished passes are looked up.
    perform
        Does a pass that isn't stored and returns its results, or None to end the walk.
    """
    state, common = State(route.start), route.common()
    for order in route.passes:
        state = state.entering(order.step)
        node = Node(order, route.modules[order.module], state.before(order), common)
        found = usable(store, node)
        results = load(found) if found else perform(node)
        if results is not None:
            state = state.after(node, results)
        yield Visit(node, found, results, state)
        if results is None:
            return


def final(state: State) -> Sortings:
    """Return the analyses at the end of the pipeline."""
    return state.entering(-1).sortings


def usable(store: Store, node: Node) -> Committed | None:
    """Return the stored result of a pass, unless something that it exported is gone, or another export has taken its place."""
    found = store.find(node.key)
    return found if found and all(map(_stands, exported(found))) else None


def _stands(facts: Mapping[str, Any]) -> bool:
    """Tell whether an exported file is there; only the marker tells whose it is, for users edit the others."""
    file = Path(facts["path"])
    return file.is_file() and (file.name != EXPORT_MARKER or file_hash(file) == facts["sha256"])


def exported(found: Committed) -> list[dict[str, Any]]:
    """Return path, size and sha256 of the files that a stored pass wrote outside the logs."""
    file = found.folder / EXPORTS
    return json.loads(file.read_text()) if file.is_file() else []


def save(results: Sortings, exports: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write what `load` and `exported` read."""
    (folder / SORTINGS).mkdir()
    for name, sorting in results.items():
        srt.save(sorting, folder / SORTINGS / name)
    if exports:
        (folder / EXPORTS).write_text(json.dumps(exports, indent=1) + "\n")


def load(found: Committed) -> dict[str, BaseSorting]:
    """Return the results of a stored pass."""
    return {folder.name: srt.load(folder) for folder in sorted((found.folder / SORTINGS).iterdir())}
