"""What is done with a recording before it is sorted: functions of spikeinterface.preprocessing, in order."""

import inspect
import json
import logging
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import numpy as np
import spikeinterface
import spikeinterface.preprocessing as spre
from spikeinterface.core import BaseRecording, get_random_data_chunks
from spikeinterface.core.time_series_tools import get_random_sample_slices
from spikeinterface.preprocessing.filter import adjust_margin_ms_for_highpass

from lussac.errors import FolderError, InputError
from lussac.recording import content_hash, hash_of, read_binary, reason, write_binary
from lussac.validation import suggestion

Steps = Mapping[str, Any]
"""Names of functions to their arguments, in order."""

Problem = tuple[tuple[str, ...], str]
"""Keys that lead from the section to a value, and what is wrong with it."""

BAD_CHANNELS, CACHE = "remove_bad_channels", "cache"
_REMEMBERED = "bad channels of "
CACHE_MARKER = "lussac-cache.json"

_ALIASES = {"gaussian_bandpass_filter": "gaussian_filter", "blank_staturation": "blank_saturation"}
_MORE = ("causal_filter", "correct_lsb", "correct_motion", "scale_to_uV")
_KEYWORDS = {  # where the keywords go that a function of spikeinterface passes on
    "detect_bad_channels_kwargs": spre.detect_bad_channels,
    "filter_kwargs": spre.filter,
    "random_chunk_kwargs": get_random_data_chunks,
    "random_slices_kwargs": get_random_sample_slices,
}


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
        What `fingerprint` remembers; the bad channels of a recording are remembered here too.
    jobs
        SpikeInterface's job kwargs.

    Raises
    ------
    InputError
        Where a step fails or leaves no channel.
    FolderError
        Where the folder of a cache holds something else.
    """
    known, memory = preprocessors(), {} if hashes is None else hashes
    current, done = _signed(recording, steps, log), dict[str, Any]()
    for key, arguments in steps.items():
        name = _step_name(key)
        if name == CACHE:
            source = fingerprint(recording, done, memory)
            current = _cached(current, _in_base(base, _cache_folder(arguments)), source, jobs or {}, log)
            continue
        done[key] = arguments
        try:
            complete = _complete(known[name], arguments, seed, jobs or {})
            if name == BAD_CHANNELS:
                source = "" if hashes is None else fingerprint(recording, {**done, "seed": seed}, hashes)
                current = _without_bad_channels(current, complete, source, memory, log)
            else:
                current = known[name](current, **complete)
        except Exception as error:  # spikeinterface asserts and raises whatever it likes on wrong arguments
            raise InputError(f"The preprocessing {key!r} failed: {reason(error)}. Check its arguments.") from error
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


def _without_bad_channels(
    recording: BaseRecording, arguments: Mapping[str, Any], source: str, memory: MutableMapping[str, str], log: logging.Logger
) -> BaseRecording:
    """Return a recording without its bad channels, which are looked for only once where `source` says what is looked at."""
    remembered = f"{_REMEMBERED}{source}"
    if remembered not in memory:
        log.info("Looking for bad channels.")
        found, labels = spre.detect_bad_channels(recording, **arguments)
        why = dict(zip(recording.channel_ids.tolist(), labels.tolist(), strict=True))
        memory[remembered] = json.dumps([[channel, why[channel]] for channel in found.tolist()])
    bad = json.loads(memory[remembered])
    if not bad:
        log.info("No channel is bad.")
        return recording
    names = ", ".join(f"{channel} ({label})" for channel, label in bad)
    if len(bad) == recording.get_num_channels():
        raise ValueError(f"every channel is bad: {names}")
    log.warning("Bad channels: %d of %d are removed: %s.", len(bad), recording.get_num_channels(), names)
    return recording.remove_channels([channel for channel, _ in bad])


def remembered_labels(hashes: Mapping[str, str]) -> dict[str, str]:
    """Return why channels were removed (dead, noise, out), by name, as far as it is remembered."""
    found = (json.loads(text) for key, text in hashes.items() if key.startswith(_REMEMBERED))
    return {str(channel): str(label) for channels in found for channel, label in channels}


def _cached(recording: BaseRecording, folder: Path, source: str, jobs: Mapping[str, Any], log: logging.Logger) -> BaseRecording:
    """Return the recording as written to a folder, which is written anew only if something else was cached there."""
    marker, mark = folder / CACHE_MARKER, json.dumps({"source": source}) + "\n"
    if folder.is_dir() and any(folder.iterdir()):
        if not marker.is_file():
            raise FolderError(f"The cache folder {folder} holds something else. Name a folder that is new or empty.")
        if marker.read_text(encoding="utf-8", errors="replace") == mark:
            log.info("The preprocessed recording in %s is used again: what produced it is unchanged.", folder)
            return read_binary(folder)
        log.info("The recording or its preprocessing has changed: %s is written anew.", folder)
    write_binary(recording, folder, jobs, extra={CACHE_MARKER: mark})
    return read_binary(folder)


def cache_folders(steps: Steps, base: Path) -> Iterator[tuple[str, Path]]:
    """Return the folders that preprocessing steps write to, each with the key of its step."""
    for key, arguments in steps.items():
        if _step_name(key) == CACHE and (folder := _cache_folder(arguments)):
            yield key, _in_base(base, folder)


def with_caches_in(steps: Steps, folder: Path) -> dict[str, Any]:
    """Return preprocessing steps whose caches lie in another folder."""
    return {key: str(folder / key) if _step_name(key) == CACHE else arguments for key, arguments in steps.items()}


def _in_base(base: Path, folder: str) -> Path:
    return base / Path(folder).expanduser()


def _cache_folder(arguments: object) -> str:
    """Return the folder of a cache step: "folder", or {"folder": "folder"}, or {"cache": "folder"}."""
    if isinstance(arguments, Mapping) and len(arguments) == 1:
        arguments = arguments.get("folder", arguments.get("cache"))
    return arguments if isinstance(arguments, str) else ""


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
    ordered = [[key, arguments] for key, arguments in steps.items() if _step_name(key) != CACHE]
    versions = {"spikeinterface": spikeinterface.__version__, "numpy": np.__version__} if ordered else {}
    return hash_of({"content": content_hash(recording, hashes), "steps": ordered, "versions": versions})


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
            yield from argument_problems(known[name], arguments, (*where, key), skip=("recording",))


def argument_problems(
    function: Callable[..., Any], arguments: Mapping[str, Any], where: tuple[str, ...], skip: tuple[str, ...]
) -> Iterator[Problem]:
    """Return what is wrong with the arguments of a function, less those in `skip`, which are not for the user."""
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


def preprocessors() -> dict[str, Callable[..., Any]]:
    """Return the functions that may stand in `preprocessing`, by name; also by the name of their class."""
    known = {function.__name__: function for function in spre.preprocessor_dict.values()}
    known |= spre.preprocessor_dict | {name: getattr(spre, name) for name in _MORE}
    known |= {old: known[new] for old, new in _ALIASES.items()}
    return known | {BAD_CHANNELS: spre.detect_bad_channels}


def _step_name(key: str) -> str:
    """Return the function that a key means: `common_reference_2` runs `common_reference` again."""
    name, _, number = key.rpartition("_")
    return name if number.isdigit() and name else key
