"""The four sections of params.json as frozen models, the types that parameters have, and how the file is read."""

import json
import os
from collections.abc import Mapping
from json import detect_encoding
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationInfo,
    field_validator,
)

from lussac import inside, jsonc
from lussac.errors import InputError, ParamsError, Problem
from lussac.jsonc import Document
from lussac.validation import salvage

PARAMS_FOLDER = "$PARAMS_FOLDER"
LONGEST_PATH, LONGEST_NAME = 4095, 255
LARGEST_FILE = 1 << 24  # bytes: whoever gives a recording by mistake need not wait until it is read

LOCK = "params.lock.json"
"""Beside params.json: the images that its sorters may run in."""


class Strict(BaseModel):
    """Base of all parameters: frozen, no unknown keys, finite numbers.

    Where a field's default is itself such a model, values given for some of its fields leave the default's other fields as they
    are: ``{"ms_before": 2}`` changes nothing but ``ms_before``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    @field_validator("*", mode="after")
    @classmethod
    def _keep_defaults(cls, value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - fields have all types
        default = cls.model_fields[str(info.field_name)].get_default(call_default_factory=True, validated_data=info.data)
        return value.over(default) if isinstance(value, Strict) and type(value) is type(default) else value

    def over(self, default: Self) -> Self:
        """Return a copy that takes every field that was not given from a default."""

        def chosen(name: str) -> Any:  # noqa: ANN401 - fields have all types
            ours, theirs = getattr(self, name), getattr(default, name)
            if name not in self.model_fields_set:
                return theirs
            return ours.over(theirs) if isinstance(ours, Strict) and type(ours) is type(theirs) else ours

        given = self.model_fields_set
        return type(self).model_construct(set(given), **{name: chosen(name) for name in type(self).model_fields})


def _ascending(pair: tuple[float | None, float | None]) -> tuple[float | None, float | None]:
    low, high = pair
    if low is not None and high is not None and low >= high:
        raise ValueError(f"the first value must be below the second, not [{low:g}, {high:g}]")
    return pair


def _not_descending(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"the first value can't exceed the second, not [{pair[0]:g}, {pair[1]:g}]")
    return pair


def _absolute(path: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("base", Path())
    try:
        absolute = Path(os.path.abspath(base / path.expanduser()))  # noqa: PTH100 - resolve() would follow links
    except RuntimeError as error:
        raise ValueError(f"there is no such home: {path}") from error
    if len(os.fsencode(absolute)) > LONGEST_PATH or any(len(os.fsencode(name)) > LONGEST_NAME for name in absolute.parts):
        raise ValueError(f"is too long for a path: {LONGEST_PATH} bytes at most, {LONGEST_NAME} for each name in it")
    return absolute


def _whole(number: Any) -> Any:  # noqa: ANN401 - what is no number is refused later
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _processes(number: float) -> float:
    if number == -1 or 0 < number <= 1 or (number > 1 and float(number).is_integer()):
        return int(number) if number > 1 else number
    raise ValueError(f"must be a count of processes, a fraction of the cores, or -1 for all cores, not {number:g}")


Milliseconds = Annotated[float, Field(ge=0)]
Hertz = Annotated[float, Field(ge=0)]
Micrometers = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1), BeforeValidator(_whole)]
"""At least one; ``500.`` and ``1e3`` are whole numbers too."""
Samples = Annotated[int, Field(ge=0), BeforeValidator(_whole)]
Band = Annotated[tuple[Hertz | None, Hertz | None], AfterValidator(_ascending)]
"""Low and high cutoff of a band-pass; null for none."""
Periods = Annotated[tuple[Milliseconds, Milliseconds], AfterValidator(_not_descending)]
"""Censored and refractory period."""
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
"""Made absolute: a relative path starts at the folder of params.json."""
Arguments = Mapping[str, JsonValue]
"""Arguments of a function of another library."""


class WaveformExtraction(Strict):
    """How waveforms and templates are taken."""

    ms_before: Milliseconds = 1.0
    """Length before the spike (ms)."""
    ms_after: Milliseconds = 1.0
    """Length after the spike (ms)."""
    max_spikes_per_unit: Count = 500
    """Random spikes per unit (all of a unit that has fewer)."""
    filter_band: Band | None = Field(default=None, validation_alias=AliasChoices("filter_band", "filter"))
    """Low and high cutoff of a Gaussian band-pass (Hz); null: no filter."""


class RecordingParams(Strict):
    """The recording and how it is prepared."""

    recording_extractor: str
    """Name in SpikeInterface: the short one ("binary") or the class ("BinaryRecordingExtractor"), in any case."""
    extractor_params: Arguments = {}
    """Arguments of the extractor."""
    probe_file: AbsolutePath | None = None
    """ProbeInterface file; not needed where the recording knows its probe."""
    preprocessing: Mapping[str, Arguments | str] = {}
    """Functions of spikeinterface.preprocessing, in order, with their arguments; also remove_bad_channels and cache."""


class SorterParams(Strict):
    """A run of a spike sorter."""

    sorter_name: str
    """Name of the sorter in SpikeInterface."""
    preprocessing: Mapping[str, Arguments | str] = {}
    """As in the recording, for this sorter only."""
    sorter_params: Arguments = {}
    """The sorter's own parameters, and those of the run: output_folder, docker_image, singularity_image, ..."""


