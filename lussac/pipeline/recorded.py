"""A finished run, as its logs folder tells it; nothing here writes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from spikeinterface.core import BaseSorting

from lussac import jsonc, params
from lussac import sortings as srt
from lussac.errors import InputError
from lussac.jsonc import Document
from lussac.pipeline.log import LOG_FILE
from lussac.pipeline.walk import SORTINGS
from lussac.provenance import RECORD, read_record
from lussac.sorters.folder import SORTING
from lussac.store import MARKER, file_hash

PARAMS_FILE = "params.json"
"""The copy of the params in the logs folder."""


@dataclass(frozen=True)
class Recorded:
    """The latest run of a logs folder, which came to its end.

    Parameters
    ----------
    folder
        The logs folder.
    record
        What its ``provenance.json`` holds.
    """

    folder: Path
    record: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the record of a logs folder.

        Raises
        ------
        InputError
            It has no record of a run that came to its end.
        """
        folder = folder.absolute()
        if not (folder / MARKER).is_file():
            raise InputError(f"{folder} is no logs folder of Lussac. Give the logs_folder of a run.")
        record = read_record(folder)
        if record.get("status") != "done":
            state = record.get("status", "without a readable record")
            raise InputError(f"The latest run in {folder} is {state} ({RECORD}, {LOG_FILE}). Run it to its end first.")
        return cls(folder, record)

    def path(self, recorded: str) -> Path:
        """Return where a file of the record is now.

        A logs folder that was moved together with its data, or that a container knew by another name, says paths that are no
        more: what both names of the folder end in is the same, so what they begin with tells how the others have changed.
        """
        path = Path(recorded)
        before, now = self._moved
        if path.is_relative_to(before) and (moved := now / path.relative_to(before)).exists():
            return moved
        return path

    @cached_property
    def _moved(self) -> tuple[Path, Path]:
        before, now = Path(self.record.get("logs_folder", self.folder)), self.folder
        while before != now and before.name == now.name:
            before, now = before.parent, now.parent
        return before, now

    @property
    def sorters(self) -> Mapping[str, Mapping[str, Any]]:
        """The sorters that gave a result, by the name of the analysis."""
        return {run["name"]: run for run in self.record["sorters"] if run["outcome"] in ("done", "reused", "stale")}

    @property
    def steps(self) -> Mapping[str, Mapping[str, Any]]:
        """The passes by label, in their order."""
        return {step["label"]: step for step in self.record["steps"]}

    @cached_property
    def document(self) -> Document:
        """The params as they were run, from the copy in the logs folder.

        Raises
        ------
        InputError
            The copy is gone or was changed.
        """
        file, said = self.folder / PARAMS_FILE, self.record["params"]
        if not file.is_file() or file_hash(file) != said["sha256"]:
            raise InputError(f"{file} is not the copy of the params that the run left there. Put it back, and try again.")
        original = Path(said["file"])
        base = self.path(said.get("folder", str(original.absolute().parent)))
        return params.in_folder(jsonc.parse(file.read_text(encoding="utf-8"), str(base / original.name)))

    def sorting(self, stage: Mapping[str, Any], name: str) -> BaseSorting | None:
        """Return what a sorter or a pass gave; None where it was not kept."""
        folder = self.path(stage.get("folder") or "/nowhere")
        place = folder / SORTING if "sorter" in stage else folder / SORTINGS / name
        return srt.load(place) if (place / srt.SPIKES_FILE).is_file() else None

    def outputs(self, stage: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
        """Return where each file that a sorter or a pass wrote should be, and its sha256."""
        for facts in stage.get("outputs", ()):
            yield self.path(facts["path"]), facts["sha256"]
