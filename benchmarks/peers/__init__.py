"""Other queues and executors as sides of the benchmarks, one file each. Not for: goque, or how a peer is best used.

A peer that keeps its tasks in PostgreSQL is a module with a docstring that says how it is set up (its quickest
settings on a machine of two cores, found by a short search), and with

* ``OPEN``: SQL that gives a row for each task that is not durably completed,
* ``BULK`` and ``DRAIN``: how many tasks it is given in a round, so that a round takes seconds,
* ``set_up(dsn)``: make its tables,
* ``client(dsn)``: a context with a `benchmarks.peers.company.Client`,
* ``work(dsn)``: run its worker, in a process of its own, until it is ended.

A peer that is not installed is left out, with a line that says how to install it: ``pip install -e '.[bench]'``.
"""
