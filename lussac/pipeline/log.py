"""The log of a run. Only our own logger is touched, and it is left as it was."""

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import TextIO

LOGGER = "lussac"
LOG_FILE = "lussac.log"
FORMAT = "%(asctime)s %(levelname)-7s %(message)s"
UNLIMITED = 1 << 30


@contextlib.contextmanager
def session_log() -> Iterator[tuple[logging.Logger, Callable[[Path], contextlib.AbstractContextManager[None]]]]:
    """Collect what is logged until there is a folder to write it to."""
    logger = logging.getLogger(LOGGER)
    level = logger.level
    logger.setLevel(logging.INFO)
    early = MemoryHandler(UNLIMITED, flushLevel=UNLIMITED)
    logger.addHandler(early)

    @contextlib.contextmanager
    def write_to(file: Path) -> Iterator[None]:
        with _written_to(file) as handler:
            early.setTarget(handler)
            early.flush()
            logger.removeHandler(early)
            logger.addHandler(handler)
            try:
                yield
            finally:
                logger.removeHandler(handler)

    try:
        yield logger, write_to
    finally:
        logger.removeHandler(early)
        early.setTarget(None)
        early.close()
        logger.setLevel(level)


@contextlib.contextmanager
def step_log(log: logging.Logger, file: Path) -> Iterator[None]:
    """Write what is logged during a pass to a file of its own too."""
    with _written_to(file) as handler:
        log.addHandler(handler)
        try:
            yield
        finally:
            log.removeHandler(handler)


@contextlib.contextmanager
def _written_to(file: Path) -> Iterator[logging.Handler]:
    """Give a handler that writes to a file while its disk has room: a full disk ends the run by an error of its own."""
    handler = logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(logging.Formatter(FORMAT))
    handler.handleError = lambda record: None  # type: ignore[method-assign]  # noqa: ARG005
    try:
        yield handler
    finally:
        with contextlib.suppress(OSError):
            handler.close()


@contextlib.contextmanager
def library_warnings(log: logging.Logger) -> Iterator[None]:
    """Send what libraries warn of to the log: it speaks of their functions, which the user hasn't called."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,  # noqa: ARG001 - the signature that Python asks for
        line: str | None = None,  # noqa: ARG001
    ) -> None:
        log.info("%s: %s (%s:%d)", category.__name__, message, filename, lineno)

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = show
        yield
