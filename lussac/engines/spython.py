"""Spython behind an adapter: it calls every program ``singularity``, and gives back text, lists or errors as it likes."""

import functools
import os
import re
from dataclasses import dataclass
from pathlib import Path

from spython.main import get_client
from spython.utils import run_command

from lussac.errors import EngineError

FAST = "--mksquashfs-args=-comp zstd -Xcompression-level 3"
"""Three times faster to write than the default, and smaller."""


@dataclass(frozen=True, slots=True)
class Commands:
    """Commands of one program, built and run by spython."""

    program: str

    def line(self, action: str, *words: str) -> list[str]:
        """Return a command line."""
        return [self.program, *get_client(quiet=True)._init_command(action)[1:], *words]  # noqa: SLF001 - its one builder of commands

    def ask(self, action: str, *words: str) -> str:
        """Run a command and return what it writes; raise EngineError with its last line where it fails."""
        try:
            answer = run_command(self.line(action, *words), quiet=True)
        except OSError as error:
            raise EngineError(str(error)) from error
        text = "".join(answer["message"])
        if answer["return_code"]:
            raise EngineError((text.strip().splitlines() or ["no reason given"])[-1])
        return text

    def build(self, file: Path, origin: str) -> None:
        """Write an image file."""
        knows = FAST.partition("=")[0] in self.ask("build", "--help")
        try:
            self.ask("build", "--force", *([FAST] if knows else []), str(file), origin)
        except EngineError as error:
            raise EngineError(f"{origin} can't be made into an image file: {error}") from error

    def refusal(self, image: str) -> str:
        """Return why this user can't start a container of this image here; empty where that works."""
        return _refusal(self.program, image, os.geteuid())

    def can_isolate_network(self, image: str) -> bool:
        """Tell whether this user may run a container without network here."""
        return _can_isolate(self.program, image, os.geteuid())


@functools.cache
def _refusal(program: str, image: str, _user: int) -> str:
    try:
        Commands(program).ask("exec", "--containall", image, "true")
    except EngineError as error:
        return re.sub(r"^FATAL:\s*", "", str(error))
    return ""


@functools.cache
def _can_isolate(program: str, image: str, _user: int) -> bool:
    try:
        Commands(program).ask("exec", "--containall", "--net", "--network", "none", image, "true")
    except EngineError:
        return False
    return True
