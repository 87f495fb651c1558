"""A benchmark as a command, small: figures of both sides and what is compared, for people and for machines."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import psycopg
import pytest

from benchmarks.measuring import Figures
from benchmarks.peers.company import PEERS, Peer, peers
from benchmarks.peers.starts import listening
from benchmarks.servers import fresh_server
from benchmarks.sustained import waits


def bench(*arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GOQUE_")}
    command = [
        sys.executable,
        "-m",
        "goque.cli",
        "bench",
        *arguments,
        "--rounds",
        "1",
        "--tasks",
        "2000",
        "--peers",
        "none",
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_figures_for_machines() -> None:
    data = json.loads(bench("enqueue", "drain", "--json"))
    assert data["conditions"]["settings"]["fsync"] == "on"
    told = data["questions"]
    assert set(told) == {"enqueue", "drain"}
    rates = {name: one["median"] for name, one in told["enqueue"]["figures"].items()}
    assert rates.keys() == {"raw COPY", "goque map"}
    [goal] = told["enqueue"]["goals"]
    assert goal["value"] == rates["goque map"] / rates["raw COPY"]
    assert goal["reached"] == (goal["value"] >= goal["least"])
    assert told["drain"]["figures"]["goque, 1 worker"]["median"] > 0


def test_an_unknown_question_is_told_with_those_there_are() -> None:
    command = [sys.executable, "-m", "benchmarks", "speed"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "no such question: speed" in done.stderr
    assert "enqueue" in done.stderr


@pytest.fixture(scope="module")
def bench_server() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOQUE_HOME", "")  # put back afterwards
        with fresh_server() as dsn:
            yield dsn


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_that_is_installed_runs_what_it_is_given(name: str, bench_server: str) -> None:
    pytest.importorskip(name)
    peer = Peer(name, bench_server)
    dsn = peer.fresh()
    with peer.client(dsn) as client, psycopg.connect(dsn, autocommit=True) as looker:
        client.enqueue(30)
        client.submit(3)
        assert len(looker.execute(peer.module.OPEN).fetchall()) == 33
        assert peer.drain(dsn, 2) > 0
        assert looker.execute(peer.module.OPEN).fetchall() == []
    with listening() as starts, peer.client(dsn) as client, peer.workers(dsn, 1) as workers:
        workers.go()
        before = time.monotonic()
        client.start()
        assert before < starts.next() < time.monotonic()


def test_peers_that_are_not_installed_are_left_out_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.peers.company.find_spec", lambda name: None)
    assert peers("", argparse.Namespace(peers="awa,dbos")) == []
    assert "awa-pg, dbos (pip install -e '.[bench]')" in capsys.readouterr().err


def test_the_best_of_several_sides_is_told_of_once_more() -> None:
    figures = Figures()
    for slow, quick in ((1.0, 3.0), (9.0, 4.0), (2.0, 5.0)):
        figures.note("slow", slow)
        figures.note("quick", quick)
    figures.pick("the best", max, ["slow", "quick"])
    figures.pick("nobody", max, [])
    assert figures.medians == {"slow": 2.0, "quick": 4.0, "the best": 4.0}


def test_a_share_waits_until_as_many_are_done_as_were_given_with_it() -> None:
    looks = [(0.5, 4), (2.0, 5), (2.5, 9), (4.0, 15)]
    assert waits([0.0, 1.0, 3.0], looks, 5) == [1.0, 2.0, 3.0]
