"""The recording: read with any extractor of SpikeInterface, preprocessed, identified by its content, written for sorters."""

import hashlib
import inspect
import json
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import probeinterface
import spikeinterface
import spikeinterface.extractors as se
import spikeinterface.preprocessing as spre
from spikeinterface.core import BaseRecording, BinaryFolderRecording, get_random_data_chunks
from spikeinterface.core.core_tools import SIJsonEncoder, is_path_remote
from spikeinterface.core.job_tools import fix_job_kwargs
from spikeinterface.core.time_series_tools import get_random_sample_slices
from spikeinterface.preprocessing.filter import adjust_margin_ms_for_highpass

from lussac.algorithms.timeline import Timeline
from lussac.errors import FolderError, InputError
from lussac.params import RecordingParams, suggestion

Steps = Mapping[str, Any]
"""Preprocessing: names of functions to their arguments, in order."""

BAD_CHANNELS, CACHE = "remove_bad_channels", "cache"
CHUNK_SECONDS = 1.0
"""Traces are filtered, hashed and written in pieces of this length, whatever the job kwargs say: the bytes depend on it."""
CACHE_MARKER = "lussac-cache.json"

_EXTRACTOR_ALIASES = {"bindat": "binary"}
_STEP_ALIASES = {"gaussian_bandpass_filter": "gaussian_filter", "blank_staturation": "blank_saturation"}
_MORE_STEPS = ("causal_filter", "correct_lsb", "correct_motion", "scale_to_uV")
_KEYWORDS = {  # where the keywords go that a function of spikeinterface passes on
    "detect_bad_channels_kwargs": spre.detect_bad_channels,
    "filter_kwargs": spre.filter,
    "random_chunk_kwargs": get_random_data_chunks,
    "random_slices_kwargs": get_random_sample_slices,
}
_PATH_ENDINGS = ("path", "paths", "file", "files", "folder", "folders")

Problem = tuple[tuple[str, ...], str]
"""Keys that lead from the section `recording` to a value, and what is wrong with it."""


def timeline(recording: BaseRecording) -> Timeline:
    """Return the segments of a recording, one after the other."""
    return Timeline(tuple(recording.get_num_samples(index) for index in range(recording.get_num_segments())))


def load(params: RecordingParams, base: Path, log: logging.Logger) -> BaseRecording:
    """Read the recording as it was recorded, with its probe and in microvolts.

    Parameters
    ----------
    params
        The section `recording`; its preprocessing is left to `preprocess`.
    base
        Relative paths start here.
    log
        Is told what had to be assumed.

    Raises
    ------
    InputError
        Where the recording or its probe can't be read, or don't fit each other.
    """
    found = problems(params, base)
    if found:
        raise InputError("\n".join(f"recording.{'.'.join(path)}: {message}" for path, message in found))
    read = extractors()[_short_name(params.recording_extractor)]
    try:
        recording = read(**absolute_paths(params.extractor_params, base))
    except Exception as error:  # forty file formats raise whatever they like
        raise InputError(
            f"The recording can't be read with the extractor {params.recording_extractor!r}: {_reason(error)}. "
            "Check the extractor and its extractor_params."
        ) from error
    _check_samples(recording)
    if params.probe_file is not None:
        _attach_probe(recording, params.probe_file, log)
    if not recording.has_probe():
        raise InputError(
            "The recording has no probe, so that the places of its channels are unknown. "
            "Write one with probeinterface.write_probeinterface and name it in recording.probe_file."
        )
    return in_microvolts(recording, log)


def in_microvolts(recording: BaseRecording, log: logging.Logger) -> BaseRecording:
    """Return a recording that has gains and offsets; where they are missing, one unit is taken for 1 uV."""
    if recording.has_scaleable_traces():
        return recording
    complete = recording.clone() if recording.check_serializability("memory") else recording
    if recording.get_channel_gains() is None:
        log.warning(
            "The recording doesn't say its gain: one unit is taken for 1 uV. If that is wrong, give gain_to_uV and offset_to_uV."
        )
        complete.set_channel_gains(1.0)
    if recording.get_channel_offsets() is None:
        complete.set_channel_offsets(0.0)
    return complete


def problems(params: RecordingParams, base: Path) -> list[Problem]:
    """Return all that is wrong with the section, as far as it shows without reading the recording."""
    found = [*_extractor_problems(params, base), *step_problems(params.preprocessing or {}, ("preprocessing",))]
    if params.probe_file is not None and not params.probe_file.is_file():
        found.append((("probe_file",), f"no such file: {params.probe_file}"))
    return found


