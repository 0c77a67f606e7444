"""Compares two finished runs stage by stage: what is the same, what differs, and why."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from spikeinterface.core import BaseSorting

from lussac import sortings as srt
from lussac.algorithms.agreement import overall_agreement
from lussac.algorithms.timeline import Timeline
from lussac.jsonc import Document
from lussac.params import PARAMS_FOLDER
from lussac.pipeline.recorded import Recorded
from lussac.pipeline.walk import EXPORTS
from lussac.provenance import NUMERIC_LIBRARIES, Facts, differences
from lussac.sorters.catalogue import catalogue

State = Literal["identical", "agrees", "differs"]
Kind = Literal["input", "parameter", "version", "image", "machine", "chance"]
WINDOW_MS = 0.4
"""Largest distance of two spikes that are taken for one, as when sortings are scored."""
TOLERANCE = 0.9
"""Least agreement of what follows a sorter whose runs differ by chance: one unit more or less is a step for all of it."""
SAY_PLACES = frozenset({"log.txt", EXPORTS, "params.py", "recording.json"})
"""Files of a pass and of its exports that hold paths or times."""
SHOWN = 3
REVISION = "org.opencontainers.image.revision"
"""The label of Lussac's image with the commit that it was built from."""


class Reason(NamedTuple):
    """Why two stages differ: of which kind the difference is, and what it is."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """One stage in two runs.

    Parameters
    ----------
    stage
        ``recording``, the name of an analysis, or the label of a pass.
    state
        ``agrees``: not identical, which nobody promised, but as near as the tolerance asks.
    reasons
        What may be the reason of a difference; told of identical stages too.
    agreement, tolerance
        Of the two results, where they are compared by their spikes.
    """

    stage: str
    state: State
    reasons: tuple[Reason, ...] = ()
    agreement: float | None = None
    tolerance: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs to compare.

    Parameters
    ----------
    one, other
        The runs.
    names
        What each is called.
    """

    one: Recorded
    other: Recorded
    names: tuple[str, str] = ("A", "B")

    def rows(self) -> tuple[Row, ...]:
        """Return the recording, each analysis and each pass, in the order of the runs."""
        rows = [self._recording()]
        rows += [self._analysis(name) for name in dict.fromkeys((*self._analyses(0), *self._analyses(1)))]
        for label in dict.fromkeys((*self.one.steps, *self.other.steps)):
            rows.append(self._step(label, rows))
        return tuple(rows)

    def _analyses(self, which: int) -> Mapping[str, Any]:
        found: Mapping[str, Any] = (self.one, self.other)[which].record.get("analyses", {})
        return found

    def _recording(self) -> Row:
        if self.one.record["recording"] == self.other.record["recording"]:
            return Row("recording", "identical")
        return self._explained("recording", [*self._files(), *self._section("recording")] or [*self._libraries()])

    def _analysis(self, name: str) -> Row:
        first, second = (self._analyses(which).get(name) for which in (0, 1))
        runs = self.one.sorters.get(name), self.other.sorters.get(name)
        if first is None or second is None:
            return Row(name, "differs", (self._only("parameter", 1 if first is None else 0),))
        if runs[0] is None or runs[1] is None:
            reasons = [reason for reason in self._files() if name in reason.text] or [Reason("input", "another sorting")]
            return Row(name, "identical") if first == second else Row(name, "differs", tuple(reasons))
        return self._sorter(name, runs[0], runs[1], same=first == second)

    def _sorter(self, name: str, one: Facts, other: Facts, *, same: bool) -> Row:
        reasons = [*self._sorter_reasons(name, one, other)]
        if same:
            return Row(name, "identical", tuple(reasons))
        agreement = self._agreement(self.one.sorting(one, name), self.other.sorting(other, name))
        row = catalogue().get(one["sorter"])
        if row is None or row.deterministic != "no" or reasons:
            return self._explained(name, reasons, agreement)
        chance = Reason("chance", f"no two runs of {one['sorter']} are promised to be identical")
        is_near = agreement is not None and agreement >= row.agreement
        return Row(name, "agrees" if is_near else "differs", (chance,), agreement, row.agreement)

    def _sorter_reasons(self, name: str, one: Facts, other: Facts) -> Iterator[Reason]:
        """Return what could make two runs of a sorter differ, but for the machine."""
        if self.one.record["recording"]["hash"] != self.other.record["recording"]["hash"]:
            yield Reason("input", "another recording, see above")
        settings = [{"sorter": run["sorter"], **_chosen(run)} for run in (one, other)]
        yield from self._changes("parameter", "", *settings)
        sections = (_without_base(run.document)["spike_sorting"] for run in (self.one, self.other))
        preprocessing = [section[name].get("preprocessing", {}) for section in sections]
        yield from self._changes("parameter", "preprocessing.", *preprocessing)
        images = [run.get("image", {}) for run in (one, other)]
        if images[0].get("rootfs") != images[1].get("rootfs"):
            yield from self._changes("version", "", *(run.get("versions", {}) for run in (one, other)))
            names = [f"{image.get('requested')} ({image.get('rootfs')})" for image in images]
            yield from self._changes("image", "", {"image": names[0]}, {"image": names[1]})
        yield from self._changes("machine", "", {"gpu": one.get("gpu")}, {"gpu": other.get("gpu")})

    def _step(self, label: str, before: Sequence[Row]) -> Row:
        first, second = self.one.steps.get(label), self.other.steps.get(label)
        if first is None or second is None:
            return Row(label, "differs", (self._only("parameter", 1 if first is None else 0),))
        changed = _changed(first, second)
        same = first["results"] == second["results"]
        own = [*self._step_reasons(first, second)]
        if same and not changed:
            return Row(label, "identical", tuple(own))
        names = [name for name in first["results"] if name in second["results"]]
        found = [self._agreement(self.one.sorting(first, name), self.other.sorting(second, name)) for name in names]
        agreement = min((one for one in found if one is not None), default=None)
        upstream = [Reason("input", f"{row.stage}, see above") for row in before if row.state != "identical"]
        if upstream and not own and all(row.state != "differs" for row in before):
            is_near = len(names) == len(first["results"]) == len(second["results"]) and (agreement or 0.0) >= TOLERANCE
            return Row(label, "agrees" if is_near else "differs", tuple(upstream[:1]), agreement, TOLERANCE)
        files = [Reason("chance", f"same sortings, other files: {', '.join(changed[:SHOWN])}")] if same else []
        return self._explained(label, [*own, *upstream[:1], *files], agreement)

    def _step_reasons(self, first: Facts, second: Facts) -> Iterator[Reason]:
        """Return what could make two passes differ, but for their input and the machine."""
        yield from self._changes("parameter", "", *(_settings(step) for step in (first, second)))
        yield from self._changes("version", f"{first['module']} ", {"version": first["version"]}, {"version": second["version"]})
        yield from self._libraries()

    def _explained(self, stage: str, reasons: Sequence[Reason], agreement: float | None = None) -> Row:
        """Return a stage that differs; Lussac itself and the machine are named where nothing else is."""
        return Row(stage, "differs", tuple(reasons) or tuple(self._surroundings()), agreement)

    def _only(self, kind: Kind, which: int) -> Reason:
        return Reason(kind, f"only in {self.names[which]}")

    def _files(self) -> Iterator[Reason]:
        """Return the inputs of the same name that hold something else."""
        runs = self.one, self.other
        first, second = ({Path(facts["path"]).name: facts["sha256"] for facts in run.record["inputs"]} for run in runs)
        for name in sorted(first.keys() & second.keys()):
            if first[name] != second[name]:
                yield Reason("input", f"{name} holds something else")

    def _section(self, name: str) -> Iterator[Reason]:
        sections = (_without_base(run.document).get(name, {}) for run in (self.one, self.other))
        return self._changes("parameter", f"{name}.", *sections)

    def _libraries(self) -> Iterator[Reason]:
        versions = [run.record["software"]["libraries"] for run in (self.one, self.other)]
        numeric = ({name: one.get(name, "absent") for name in NUMERIC_LIBRARIES} for one in versions)
        return self._changes("version", "", *numeric)

    def orchestrators(self) -> Iterator[Reason]:
        """Return in which images Lussac itself ran, where these are not one."""
        images = [run.record["software"].get("image") or None for run in (self.one, self.other)]
        if not is_one_image(*images):
            told = (f"{_named(image)} in {name}" for image, name in zip(images, self.names, strict=True))
            yield Reason("image", f"Lussac itself ran {', '.join(told)}")

    def _surroundings(self) -> Iterator[Reason]:
        """Return what a result should not depend on: all other versions, the image of Lussac, and the machine."""
        runs = self.one, self.other
        software = ({key: value for key, value in run.record["software"].items() if key != "image"} for run in runs)
        found = [*self._changes("version", "", *software), *self.orchestrators()]
        hosts = [{key: value for key, value in run.record["host"].items() if key != "name"} for run in runs]
        found += self._changes("machine", "", *hosts)
        yield from found or [Reason("chance", "nothing that is recorded differs")]

    def _changes(self, kind: Kind, prefix: str, one: Facts, other: Facts) -> Iterator[Reason]:
        for path, first, second in differences(one, other):
            yield Reason(kind, f"{prefix}{path}: {first} in {self.names[0]}, {second} in {self.names[1]}")

    def _agreement(self, one: BaseSorting | None, other: BaseSorting | None) -> float | None:
        """Return the agreement of two sortings of the recording; None where one was not kept."""
        if one is None or other is None:
            return None
        recording = self.one.record["recording"]
        timeline = Timeline(tuple(recording["samples"]))
        first, second = ([*srt.trains(sorting, timeline).values()] for sorting in (one, other))
        return overall_agreement(first, second, round(WINDOW_MS * recording["sampling_frequency"] / 1e3))


