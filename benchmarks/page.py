"""The page of figures, from what the benchmarks said as JSON. Not for: measuring, and not for the words of the page.

python -m benchmarks.page [FILE ...]

Takes files that ``python -m benchmarks ... --json`` wrote into docs/benchmarks.json, question by question, and writes
what is between the marks in docs/benchmarks.md, and the pictures, anew. Without files only the latter.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path
from typing import Any

from benchmarks.measuring import short
from benchmarks.peers.company import PEERS
from benchmarks.picture import bars

DOCS = Path(__file__).parents[1] / "docs"
DATA = DOCS / "benchmarks.json"
PAGE = DOCS / "benchmarks.md"
# Which figures of a question are drawn: their unit, how their names end, and what is said above them.
DRAWN = {
    "enqueue": ("/s", "", "Tasks stored per second, many at once"),
    "drain": ("/s", "", "Tasks done per second"),
    "results": ("/s", "1", "Calls per second until all results are in the caller, one by one"),
    "latency": ("ms", "p50", "From the call of submit until the function begins, median"),
    "singles": ("/s", "", "Tasks stored per second, one by one"),
}
_BLOCK = re.compile(r"<!-- (figures|goals|conditions|peers|gap|shares)(?:: (\w+))? -->\n.*?<!-- end -->", re.DOTALL)


def merge(data: dict[str, Any], new: dict[str, Any]) -> None:
    """Take the questions of a run, with the conditions it was under, in place of what was said before."""
    for name, one in new["questions"].items():
        figures = {
            figure: {**values, "median": _rounded(values["median"]), "all": [_rounded(v) for v in values["all"]]}
            for figure, values in one["figures"].items()
        }
        goals = [{**goal, "value": _rounded(goal["value"])} for goal in one["goals"]]
        data[name] = {**one, "figures": figures, "goals": goals, "conditions": new["conditions"]}


def written(text: str, data: dict[str, Any]) -> str:
    """The page with each block between marks made anew."""

    def block(found: re.Match[str]) -> str:
        kind, name = found.groups()
        rows = _KINDS[kind](data, name)
        mark = found[0].partition("\n")[0]
        return "\n".join([mark, *rows, "<!-- end -->"])

    return _BLOCK.sub(block, text)


def pictures(data: dict[str, Any]) -> dict[str, str]:
    """By file name in docs/pictures, what is drawn."""
    drawn = {}
    for name, (unit, end, title) in DRAWN.items():
        if name not in data:
            continue
        sides = {
            figure: one["median"]
            for figure, one in data[name]["figures"].items()
            if one["unit"] == unit and not figure.startswith("the quickest")
        }
        if end:
            sides = {figure: value for figure, value in sides.items() if figure.endswith(end) or figure == "goque"}
        drawn[f"benchmark-{name}.svg"] = bars(f"{title} ({unit})" if unit == "ms" else title, sides)
    return drawn


def _figures(data: dict[str, Any], name: str) -> list[str]:
    """Median, least and most of each side, then what is compared."""
    one = data.get(name)
    if one is None:
        return ["", "Not measured for this page; `make bench` tells it.", ""]
    rows = ["", f"*{one['question']}*", "", "| side | median | least to most |", "|---|---|---|"]
    for figure, values in one["figures"].items():
        if not figure.startswith("the quickest"):
            spread = f"{short(min(values['all']))} to {short(max(values['all']))}" if len(values["all"]) > 1 else ""
            rows.append(f"| {figure} | {short(values['median'])} {values['unit']} | {spread} |")
    rows += [*_compared({name: one}, with_question=False), ""]
    if name in DRAWN:
        title = DRAWN[name][2].partition(",")[0]
        rows += [f"![{title}](pictures/benchmark-{name}.svg)", ""]
    return rows


def _goals(data: dict[str, Any], _: str | None) -> list[str]:
    return [*_compared(data, with_question=True), ""]


def _compared(data: dict[str, Any], *, with_question: bool) -> list[str]:
    first = "| question " if with_question else ""
    rows = ["", f"{first}| compared | goal | measured | |", f"{'|---' if with_question else ''}|---|---|---|---|"]
    for name, one in data.items():
        for goal in one["goals"]:
            bound = f"at least {goal['least']:.3g}" if goal["least"] is not None else f"at most {goal['most']:.4g}"
            word = "reached" if goal["reached"] else "**missed**"
            question = f"| [{name}](#{name}) " if with_question else ""
            rows.append(f"{question}| {goal['name']} | {bound} | {short(goal['value'])} | {word} |")
    return rows if len(rows) > 3 else []


def _conditions(data: dict[str, Any], _: str | None) -> list[str]:
    """Each condition once, or with the questions it belongs to."""
    rows = ["", "| | |", "|---|---|"]
    for condition in ("date", "commit", "machine", "python", "postgresql", "settings", "packages", "rounds"):
        found: dict[str, list[str]] = {}
        for name, one in data.items():
            found.setdefault(_said(one["conditions"][condition]), []).append(name)
        said = [value if len(found) == 1 else f"{value} ({', '.join(names)})" for value, names in found.items()]
        rows.append(f"| {condition} | {'; '.join(said)} |")
    return [*rows, ""]


def _peers(_: dict[str, Any], __: str | None) -> list[str]:
    """How each peer is set up, in the words of its file."""
    rows = [""]
    for name in PEERS:
        source = (Path(__file__).parent / "peers" / f"{name}.py").read_text()
        rows.append(f"* {' '.join((ast.get_docstring(ast.parse(source)) or '').split())}")
    return [*rows, ""]


def _gap(data: dict[str, Any], _: str | None) -> list[str]:
    """What a call costs where, in microseconds."""
    rows = ["", "| per call | microseconds |", "|---|---|"]
    for name, question, side in (
        ("`multiprocessing.Pool.imap`, chunks of 1", "results", "multiprocessing.Pool.imap, chunks of 1"),
        ("a bare COPY of its row", "enqueue", "raw COPY"),
        ("bare SQL that claims it and writes its outcome", "drain", "raw claim+complete"),
        ("`list(q.map(f, items))`", "results", "goque"),
    ):
        if question in data:
            rows.append(f"| {name} | {1e6 / data[question]['figures'][side]['median']:.1f} |")
    return [*rows, ""]


def _shares(data: dict[str, Any], _: str | None) -> list[str]:
    """Each part's time for a task beside its share of the whole, question by question."""
    one = data.get("shares")
    if one is None:
        return ["", "Not measured for this page; `make bench` tells it.", ""]
    columns: dict[str, dict[str, float]] = {}
    for name, figure in one["figures"].items():
        question, _, part = name.partition(": ")
        columns.setdefault(question, {})[part] = figure["median"]
    rows = ["", f"| part | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for part in dict.fromkeys(part for parts in columns.values() for part in parts):
        cells = [
            f"{parts[part]:.2f} ({100 * parts[part] / sum(parts.values()):.0f} %)" if part in parts else ""
            for parts in columns.values()
        ]
        rows.append(f"| {part} | {' | '.join(cells)} |")
    return [*rows, ""]


_KINDS = {
    "figures": _figures,
    "goals": _goals,
    "conditions": _conditions,
    "peers": _peers,
    "gap": _gap,
    "shares": _shares,
}


def _said(value: object) -> str:
    return ", ".join(f"{key} {one}" for key, one in value.items()) if isinstance(value, dict) else str(value)


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


if __name__ == "__main__":
    data = json.loads(DATA.read_text()) if DATA.exists() else {}
    for path in sys.argv[1:]:
        merge(data, json.loads(Path(path).read_text()))
    order = [name or kind for kind, name in _BLOCK.findall(PAGE.read_text())]
    data = {name: data[name] for name in order if name in data}
    DATA.write_text(json.dumps(data, indent=1) + "\n")
    PAGE.write_text(written(PAGE.read_text(), data))
    for name, picture in pictures(data).items():
        (DOCS / "pictures" / name).write_text(picture)