def _extractor_problems(params: RecordingParams, base: Path) -> Iterator[Problem]:
    known = extractors()
    name = _short_name(params.recording_extractor)
    if name not in known:
        yield ("recording_extractor",), f"{params.recording_extractor!r} is no recording extractor{suggestion(name, known)}"
        return
    yield from _argument_problems(known[name], params.extractor_params, ("extractor_params",), skip=())
    for key, value in absolute_paths(params.extractor_params, base).items():
        for path in _strings(value) if _names_a_path(key) else ():
            if not is_path_remote(path) and not Path(path).exists():
                yield ("extractor_params", key), f"no such file or folder: {path}"


def step_problems(steps: Steps, where: tuple[str, ...]) -> Iterator[Problem]:
    """Return what is wrong with the names and arguments of preprocessing steps."""
    known = preprocessors()
    for key, arguments in steps.items():
        name = _step_name(key)
        if name == CACHE:
            if not _cache_folder(arguments):
                yield (*where, key), 'takes the folder to write to: "cache": "folder"'
        elif name not in known:
            yield (*where, key), f"{key!r} is no function of spikeinterface.preprocessing{suggestion(name, known)}"
        elif not isinstance(arguments, Mapping):
            yield (*where, key), "takes its arguments as an object: {}"
        else:
            yield from _argument_problems(known[name], arguments, (*where, key), skip=("recording",))


def _argument_problems(
    function: Callable[..., Any], arguments: Mapping[str, Any], where: tuple[str, ...], skip: tuple[str, ...]
) -> Iterator[Problem]:
    names, required, closed = _signature(function)
    for key in arguments:
        if key in skip or (closed and key not in names):
            yield (*where, key), f"unknown parameter{suggestion(key, [name for name in names if name not in skip])}"
    for name in required:
        if name not in skip and name not in arguments:
            yield where, f"the parameter {name!r} is missing"


def _signature(function: Callable[..., Any]) -> tuple[list[str], list[str], bool]:
    """Return the names a function takes, those it requires, and whether it takes no others."""
    names, required, closed = [], [], True
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            behind = _KEYWORDS.get(parameter.name)
            names += _signature(behind)[0] if behind else []
            closed = behind is not None
        elif parameter.kind is not parameter.VAR_POSITIONAL and not parameter.name.startswith("_"):
            names.append(parameter.name)
            required += [parameter.name] if parameter.default is parameter.empty else []
    return names, required, closed


def extractors() -> dict[str, Callable[..., BaseRecording]]:
    """Return the recording extractors of SpikeInterface by their short names."""
    return {"openephys": se.read_openephys, **se.recording_extractor_full_dict}


def _short_name(name: str) -> str:
    """Return "spikeglx" for "SpikeGLXRecordingExtractor", "SpikeGLX" or "read_spikeglx"."""
    short = name.strip().lower().removeprefix("read_").replace("_", "")
    short = short.removesuffix("extractor").removesuffix("recording")
    return _EXTRACTOR_ALIASES.get(short, short)


def preprocessors() -> dict[str, Callable[..., Any]]:
    """Return the functions that may stand in `preprocessing`, by name; also by the name of their class."""
    known = {function.__name__: function for function in spre.preprocessor_dict.values()}
    known |= spre.preprocessor_dict | {name: getattr(spre, name) for name in _MORE_STEPS}
    known |= {old: known[new] for old, new in _STEP_ALIASES.items()}
    return known | {BAD_CHANNELS: spre.detect_and_remove_bad_channels}


def _step_name(key: str) -> str:
    """Return the function that a key means: `common_reference_2` runs `common_reference` again."""
    name, _, number = key.rpartition("_")
    return name if number.isdigit() and name else key


def _names_a_path(key: str) -> bool:
    return key.lower().endswith(_PATH_ENDINGS)


def _absolute_path(path: str | os.PathLike[str], base: Path) -> Path:
    return base / Path(path).expanduser()


