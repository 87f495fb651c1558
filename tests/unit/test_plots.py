"""What plots draw, by their artists. Not for: how it looks."""

from __future__ import annotations

import time
import warnings
from itertools import combinations
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb

from goque import plots
from goque.errors import InvalidInput
from goque.history.dtypes import STATUS
from goque.notebook import bins
from goque.notebook.palette import LOOKS

matplotlib.use("Agg")
EVERY = [getattr(plots, name) for name in plots.__all__]
each_plot = pytest.mark.parametrize("plot", EVERY, ids=plots.__all__)


@pytest.fixture(autouse=True)
def close_figures() -> Any:
    from matplotlib import pyplot

    shown = pyplot.show
    pyplot.show = lambda *_, **__: pytest.fail("a plot was shown")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    pyplot.show = shown
    pyplot.close("all")


def runs(number: int, *, workers: int = 3, failed_every: int = 10) -> pd.DataFrame:
    """A frame of history: each worker runs one after the other, half a second each."""
    place = np.arange(number)
    starts = pd.Timestamp("2026-11-24T09:30Z") + pd.to_timedelta(place // workers * 0.5, unit="s")
    status = np.where(place % failed_every == failed_every - 1, "error", "done")
    return pd.DataFrame(
        {
            "status": pd.Categorical(status, dtype=STATUS),
            "worker": pd.array(place % workers + 1, dtype="Int64"),
            "host": "here",
            "started_at": starts.as_unit("us"),
            "finished_at": (starts + pd.Timedelta("0.5s")).as_unit("us"),
            "run_s": 0.5,
            "wait_s": place / 100,
            "max_rss_mb": 100.0 + place % 50,
        }
    )


def legend(ax: Axes) -> list[str]:
    found = ax.get_legend()
    return [] if found is None else [text.get_text() for text in found.get_texts()]


def areas(ax: Axes) -> dict[str, int]:
    return {str(one.get_label()): len(one.get_paths()) for one in ax.collections if isinstance(one, PolyCollection)}


@each_plot
@pytest.mark.parametrize("number", [0, 1, 2])
def test_hardly_any_runs_give_axes_too(plot: Any, number: int) -> None:
    ax = plot(runs(2)[:number])
    ax.figure.canvas.draw()
    assert bool(ax.texts) == (number == 0), "empty axes say why, others need not"
    assert bool(legend(ax)) == (number > 0)


@each_plot
def test_a_plot_goes_where_it_is_told_and_draws_nowhere_else(plot: Any) -> None:
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2)
    assert plot(runs(10), ax=left) is left
    assert not right.has_data()
    assert pyplot.get_fignums() == [figure.number]


@each_plot
def test_a_hundred_thousand_runs_are_drawn_in_a_moment_with_few_artists(plot: Any) -> None:
    frame = runs(100_000)
    began = time.perf_counter()
    ax = plot(frame)
    ax.figure.canvas.draw()
    assert time.perf_counter() - began < 4.0  # usually a tenth of that; machines are busy
    assert len(ax.get_children()) < 40
    vertices = sum(len(path.vertices) for one in ax.collections for path in one.get_paths())
    assert vertices < 20_000
    assert any("failed 10,000" in text for text in legend(ax))


@each_plot
def test_runs_that_are_not_over_and_tasks_that_have_not_run_are_no_trouble(plot: Any) -> None:
    frame = runs(4)
    frame.loc[1, "status"], frame.loc[1, "finished_at"] = "processing", pd.NaT
    frame.loc[2, ["status", "worker", "started_at", "finished_at", "run_s", "wait_s", "max_rss_mb"]] = [
        "new", pd.NA, pd.NaT, pd.NaT, np.nan, np.nan, np.nan
    ]  # fmt: skip
    ax = plot(frame)
    assert legend(ax)[0] == "done 2"


def test_a_timeline_has_a_bar_for_each_run_in_the_row_of_its_worker() -> None:
    ax = plots.timeline(runs(30))
    assert areas(ax) == {"done": 27, "error": 3}
    assert [label.get_text() for label in ax.get_yticklabels()] == ["worker 1", "worker 2", "worker 3"]
    assert legend(ax) == ["done 27", "failed 3"]


