"""The process of a local worker, started with ``python -m``. Not for: starting it (``app.local``)."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from goque.app.duties import SharedDuties
from goque.app.garbage import spare_collector
from goque.app.local import ring_of
from goque.app.signals import on_stop
from goque.app.spawning import Spawner
from goque.model.events import Events
from goque.model.manifest import App
from goque.observe import logs
from goque.postgres.database import Database
from goque.worker.crew import WorkerConfig
from goque.worker.worker import Worker


def main() -> None:
    """The process of a local worker."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(name)s %(levelname)s %(message)s")
    orders = _orders()
    first = next(orders, None)
    if first is None:
        return
    config = WorkerConfig(**first["config"], apps=[App.from_json(text) for text in first["apps"]])
    ring = ring_of(first["secret"], Path(first["key_file"]) if first["key_file"] else None)
    database = Database(
        first["dsn"],
        schema=first["schema"],
        max_connections=1,
        pooler=not config.listen,
        application_name="goque worker",
    )
    events = Events()
    logs.follow_others(events)
    duties = partial(SharedDuties, events=events)
    worker = Worker(database, ring, config, duties=duties, spawner=Spawner, events=events)
    on_stop(lambda _: worker.request_stop())
    threading.Thread(target=_follow_owner, args=(worker, orders), name="goque-owner", daemon=True).start()
    spare_collector()
    worker.run()
    database.close()


def _orders() -> Iterator[dict[str, Any]]:
    """What the owner says, a line each, until its end of the pipe closes."""
    # Read without a buffer object: a thread that waits in one would block the end of the process.
    buffer = b""
    while data := os.read(0, 65_536):
        *lines, buffer = (buffer + data).split(b"\n")
        yield from map(json.loads, lines)


def _follow_owner(worker: Worker, orders: Iterator[dict[str, Any]]) -> None:
    """Do what the owner says, and end when it is gone."""
    for order in orders:
        worker.serve(order.get("serve", []))
    worker.request_stop()


if __name__ == "__main__":
    main()