def absolute_paths(arguments: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Return arguments whose paths no longer depend on the working directory."""
    return {key: _with_absolute_paths(value, base) if _names_a_path(key) else value for key, value in arguments.items()}


def _with_absolute_paths(value: object, base: Path) -> object:
    if isinstance(value, list | tuple):
        return [_with_absolute_paths(inner, base) for inner in value]
    if isinstance(value, str | os.PathLike) and not is_path_remote(str(value)):
        return str(_absolute_path(value, base))
    return value


def _check_samples(recording: BaseRecording) -> None:
    if recording.get_num_channels() == 0 or recording.get_total_samples() == 0:
        raise InputError("The recording is empty. Check the files and the extractor_params (stream, number of channels).")


def _attach_probe(recording: BaseRecording, file: Path, log: logging.Logger) -> None:
    """Give a recording the probe of a file; contacts without a channel are left out."""
    try:
        group = probeinterface.read_probeinterface(file)
    except Exception as error:  # anything may be in that file
        raise InputError(
            f"The probe file {file} can't be read: {_reason(error)}. Write it with probeinterface.write_probeinterface."
        ) from error
    channels = recording.get_num_channels()
    if any(probe.device_channel_indices is None for probe in group.probes) and group.get_contact_count() == channels:
        log.info("The probe says not which contact is wired to which channel: both are taken in their order.")
        group.set_global_device_channel_indices(np.arange(channels))
    wired = [probe.device_channel_indices for probe in group.probes if probe.device_channel_indices is not None]
    indices = np.concatenate([*wired, np.empty(0, dtype=np.int64)])
    indices = np.sort(indices[indices >= 0])
    if not np.array_equal(indices, np.arange(channels)):
        raise InputError(
            f"The recording has {channels} channels, but the probe {file} has {group.get_contact_count()} contacts, "
            f"{len(indices)} of them wired to a channel. Give a probe whose device_channel_indices are 0 to {channels - 1}, "
            "each once (-1 for a contact that was not recorded)."
        )
    recording.set_probegroup(group)


def preprocess(
    recording: BaseRecording,
    steps: Steps,
    log: logging.Logger,
    *,
    base: Path = Path(),
    seed: int = 0,
    hashes: MutableMapping[str, str] | None = None,
    jobs: Mapping[str, Any] | None = None,
) -> BaseRecording:
    """Apply preprocessing steps in order.

    Parameters
    ----------
    recording
        With a probe; not changed.
    steps
        Names of functions of spikeinterface.preprocessing (or `remove_bad_channels`, `cache`) to their arguments.
    log
        Is told which channels are removed and why, and whether a cache was used.
    base
        Relative folders start here.
    seed
        For functions that look at random pieces of the recording.
    hashes
        What `fingerprint` remembers; only `cache` needs it.
    jobs
        SpikeInterface's job kwargs.

    Raises
    ------
    InputError
        Where a step fails or leaves no channel.
    FolderError
        Where the folder of a cache holds something else.
    """
    known = preprocessors()
    current, done = _signed(recording, steps, log), dict[str, Any]()
    for key, arguments in steps.items():
        if _step_name(key) == CACHE:
            source = fingerprint(recording, done, {} if hashes is None else hashes)
            current = _cached(current, _absolute_path(_cache_folder(arguments), base), source, jobs or {}, log)
            continue
        function = known[_step_name(key)]
        done[key] = arguments
        try:
            following = function(current, **_complete(function, arguments, seed, jobs or {}))
        except Exception as error:  # spikeinterface asserts and raises whatever it likes on wrong arguments
            raise InputError(f"The preprocessing {key!r} failed: {_reason(error)}. Check its arguments.") from error
        _tell_removed(key, current, following, log)
        current = following
    return current


def _signed(recording: BaseRecording, steps: Steps, log: logging.Logger) -> BaseRecording:
    """Return a recording in signed numbers (filters need them) that has the same microvolts."""
    dtype = np.dtype(recording.dtype)
    if dtype.kind != "u" or any(_step_name(key) == "unsigned_to_signed" for key in steps):
        return recording
    log.info("The recording is in unsigned numbers (%s): they are shifted to signed ones.", dtype)
    signed = spre.unsigned_to_signed(recording)
    shift = 1 << (8 * dtype.itemsize - 1)
    signed.set_channel_offsets(recording.get_channel_offsets() + shift * recording.get_channel_gains())
    return signed


def _complete(function: Callable[..., Any], given: Mapping[str, Any], seed: int, jobs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a step with what the user doesn't give: the seed, the job kwargs, and a default of old."""
    names, _, _ = _signature(function)
    defaults: dict[str, Any] = {}
    if "seed" in names:
        defaults["seed"] = seed
    if "random_slice_kwargs" in names:
        defaults["random_slice_kwargs"] = {"seed": seed}
    if "job_kwargs" in names:
        defaults["job_kwargs"] = {"progress_bar": False, **jobs}
    if function is spre.filter:  # wants a margin since 0.105; its sisters compute this one themselves
        low = np.atleast_1d(given.get("band", 300.0))[0]
        defaults["margin_ms"] = adjust_margin_ms_for_highpass(low)
    return defaults | dict(given)


def _tell_removed(key: str, before: BaseRecording, after: BaseRecording, log: logging.Logger) -> None:
    """Log the channels that a step took out, with the reason where the step tells it."""
    left = set(after.channel_ids.tolist())
    gone = [channel for channel in before.channel_ids.tolist() if channel not in left]
    if not gone and _step_name(key) == BAD_CHANNELS:
        log.info("Preprocessing %s: no bad channels.", key)
    if not gone or len(gone) == before.get_num_channels():
        return
    labels = after._kwargs.get("channel_labels")  # noqa: SLF001 (nowhere else)
    why = dict(zip(before.channel_ids.tolist(), [] if labels is None else np.asarray(labels).tolist(), strict=False))
    names = ", ".join(f"{channel} ({why[channel]})" if channel in why else str(channel) for channel in gone)
    log.warning("Preprocessing %s: %d of %d channels removed: %s.", key, len(gone), before.get_num_channels(), names)


def _cache_folder(arguments: object) -> str:
    """Return the folder of a cache step: "folder", or {"folder": "folder"}, or {"cache": "folder"}."""
    if isinstance(arguments, Mapping) and len(arguments) == 1:
        arguments = arguments.get("folder", arguments.get("cache"))
    return arguments if isinstance(arguments, str) else ""


def _cached(recording: BaseRecording, folder: Path, source: str, jobs: Mapping[str, Any], log: logging.Logger) -> BaseRecording:
    """Return the recording as written to a folder, which is written anew only if something else was cached there."""
    marker = folder / CACHE_MARKER
    if folder.is_dir() and any(folder.iterdir()):
        if not marker.is_file():
            raise FolderError(f"The cache folder {folder} holds something else. Name a folder that is new or empty.")
        if json.loads(marker.read_text(encoding="utf-8")).get("source") == source:
            log.info("The preprocessed recording in %s is used again: what produced it is unchanged.", folder)
            return read_binary(folder)
        log.info("The recording or its preprocessing has changed: %s is written anew.", folder)
    write_binary(recording, folder, jobs, extra={CACHE_MARKER: json.dumps({"source": source}) + "\n"})
    return read_binary(folder)


def fingerprint(recording: BaseRecording, steps: Steps, hashes: MutableMapping[str, str]) -> str:
    """Return what identifies a preprocessed recording: its content, the steps and the versions that perform them.

    Parameters
    ----------
    recording
        As loaded, or as given by the user of the Python interface.
    steps
        The preprocessing; where a cache lies is not part of it.
    hashes
        Remembers the hash of content by the paths, sizes, times and inodes of the files that the recording reads. Give the
        same mapping (of str to str) again next time, and unchanged files are not read.
    """
    remembered = _memory_key(recording)
    content = hashes.get(remembered) if remembered else None
    if content is None:
        content = content_hash(recording)
        if remembered:
            hashes[remembered] = content
    ordered = [[key, arguments] for key, arguments in steps.items() if _step_name(key) != CACHE]
    versions = {"spikeinterface": spikeinterface.__version__, "numpy": np.__version__} if ordered else {}
    return _hash_of({"content": content, "steps": ordered, "versions": versions})


def content_hash(recording: BaseRecording) -> str:
    """Return the sha256 of a recording's traces and of all that it says about its channels."""
    about = {
        "channels": recording.channel_ids.tolist(),
        "dtype": np.dtype(recording.dtype).str,
        "probe": recording.get_probegroup().to_dict(array_as_list=True) if recording.has_probe() else None,
        "properties": {key: recording.get_property(key).tolist() for key in sorted(recording.get_property_keys())},
        "sampling_frequency": float(recording.sampling_frequency),
        "samples": list(timeline(recording).durations),
    }
    digest = hashlib.sha256(_hash_of(about).encode())
    for segment, start, end in _chunks(recording):
        digest.update(np.ascontiguousarray(recording.get_traces(segment, start, end)).data)
    return digest.hexdigest()


def _memory_key(recording: BaseRecording) -> str | None:
    """Return a name for the present state of the files that a recording reads; None where it has none."""
    if not recording.check_serializability("json"):
        return None
    description = recording.to_dict(include_annotations=True, include_properties=True, recursive=True)
    files = sorted({file for text in _strings(description) for file in _files(text)})
    if not files:
        return None
    states = [(str(file), (state := file.stat()).st_size, state.st_mtime_ns, state.st_ino) for file in files]
    return _hash_of({"description": description, "files": states})


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str | os.PathLike):
        yield str(value)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)


