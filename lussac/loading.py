"""The section `recording` of the params: checked, and read with any extractor of SpikeInterface."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import probeinterface
import spikeinterface.extractors as se
from spikeinterface.core import BaseRecording
from spikeinterface.core.core_tools import is_path_remote

from lussac.errors import InputError
from lussac.params import RecordingParams
from lussac.preprocessing import Problem, argument_problems, step_problems
from lussac.recording import in_microvolts, reason, strings
from lussac.validation import suggestion

_ALIASES = {"bindat": "binary"}
_PATH_ENDINGS = ("path", "paths", "file", "files", "folder", "folders")
_INSIDE = {"electrical_series_path", "lsx_files", "timeseries_path"}
"""Arguments that sound like paths, but mean places inside the file or folder that is read."""


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
            f"The recording can't be read with the extractor {params.recording_extractor!r}: {reason(error)}. "
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


def _check_samples(recording: BaseRecording) -> None:
    if recording.get_num_channels() == 0 or recording.get_total_samples() == 0:
        raise InputError("The recording is empty. Check the files and the extractor_params (stream, number of channels).")


def _attach_probe(recording: BaseRecording, file: Path, log: logging.Logger) -> None:
    """Give a recording the probe of a file; contacts without a channel are left out."""
    try:
        group = probeinterface.read_probeinterface(file)
        _wire(group, recording.get_num_channels(), file, log)
        recording.set_probegroup(group)
    except InputError:
        raise
    except Exception as error:  # anything may be in that file
        raise InputError(
            f"The probe file {file} can't be used: {reason(error)}. Write it with probeinterface.write_probeinterface."
        ) from error


def _wire(group: probeinterface.ProbeGroup, channels: int, file: Path, log: logging.Logger) -> None:
    """Make sure that each channel has one contact; contacts and channels are taken in order where the probe says nothing."""
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
    yield from argument_problems(known[name], params.extractor_params, ("extractor_params",), skip=())
    for key, value in absolute_paths(params.extractor_params, base).items():
        for path in strings(value) if _names_a_path(key) and "cache" not in key else ():
            if not is_path_remote(path) and not os.path.exists(path):  # noqa: PTH110 (takes any text)
                yield ("extractor_params", key), f"no such file or folder: {path}"


def extractors() -> dict[str, Callable[..., BaseRecording]]:
    """Return the recording extractors of SpikeInterface by their short names."""
    return {"openephys": se.read_openephys, **se.recording_extractor_full_dict}


def _short_name(name: str) -> str:
    """Return "spikeglx" for "SpikeGLXRecordingExtractor", "SpikeGLX" or "read_spikeglx"."""
    short = name.strip().lower().removeprefix("read_").replace("_", "")
    short = short.removesuffix("extractor").removesuffix("recording")
    return _ALIASES.get(short, short)


def _names_a_path(key: str) -> bool:
    return key.lower().endswith(_PATH_ENDINGS) and key not in _INSIDE


def absolute_paths(arguments: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Return arguments whose paths no longer depend on the working directory."""
    return {key: _with_absolute_paths(value, base) if _names_a_path(key) else value for key, value in arguments.items()}


def _with_absolute_paths(value: object, base: Path) -> object:
    if isinstance(value, list | tuple):
        return [_with_absolute_paths(inner, base) for inner in value]
    if isinstance(value, str | os.PathLike) and not is_path_remote(str(value)):
        return str(_absolute_path(value, base))
    return value


def _absolute_path(path: str | os.PathLike[str], base: Path) -> Path:
    return base / Path(path).expanduser()
