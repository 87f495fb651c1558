"""A million attempts as a frame: how fast is ``q.history()``, beside raw ADBC and plain rows of the same columns?

python -m benchmarks.frames [--rounds 5] [--json]
"""

from __future__ import annotations

import argparse
import io
import time

import psycopg

from benchmarks.measuring import Figures, Goal, run
from benchmarks.servers import fresh_server
from benchmarks.used import finished_tasks

ROWS = 1_000_000
COLUMNS = ["task_id", "run", "status", "batch", "position", "queue", "created_at", "started_at", "finished_at", "run_s"]
_SELECT = """
select task.id, task.run, task.status, lane.batch_id, task.id % 1073741824, lane.queue, batch.created_at,
       task.started_at, task.finished_at, extract(epoch from task.finished_at - task.started_at)::float8
from goque.task join goque.lane on lane.id = task.lane_id join goque.batch on batch.id = lane.batch_id
"""
GOALS = (
    Goal("history / raw ADBC", "goque history", "raw ADBC", least=1 / 1.5),
    Goal("history / COPY and pyarrow.csv", "goque history", "COPY CSV and pyarrow", least=1 / 1.5),
    Goal("history / psycopg rows", "goque history", "psycopg rows", least=5),
)


def measure(figures: Figures, options: argparse.Namespace) -> None:
    """The same ten columns by each way, in turns."""
    import adbc_driver_postgresql.dbapi as adbc
    import pandas as pd
    import pyarrow.csv

    from goque import Queue

    with fresh_server() as dsn, Queue(workers=0) as q, psycopg.connect(dsn, autocommit=True) as connection:
        finished_tasks(q, ROWS)
        for _ in range(options.rounds):
            with figures.rate("goque history", ROWS):
                assert len(q.history(columns=COLUMNS, limit=2 * ROWS)) == ROWS
            with figures.rate("raw ADBC", ROWS), adbc.connect(dsn) as other, other.cursor() as cursor:
                cursor.execute(_SELECT)
                assert len(cursor.fetch_arrow_table().to_pandas()) == ROWS
            with figures.rate("COPY CSV and pyarrow", ROWS):
                text = io.BytesIO()
                with connection.cursor().copy(f"copy ({_SELECT}) to stdout (format csv)") as copy:
                    for chunk in copy:
                        text.write(chunk)
                text.seek(0)
                options_ = pyarrow.csv.ReadOptions(column_names=COLUMNS)
                assert len(pyarrow.csv.read_csv(text, read_options=options_).to_pandas()) == ROWS
            began = time.perf_counter()
            rows = connection.execute(f"{_SELECT} limit {ROWS // 10}").fetchall()
            assert len(pd.DataFrame(rows, columns=COLUMNS)) == ROWS // 10
            figures.note("psycopg rows", ROWS / 10 / (time.perf_counter() - began))


if __name__ == "__main__":
    import benchmarks.frames

    run(benchmarks.frames)
