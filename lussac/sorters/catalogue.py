"""The catalogue of sorter images, as data: one row per sorter of SpikeInterface."""

import functools
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Literal

from lussac.engines import Gpu
from lussac.params import Strict

Deterministic = Literal["yes", "seeded", "no"]


class Row(Strict):
    """What the catalogue says about a sorter; the head of images.toml explains the fields."""

    image: str
    digest: str = ""
    version: str
    packages: tuple[str, ...]
    optional: Mapping[str, str] = {}
    gpu: Gpu
    deterministic: Deterministic
    agreement: float = 0.9
    seed: str | None = None
    defaults: Mapping[str, bool | int | float | str] = {}
    concatenate: bool = False
    relaxed: frozenset[Literal["root", "writable-root", "network"]] = frozenset()
    licence: str
    why_not: str = ""

    def needs(self, parameters: Mapping[str, object]) -> str:
        """Return the distributions that the sorter needs with these parameters, separated by spaces."""
        used = [name for name, parameter in self.optional.items() if parameters.get(parameter)]
        return " ".join((*self.packages, *used)) or "spikeinterface"

    @property
    def reference(self) -> str:
        """Return the image with its digest where it has one."""
        return f"{self.image.rpartition(':')[0]}@{self.digest}" if self.digest else self.image


@functools.cache
def catalogue() -> Mapping[str, Row]:
    """Return the rows by the name of the sorter."""
    text = resources.files("lussac.sorters").joinpath("images.toml").read_text(encoding="utf-8")
    return {name: Row.model_validate(row) for name, row in tomllib.loads(text).items()}