def _files(text: str) -> Iterator[Path]:
    path = Path(text)
    if path.is_absolute() and path.is_file():
        yield path
    elif path.is_absolute() and path.is_dir():
        yield from (file for file in path.rglob("*") if file.is_file())


def _hash_of(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, cls=SIJsonEncoder).encode()).hexdigest()


def _chunks(recording: BaseRecording) -> Iterator[tuple[int, int, int]]:
    """Return (segment, start, end) of the pieces that a recording is processed in."""
    size = max(1, round(CHUNK_SECONDS * recording.sampling_frequency))
    for segment, samples in enumerate(timeline(recording).durations):
        for start in range(0, samples, size):
            yield segment, start, min(start + size, samples)


def write_binary(
    recording: BaseRecording, folder: Path, jobs: Mapping[str, Any], *, extra: Mapping[str, str] | None = None
) -> None:
    """Write a recording as a binary folder that any SpikeInterface since 0.100 loads, complete or not at all.

    Parameters
    ----------
    recording
        With a probe.
    folder
        Is replaced if it exists.
    jobs
        SpikeInterface's job kwargs; only `n_jobs` counts, and the bytes don't depend on it.
    extra
        More text files to write, by name.
    """
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    aside.mkdir(parents=True)
    try:
        names = [f"traces_cached_seg{index}.raw" for index in range(recording.get_num_segments())]
        _write_traces(recording, [aside / name for name in names], fix_job_kwargs(dict(jobs))["n_jobs"])
        for name, text in {**_descriptions(recording, names), **(extra or {})}.items():
            (aside / name).write_text(text, encoding="utf-8")
        _write_properties(recording, aside / "properties")
        if folder.exists():
            shutil.rmtree(folder)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write_traces(recording: BaseRecording, files: list[Path], workers: int) -> None:
    """Write each segment to its file, (samples, channels), in the type of the recording.

    Pieces are written with pwrite, not through a memory map: a full disk then is an error, not the end of the process.
    """
    row = np.dtype(recording.dtype).itemsize * recording.get_num_channels()
    handles = [os.open(file, os.O_WRONLY | os.O_CREAT, 0o666) for file in files]

    def write(piece: tuple[int, int, int]) -> None:
        segment, start, end = piece
        data = np.ascontiguousarray(recording.get_traces(segment, start, end)).data.cast("B")
        written = 0
        while written < len(data):
            written += os.pwrite(handles[segment], data[written:], start * row + written)

    try:
        with ThreadPoolExecutor(workers) as pool:
            for _ in pool.map(write, _chunks(recording)):
                pass
        for handle in handles:
            os.fsync(handle)
    finally:
        for handle in handles:
            os.close(handle)


