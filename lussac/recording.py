"""A recording: its segments, its identity by content, and its binary form that sorters read."""

import hashlib
import json
import logging
import os
import shutil
import textwrap
import uuid
from collections.abc import Iterator, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import probeinterface
import spikeinterface
from spikeinterface.core import BaseRecording, BinaryFolderRecording
from spikeinterface.core.core_tools import SIJsonEncoder
from spikeinterface.core.job_tools import fix_job_kwargs

from lussac.algorithms.timeline import Timeline

CHUNK_SECONDS = 1.0
"""Traces are filtered, hashed and written in pieces of this length, whatever the job kwargs say: the bytes depend on it."""


def timeline(recording: BaseRecording) -> Timeline:
    """Return the segments of a recording, one after the other."""
    return Timeline(tuple(recording.get_num_samples(index) for index in range(recording.get_num_segments())))


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


def content_hash(recording: BaseRecording, hashes: MutableMapping[str, str] | None = None) -> str:
    """Return the sha256 of a recording's traces and of all that it says about its channels.

    Parameters
    ----------
    recording
        Any.
    hashes
        Remembers the result by the paths, sizes, times and inodes of the files that the recording reads. Give the same
        mapping again next time, and unchanged files are not read.
    """
    state = _state(recording) if hashes is not None else None
    if hashes is None or state is None:
        return _content_hash(recording)
    if state not in hashes:
        hashes[state] = _content_hash(recording)
    return hashes[state]


def _content_hash(recording: BaseRecording) -> str:
    about = {
        "channels": recording.channel_ids.tolist(),
        "dtype": np.dtype(recording.dtype).str,
        "probe": recording.get_probegroup().to_dict(array_as_list=True) if recording.has_probe() else None,
        "properties": {key: recording.get_property(key).tolist() for key in sorted(recording.get_property_keys())},
        "sampling_frequency": float(recording.sampling_frequency),
        "samples": list(timeline(recording).durations),
    }
    digest = hashlib.sha256(hash_of(about).encode())
    for segment, start, end in _chunks(recording):
        digest.update(np.ascontiguousarray(recording.get_traces(segment, start, end)).data)
    return digest.hexdigest()


def _state(recording: BaseRecording) -> str | None:
    """Return a name for the present state of the files that a recording reads; None where it has none."""
    if not recording.check_serializability("json"):
        return None
    description = recording.to_dict(include_annotations=True, include_properties=True, recursive=True)
    files = sorted({file for text in strings(description) for file in _files(text)})
    if not files:
        return None
    states = [(str(file), (state := file.stat()).st_size, state.st_mtime_ns, state.st_ino) for file in files]
    return hash_of({"description": description, "files": states})


def strings(value: object) -> Iterator[str]:
    """Return all texts and paths inside nested containers."""
    if isinstance(value, str | os.PathLike):
        yield str(value)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from strings(inner)


def _files(text: str) -> Iterator[Path]:
    """Return the file of an absolute path, or all files of a folder; nothing where the text is no path."""
    if Path(text).is_absolute() and os.path.exists(text):  # noqa: PTH110 (takes any text)
        path = Path(text)
        yield from [path] if path.is_file() else (file for file in path.rglob("*") if file.is_file())


def hash_of(value: object) -> str:
    """Return the sha256 of a value that JSON can hold; the order of keys plays no role."""
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


def reason(error: Exception) -> str:
    """Return an error's message on one line, or its kind where it has none."""
    text = " ".join(str(error).split()).rstrip(".!: ")
    return textwrap.shorten(text, 300, placeholder=" ...") or type(error).__name__