def _without_base(document: Document) -> Any:  # noqa: ANN401 - JSON has no better type
    """Return params as they are written: two folders of equal runs are no difference."""
    return document.map_strings(lambda text: text.replace(str(document.base), PARAMS_FOLDER)).data


def _chosen(run: Facts) -> dict[str, Any]:
    """Return the parameters of a sorter without the seed that follows from the others."""
    row = catalogue().get(run["sorter"])
    derived = {row.seed: run.get("seed")} if row else {}
    return {key: value for key, value in run.get("parameters", {}).items() if derived.get(key, "none") != value}


def _settings(step: Facts) -> dict[str, Any]:
    """Return the parameters of a pass without the folders that it writes to."""
    return {key: value for key, value in step["params"].items() if value not in step.get("exports", ())}


def _changed(first: Facts, second: Facts) -> list[str]:
    """Return the files of a pass and of its exports that are not the same in both runs, less those that hold paths or times."""
    one, other = (_outputs(step) for step in (first, second))
    return [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]


def _outputs(step: Facts) -> dict[str, str]:
    """Return the hashes of what a pass wrote, by the path inside its own folder or its export's."""
    roots = [Path(folder) for folder in (step.get("folder"), *step.get("exports", ())) if folder]
    found: dict[str, str] = {}
    for facts in step.get("outputs", ()):
        path = Path(facts["path"])
        inside = next((path.relative_to(root) for root in roots if path.is_relative_to(root)), path)
        found |= {str(inside): facts["sha256"]} if inside.name not in SAY_PLACES else {}
    return found


def is_one_image(one: Facts | str | None, other: Facts | str | None) -> bool:
    """Tell whether two records name one image of Lussac, by what both know of it; pure.

    The hash of an image file and that of docker's layers can't be compared: then the labels tell.
    """
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        return one == other
    kinds = {image["rootfs"].partition(":")[0] for image in (one, other)}
    if len(kinds) == 1 and kinds != {""}:
        return bool(one["rootfs"] == other["rootfs"])
    shared = one["labels"].keys() & other["labels"].keys()
    return all(one["labels"][name] == other["labels"][name] for name in shared)


def _named(image: Facts | str | None) -> str:
    """Return how a record names an image of Lussac, in words."""
    if image is None:
        return "outside of its image"
    if not isinstance(image, Mapping):
        return f"in {image}"  # a record of a version that knew the name only
    known = image["rootfs"] or image["labels"].get(REVISION, "")
    return f"in {image['requested']}" + (f" ({known})" if known else "")


def first_difference(rows: Sequence[Row]) -> Row | None:
    """Return the first stage that differs."""
    return next((row for row in rows if row.state == "differs"), None)
