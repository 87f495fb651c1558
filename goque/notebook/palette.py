"""How a status looks in a plot, and axes dressed for it. Not for: what is drawn (``plots``), or numbers (``bins``).

Colours are those of Okabe and Ito, which the colour-blind tell apart; a hatch and a marker say the same once more.
Everything else follows the style in force, so that a dark notebook gets a dark plot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from goque.errors import InvalidInput
from goque.model.durations import in_words
from goque.model.states import Status
from goque.notebook.bins import round_length

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (9.0, 3.6)


@dataclass(frozen=True, slots=True)
class Look:
    """Colour, hatch and marker of a status."""

    colour: str
    hatch: str
    marker: str
    word: str
    """What a run of this status is called."""


LOOKS: Mapping[str, Look] = {
    Status.DONE: Look("#0072B2", "", "o", "done"),
    Status.PROCESSING: Look("#56B4E9", "---", ">", "running"),
    Status.PENDING: Look("#E69F00", "...", "D", "no verdict"),
    Status.CANCELED: Look("#8C8C8C", "xxx", "s", "canceled"),
    Status.ERROR: Look("#D55E00", "////", "X", "failed"),
}
"""In the order in which they are stacked: failures on top."""


def new_axes(ax: Axes | None, title: str, height: float = SIZE[1]) -> Axes:
    """The axes that were given, or new ones of the figure size that suits, with a title and little else.

    Raises:
        InvalidInput: matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot
    except ImportError:
        raise InvalidInput("plots need matplotlib: pip install 'goque[plots]'") from None
    if ax is None:
        _, ax = pyplot.subplots(figsize=(SIZE[0], height), layout="constrained")
    ax.set_title(title, loc="left", fontsize="medium", fontweight="bold", pad=24)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(visible=True, color=ax.xaxis.label.get_color(), alpha=0.12, linewidth=0.8)
    ax.set_axisbelow(True)
    return ax


def in_time(ax: Axes) -> None:
    """Moments along the bottom, as short as they can be told."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=8)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    ax.set_xlabel("UTC", loc="left", fontsize="small")


def in_lengths(axis: Any, longest: float | None = None) -> None:
    """Seconds along this axis, in words; at round lengths up to ``longest`` where that is given."""
    from matplotlib.ticker import FuncFormatter, MultipleLocator, NullFormatter

    if longest is not None:
        axis.set_major_locator(MultipleLocator(round_length(longest or 1.0, 6)))
    axis.set_major_formatter(FuncFormatter(lambda seconds, _: in_words(seconds)))
    axis.set_minor_formatter(NullFormatter())


def painted(status: str, ax: Axes) -> dict[str, Any]:
    """The keywords that fill an area with the look of a status."""
    look = LOOKS[status]
    return {"facecolor": look.colour, "hatch": look.hatch, "edgecolor": ax.get_facecolor(), "linewidth": 0.0}


def areas(ax: Axes, statuses: Any) -> list[Any]:
    """An entry of the legend for each status that occurs, with its number of runs, as areas show it."""
    from matplotlib.patches import Patch

    counts = numbers_of_status(statuses)
    return [Patch(**painted(status, ax), label=f"{LOOKS[status].word} {number:,}") for status, number in counts.items()]


def points(ax: Axes, at: Any, values: Any, statuses: Any, shown: Any) -> list[Any]:
    """A point for each of the runs to be shown, and the entries of the legend, which count all runs."""
    return [
        ax.scatter(
            at[some],
            values[some],
            s=30,
            marker=LOOKS[status].marker,
            color=LOOKS[status].colour,
            edgecolors=ax.get_facecolor(),
            linewidths=0.4,
            alpha=0.85,
            zorder=3,
            label=f"{LOOKS[status].word} {number:,}",
        )
        for status, number in numbers_of_status(statuses).items()
        if (some := shown & (statuses == status)).any()
    ]


def explain(ax: Axes, handles: Sequence[Any]) -> None:
    """These entries as a line of legend above the axes."""
    if handles:
        legend = ax.legend(
            handles=list(handles),
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            borderaxespad=0.2,
            borderpad=0,
            ncols=len(handles),
            frameon=False,
            fontsize="small",
            handlelength=1.6,
            columnspacing=1.4,
        )
        legend.set_in_layout(False)  # a long line must not narrow the plot


def say_nothing_ran(ax: Axes, what: str) -> Axes:
    """Axes without data that say so."""
    ax.text(0.5, 0.5, what, ha="center", va="center", transform=ax.transAxes, alpha=0.7)
    ax.set(xticks=[], yticks=[])
    ax.grid(visible=False)
    return ax


def numbers_of_status(statuses: Any) -> dict[str, int]:
    """How many runs there are of each status that occurs, in the order of ``LOOKS``."""
    names, counts = np.unique(np.asarray(statuses, dtype=object).astype(str), return_counts=True)
    found = dict(zip(names.tolist(), counts.tolist(), strict=True))
    return {status: found[status] for status in LOOKS if status in found}
