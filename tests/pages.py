"""The pages of the documentation, and the blocks that they show."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def fenced(page: Path, language: str) -> list[str]:
    """Return a page's fenced blocks of one language, in their order."""
    return [text for name, text in FENCE.findall(page.read_text(encoding="utf-8")) if name == language]