def _descriptions(recording: BaseRecording, names: list[str]) -> dict[str, str]:
    """Return the JSON files of a binary folder; they hold nothing about this machine."""
    kwargs = {
        "file_paths": names,
        "sampling_frequency": float(recording.sampling_frequency),
        "num_channels": recording.get_num_channels(),
        "dtype": np.dtype(recording.dtype).str,
        "channel_ids": recording.channel_ids.tolist(),
        "time_axis": 0,
        "file_offset": 0,
        "is_filtered": bool(recording.is_filtered()),
        "gain_to_uV": recording.get_channel_gains().tolist(),
        "offset_to_uV": recording.get_channel_offsets().tolist(),
    }
    common = {"module": "spikeinterface", "version": spikeinterface.__version__, "relative_paths": True, "properties": {}}
    core = "spikeinterface.core."
    binary = {"class": core + "binaryrecordingextractor.BinaryRecordingExtractor", "kwargs": kwargs, "annotations": {}, **common}
    folder = {"class": core + "binaryfolder.BinaryFolderRecording", "kwargs": {"folder_path": "."}, "annotations": {}, **common}
    probe = {"specification": "probeinterface", "version": probeinterface.__version__}
    probe |= recording.get_probegroup().to_dict(array_as_list=True)
    texts = {
        "binary.json": binary,
        "si_folder.json": folder,
        "probe.json": probe,
        "probegroup.json": probe,
        "annotations.json": {},
    }
    return {name: json.dumps(content, indent=1, sort_keys=True, cls=SIJsonEncoder) + "\n" for name, content in texts.items()}


def _write_properties(recording: BaseRecording, folder: Path) -> None:
    """Write what is known about each channel; columns of Python objects would need a pickle and stay out."""
    folder.mkdir()
    for key in recording.get_property_keys():
        values = np.asarray(recording.get_property(key))
        if values.dtype.kind in "biufU":
            np.save(folder / f"{key}.npy", values, allow_pickle=False)


def read_binary(folder: Path) -> BaseRecording:
    """Read what `write_binary` wrote."""
    return BinaryFolderRecording(folder)


def _reason(error: Exception) -> str:
    """Return the first line of an error's message, or its kind where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(". ") if lines else type(error).__name__