def test_a_long_timeline_has_an_area_for_each_worker_and_marks_where_runs_failed() -> None:
    ax = plots.timeline(runs(6_000, failed_every=3_000))
    assert areas(ax) == {"done": 3, "error": 1}  # both failed at the third worker
    (marks,) = [one for one in ax.collections if not isinstance(one, PolyCollection)]
    assert len(marks.get_offsets()) == 2


def test_throughput_counts_every_run_once() -> None:
    ax = plots.throughput(runs(300, workers=6))
    heights = [patch.get_data() for patch in ax.patches]
    length = heights[0].edges[1] - heights[0].edges[0]
    total = sum((data.values - data.baseline).sum() for data in heights) * length * 86_400
    assert total == pytest.approx(300)
    assert ax.get_ylabel() == "runs per second"


def test_durations_far_apart_are_shown_by_factors() -> None:
    frame = runs(100)
    frame["run_s"] = np.geomspace(0.001, 100, 100)
    ax = plots.durations(frame)
    assert ax.get_xscale() == "log"
    assert legend(ax)[-2:] == ["median 0.3 s", "95 % 56 s"]
    assert plots.durations(runs(100)).get_xscale() == "linear"


# What is left of linear red, green and blue: G. M. Machado and others, "A Physiologically-based Model for Simulation of
# Color Vision Deficiency", 2009, at full severity.
SIGHT = {
    "usual": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
EASILY_TOLD = 15
"""Of CIE 1976, in which 2.3 is a difference that is just seen."""


def as_seen(colour: str, sight: list[list[float]]) -> np.ndarray:
    """The colour in L*a*b*, as such eyes see it."""
    parts = np.array(to_rgb(colour))
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    light = np.array(XYZ) @ np.clip(np.array(sight) @ linear, 0, 1) / [0.9505, 1, 1.089]
    x, y, z = np.where(light > 0.008856, np.cbrt(light), 7.787 * light + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIGHT)
def test_the_colour_blind_tell_each_status_from_each_other(sight: str) -> None:
    seen = {name: as_seen(look.colour, SIGHT[sight]) for name, look in LOOKS.items()}
    near = {pair: np.linalg.norm(seen[pair[0]] - seen[pair[1]]) for pair in combinations(seen, 2)}
    assert {pair: found for pair, found in near.items() if found < EASILY_TOLD} == {}


def test_each_status_has_a_colour_a_hatch_and_a_marker_of_its_own() -> None:
    for what in ("colour", "hatch", "marker", "word"):
        assert len({getattr(look, what) for look in LOOKS.values()}) == len(LOOKS)


def test_what_cannot_be_drawn_is_refused_with_what_can() -> None:
    with pytest.raises(InvalidInput, match="no column max_rss_mb"):
        plots.memory(runs(3).drop(columns="max_rss_mb"))
    with pytest.raises(InvalidInput, match="a batch, a queue or a frame of history"):
        plots.timeline([1, 2])


def test_runs_side_by_side_get_lanes_and_one_after_the_other_share_one() -> None:
    starts, ends = np.array([0.0, 0.5, 1.0, 2.0]), np.array([1.0, 1.5, 2.0, 3.0])
    assert bins.lanes(starts, ends) == [0, 1, 0, 0]
    rough = starts - [0.0, 0.0, 0.01, 0.01]
    assert max(bins.lanes(rough, ends)) == 1, "what overlaps by the roughness of moments follows each other"
    assert bins.lanes(starts / 100, ends / 100) == [0, 1, 0, 0], "short runs are no less side by side"


def test_how_busy_a_worker_was_adds_up_to_what_it_ran() -> None:
    rng = np.random.default_rng(1)
    starts = rng.uniform(0, 90, 500)
    ends = starts + rng.uniform(0, 9, 500)
    edges, length = bins.steps(starts.min(), ends.max(), 50)
    assert (bins.busy(starts, ends, edges) * length).sum() == pytest.approx((ends - starts).sum())
