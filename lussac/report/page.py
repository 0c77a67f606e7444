"""The page: one HTML file that holds its content as JSON, what shows it, and the plot library; it asks for nothing else."""

import json
import math
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import Any

SCRIPTS = ("base", "plots", "unit_plots", "table", "browser", "run", "comparison", "start")
"""Parts of the script, in their order; they share one scope."""


def render(content: Mapping[str, Any]) -> str:
    """Return the page.

    Parameters
    ----------
    content
        From `content` or `comparison`; `title` and `kind` are its least.
    """
    web = files(__package__) / "web"
    scripts = [(web / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    pieces = {
        "title": escape(str(content["title"])),
        "style": (web / "page.css").read_text(encoding="utf-8"),
        "data": _embedded(content),
        "plotly": (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8"),
        "script": '"use strict";\n(() => {\n' + "\n".join(scripts) + "\n})();",
    }
    head, *rest = (web / "page.html").read_text(encoding="utf-8").split("<!--=")
    parts = (part.split("=-->", 1) for part in rest)
    return head + "".join(pieces[name] + tail for name, tail in parts)


def _embedded(content: object) -> str:
    """Return JSON that no HTML parser can take for the end of the script."""
    text = json.dumps(_finite(content), ensure_ascii=False, separators=(",", ":"), default=str)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _finite(value: Any) -> Any:  # noqa: ANN401
    """Return a value with null for each number that JSON can't hold."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value
