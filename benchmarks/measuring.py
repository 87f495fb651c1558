"""What every benchmark has in common: figures of both sides, and how they are told. Not for: what is measured.

A question is a module with a docstring that begins with the question, ``GOALS``, and ``measure(figures, options)``,
which notes one figure for each side and round. Sides take turns, so that what else the machine does meets both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from benchmarks.conditions import found


@dataclass(frozen=True)
class Goal:
    """``top`` divided by ``bottom`` (by one, if it has none) shall be at least, or at most, so much."""

    name: str
    top: str
    bottom: str | None = None
    least: float | None = None
    most: float | None = None

    def value(self, medians: dict[str, float]) -> float | None:
        """The figure, if its sides were measured."""
        if self.top not in medians or (self.bottom is not None and self.bottom not in medians):
            return None
        return medians[self.top] / (medians[self.bottom] if self.bottom is not None else 1.0)

    def reached(self, value: float) -> bool:
        """Whether it is as good as it shall be."""
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


@dataclass
class Figures:
    """All figures of one question: name, unit, and a value for each round."""

    values: dict[str, list[float]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)

    def note(self, name: str, value: float, unit: str = "/s") -> None:
        """One more value of a side."""
        self.values.setdefault(name, []).append(value)
        self.units[name] = unit

    @contextmanager
    def rate(self, name: str, count: int) -> Iterator[None]:
        """Note how many of ``count`` things the block does in a second."""
        began = time.perf_counter()
        yield
        self.note(name, count / (time.perf_counter() - began))

    def pick(self, name: str, best: Callable[..., str], sides: list[str]) -> None:
        """The best of these sides, by their medians, once more under another name."""
        if sides:
            medians = self.medians
            side = best(sides, key=medians.__getitem__)
            self.values[name], self.units[name] = self.values[side], self.units[side]

    @property
    def medians(self) -> dict[str, float]:
        """The median of each side."""
        return {name: statistics.median(values) for name, values in self.values.items()}


def asked(module: ModuleType) -> str:
    """The question: the first line of the module's docstring."""
    return (module.__doc__ or "").splitlines()[0]


def told(figures: Figures, goals: tuple[Goal, ...]) -> str:
    """The figures as a table for people: median, least and most of all rounds, then what is compared."""
    lines = []
    for name, median in figures.medians.items():
        values, unit = figures.values[name], figures.units[name]
        spread = f"({short(min(values))} to {short(max(values))})" if len(values) > 1 else ""
        lines.append(f"  {name:44} {short(median):>12} {unit:8} {spread}")
    for goal in goals:
        value = goal.value(figures.medians)
        if value is not None:
            bound = f"at least {goal.least:g}" if goal.least is not None else f"at most {goal.most:g}"
            word = "reached" if goal.reached(value) else "missed"
            lines.append(f"  {goal.name:44} {short(value):>12} {'':8} goal: {bound}, {word}")
    return "\n".join(lines)


def as_data(figures: Figures, goals: tuple[Goal, ...]) -> dict[str, Any]:
    """The same for machines."""
    medians = figures.medians
    return {
        "figures": {
            name: {"unit": figures.units[name], "median": medians[name], "all": values}
            for name, values in figures.values.items()
        },
        "goals": [
            {
                "name": goal.name,
                "value": value,
                "least": goal.least,
                "most": goal.most,
                "reached": goal.reached(value),
            }
            for goal in goals
            if (value := goal.value(medians)) is not None
        ],
    }


def run(module: ModuleType, arguments: list[str] | None = None) -> None:
    """One benchmark as a command of its own."""
    main(sys.argv[1:] if arguments is None else arguments, [module])


def main(arguments: list[str], modules: list[ModuleType]) -> None:
    """Ask each question and tell its figures."""
    parser = argparse.ArgumentParser(description="Measure goque beside something else, in turns, in one run.")
    parser.add_argument("--rounds", type=int, default=5, help="how often each side is measured (5)")
    parser.add_argument("--tasks", type=int, default=100_000, help="tasks of a round where there are many (100,000)")
    parser.add_argument("--finished", type=int, default=1_000_000, help="finished tasks at most (1,000,000)")
    parser.add_argument("--json", action="store_true", help="figures for machines")
    parser.add_argument("--peers", metavar="NAMES", help="which other queues beside it (all that are installed); none")
    if len(modules) > 1:
        names = [_name(module) for module in modules]
        parser.add_argument("questions", nargs="*", metavar="question", help=", ".join(names))
    options = parser.parse_args(arguments)
    wanted = getattr(options, "questions", None) or [_name(module) for module in modules]
    unknown = set(wanted) - {_name(module) for module in modules}
    if unknown:
        known = ", ".join(_name(module) for module in modules)
        parser.error(f"no such question: {', '.join(sorted(unknown))}; there are {known}")
    data: dict[str, Any] = {}
    for module in modules:
        if _name(module) not in wanted:
            continue
        figures = Figures()
        measure: Callable[[Figures, argparse.Namespace], None] = module.measure
        if not options.json:
            print(f"{_name(module)}: {asked(module)}", flush=True)
        measure(figures, options)
        if options.json:
            data[_name(module)] = {"question": asked(module), **as_data(figures, module.GOALS)}
        else:
            print(told(figures, module.GOALS) + "\n", flush=True)
    if options.json:
        conditions = {"rounds": options.rounds, "tasks": options.tasks, **found()}
        print(json.dumps({"conditions": conditions, "questions": data}))


def _name(module: ModuleType) -> str:
    return str(module.__spec__.name if module.__spec__ else module.__name__).rpartition(".")[2]


def short(value: float) -> str:
    """Three digits are enough."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