class JobParams(Strict):
    """How SpikeInterface shares its work among processes."""

    n_jobs: Annotated[int | float, AfterValidator(_processes)] = 1
    """A count, a fraction of the cores, or -1 for all cores."""
    chunk_size: Count | None = None
    """Samples read at once."""
    chunk_duration: str | Annotated[float, Field(gt=0)] | None = None
    """The same as a time: "1s", "500ms", or seconds."""
    chunk_memory: str | None = None
    """The same as memory per process: "500M"."""
    total_memory: str | None = None
    """The same as memory of all processes: "4G"."""
    max_threads_per_worker: Count | None = None
    """Threads of each process."""
    pool_engine: Literal["process", "thread"] | None = None
    """Whether the work is shared among processes or threads."""
    mp_context: Literal["spawn", "fork", "forkserver"] | None = None
    """How processes start."""
    progress_bar: bool = False
    """SpikeInterface's own progress bars."""
    verbose: bool = False
    """Accepted as in older files; what Lussac says is chosen on the command line."""

    def kwargs(self) -> dict[str, object]:
        """Return what SpikeInterface takes."""
        return self.model_dump(exclude_none=True, exclude={"verbose"})


class LussacParams(Strict):
    """What is done with the analyses, and where."""

    logs_folder: AbsolutePath = Field(default="lussac/logs", validate_default=True)
    """Where everything about the run is kept; made if missing, and read by the next run."""
    tmp_folder: AbsolutePath = Field(default="lussac/tmp", validate_default=True)
    """Scratch space, best on a fast disk; removed at the end."""
    si_global_job_kwargs: JobParams = JobParams()
    """Job arguments of SpikeInterface."""
    overwrite_logs: bool = False
    """Delete what an earlier run left in the logs folder and start from scratch."""
    logs_level: Annotated[int, Field(ge=0, le=3)] = 2
    """0: only the log; 1: the sortings of each step; 2: tables and the report too; 3: at present the same as 2."""
    pipeline: Mapping[str, Mapping[str, Arguments]] = {}
    """Modules in the order in which they run: {module: {category: {parameters}}}."""


class Params(Strict):
    """The whole file."""

    recording: RecordingParams | None = None
    """The recording."""
    spike_sorting: Mapping[str, SorterParams] = {}
    """Sorters to run, by the name of the analysis that each makes."""
    analyses: Mapping[str, AbsolutePath] = {}
    """Analyses that exist already: Phy folders, and files or folders of SpikeInterface."""
    lussac: LussacParams = Field(default={}, validate_default=True)
    """What is done with the analyses."""


def read(path: str | Path) -> Document:
    """Read a params.json; its values are checked by `check`.

    Raises
    ------
    InputError
        Where the file can't be read.
    ParamsError
        Where it is no JSON with comments.
    """
    file = str(path)
    try:
        if Path(path).stat().st_size > LARGEST_FILE:
            raise InputError(f"{file} is too large for a params.json. Give the path of a params.json; `lussac init` writes one.")
        content = Path(path).read_bytes()
    except OSError as error:
        advice = inside.missing_params(Path(path), inside.here())
        raise InputError(f"{file}: {error.strerror}. {advice}") from error
    return in_folder(jsonc.parse(_decoded(content, file), file))


def from_dict(mapping: Mapping[str, Any], base: str | Path) -> Document:
    """Take params as a dict; relative paths and ``$PARAMS_FOLDER`` mean the folder ``base``.

    Raises
    ------
    ParamsError
        Where a value is something that JSON can't hold.
    """
    try:
        text = json.dumps(mapping, default=_plain, allow_nan=False, indent=2)
    except (TypeError, ValueError) as error:
        raise ParamsError("params", [Problem(0, 0, "", f"{error}; params hold only what JSON can hold")]) from error
    return in_folder(Document("params", Path(base).absolute(), text, json.loads(text)))


def check(document: Document) -> tuple[Params, tuple[Problem, ...]]:
    """Check the four sections.

    Returns
    -------
    The part of the params that is right, and every problem with the rest.
    """
    return salvage(Params, document)


def _decoded(content: bytes, file: str) -> str:
    encoding = detect_encoding(content)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        before = content[: error.start].decode(encoding, "replace")
        place = before.count("\n") + 1, len(before) - before.rfind("\n")
        message = f"the byte 0x{content[error.start]:02x} is no {error.encoding}; save the file as UTF-8"
        raise ParamsError(file, [Problem(*place, "", message)]) from None


def in_folder(document: Document) -> Document:
    """Return a document in which ``$PARAMS_FOLDER`` is the folder of the document."""
    return document.map_strings(lambda text: text.replace(PARAMS_FOLDER, str(document.base)))


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a caller puts into a dict
    """Return paths as texts and NumPy's numbers and arrays as Python's."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{value!r} is a {type(value).__name__}")
