"""How fast is ``list(q.map(f, items))`` from call to list, beside pools that keep nothing?

python -m benchmarks.results [--tasks 100000] [--rounds 5] [--json]

The pools run in memory: what they lose with their process, goque keeps. Each hands on one item at a time; joblib also
in chunks of a size that it finds by itself. dask.distributed and joblib are measured if installed.
"""

from __future__ import annotations

import argparse
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack

from benchmarks.measuring import Figures, Goal, run
from benchmarks.peers.company import left_out
from benchmarks.servers import fresh_server
from benchmarks.work import square

GOALS = (
    Goal("goque / ProcessPoolExecutor", "goque", "ProcessPoolExecutor, chunks of 1", least=2.5),
    Goal("goque / dask.distributed", "goque", "dask.distributed", least=10),
)
FEW = 5_000
"""Items for what takes a millisecond or so for each."""


def measure(figures: Figures, options: argparse.Namespace) -> None:
    """Each executor once a round, with two processes."""
    from goque import Queue

    expected = [square(number) for number in range(options.tasks)]
    with ExitStack() as stack:
        stack.enter_context(fresh_server())
        context = multiprocessing.get_context("spawn")
        executor = stack.enter_context(ProcessPoolExecutor(2, mp_context=context))
        pool = stack.enter_context(context.Pool(2))
        client, parallel = _dask(stack), _joblib(stack)
        q = stack.enter_context(Queue(workers=2))
        q.submit(square, 1).result()
        list(executor.map(square, range(100)))
        few = min(FEW * 4, options.tasks)
        for _ in range(options.rounds):
            with figures.rate("goque", options.tasks):
                assert list(q.map(square, range(options.tasks))) == expected
            with figures.rate("ProcessPoolExecutor, chunks of 1", few):
                assert list(executor.map(square, range(few))) == expected[:few]
            with figures.rate("multiprocessing.Pool.imap, chunks of 1", options.tasks):
                assert list(pool.imap(square, range(options.tasks))) == expected
            if client is not None:
                with figures.rate("dask.distributed", FEW):
                    assert client.gather(client.map(square, range(FEW), pure=False)) == expected[:FEW]
            for name, chunk, count in (
                ("joblib, chunks of 1", 1, FEW),
                ("joblib, chunks as it likes", "auto", options.tasks),
            ):
                if parallel is not None:
                    items = range(min(count, options.tasks))
                    parallel.batch_size = chunk
                    parallel.pre_dispatch = "all" if chunk == 1 else "2 * n_jobs"  # what is quickest for each
                    with figures.rate(name, len(items)):
                        assert parallel(_delayed(items)) == expected[: len(items)]


def _dask(stack: ExitStack):  # type: ignore[no-untyped-def]  # it may not be installed
    """A client of two processes at the setting that suits small tasks best, or None."""
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError:
        left_out("distributed")
        return None
    stack.enter_context(dask.config.set({"distributed.scheduler.worker-saturation": "inf"}))
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    return stack.enter_context(Client(stack.enter_context(cluster)))


def _joblib(stack: ExitStack):  # type: ignore[no-untyped-def]  # it may not be installed
    """Two processes of loky that stay, or None."""
    try:
        import joblib
    except ImportError:
        left_out("joblib")
        return None
    parallel = stack.enter_context(joblib.Parallel(n_jobs=2))
    parallel(_delayed(range(100)))
    return parallel


def _delayed(items: range):  # type: ignore[no-untyped-def]
    import joblib

    return (joblib.delayed(square)(item) for item in items)


if __name__ == "__main__":
    import benchmarks.results

    run(benchmarks.results)
