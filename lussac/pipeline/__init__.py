"""A run: what it is given, how it goes through the plan, and what it leaves."""

from lussac.pipeline.result import Given, Options, Result, Step
from lussac.pipeline.run import run

__all__ = ["Given", "Options", "Result", "Step", "run"]
