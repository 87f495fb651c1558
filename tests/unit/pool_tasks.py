"""Functions that the pool tests run in children. Light on imports: every child that runs one imports this module."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import subprocess
import sys
import threading
import time
from typing import Any

from goque.errors import Cancel, GiveUp, RetryAfter, Snooze
from goque.worker.task.context import current
from goque.worker.task.once import once


def double(x: int) -> int:
    return 2 * x


def nothing(_: Any = None) -> None:
    return None


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def pid(_: Any = None) -> int:
    return os.getpid()


def wait_for_file(path: str) -> str:
    while not os.path.exists(path):
        time.sleep(0.002)
    return path


def fail(message: str) -> None:
    raise ValueError(message)


def crash(how: str) -> None:
    print("before the end", flush=True)
    if how == "segfault":
        ctypes.string_at(0)
    elif how == "abort":
        os.abort()
    elif how == "exit":
        os._exit(3)
    elif how == "kill":
        os.kill(os.getpid(), 9)


def leave(how: str) -> None:
    if how == "exit":
        sys.exit(4)
    raise KeyboardInterrupt


def verdict(how: str) -> None:
    raise {
        "cancel": Cancel("not wanted"),
        "give up": GiveUp("hopeless"),
        "retry": RetryAfter("90s"),
        "snooze": Snooze(45),
    }[how]


def spin_in_c(path: str) -> None:
    """Never comes back to Python: nothing but a kill ends it."""
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    libc = ctypes.PyDLL(None)  # holds the interpreter lock
    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    del callback
    libc.sleep(3600)


def spin_in_python(path: str) -> None:
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    while True:
        sum(range(100))


def swallow_interrupts(path: str) -> None:
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    while True:
        try:
            while True:
                sum(range(100))
        except BaseException:
            continue


def shout(megabytes: int) -> str:
    line = "x" * 99
    print("first line")
    for _ in range(megabytes * 10_000):
        print(line)
    print("last line")
    return "shouted"


def shout_in_c(megabytes: int) -> str:
    libc = ctypes.CDLL(None)
    line = b"y" * 9_999
    for _ in range(megabytes * 100):
        libc.write(1, line + b"\n", 10_000)
    return "shouted"


def say(_: Any = None) -> str:
    print("one on stdout")
    print("two on stderr", file=sys.stderr)
    logging.getLogger("mine").info("three in the log")
    os.write(1, b"four from C\n")
    subprocess.run(["echo", "five from a process"], check=True)
    sys.stdout.buffer.write(b"six as bytes\n")
    return "said"


def spoil_streams(_: Any = None) -> None:
    sys.stdout.close()
    sys.stdout = None
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def fork_and_return(_: Any = None) -> str:
    """Both the child and its copy return from here."""
    os.fork()
    return "returned"


def fork_a_long_life(path: str) -> str:
    """The copy holds every descriptor of the child and lives on."""
    child = os.fork()
    if child == 0:
        os.setsid()
        time.sleep(600)
        os._exit(0)
    with open(path, "w") as file:
        file.write(str(child))
    return "forked"


def leave_a_thread(_: Any = None) -> str:
    threading.Thread(target=time.sleep, args=(3600,)).start()
    return "left"


def leave_a_process(path: str) -> str:
    with open(path, "w") as file:
        file.write(str(subprocess.Popen(["sleep", "3600"]).pid))
    return "left"


class Unpicklable(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")
        self.lock = threading.Lock()


def return_lock(_: Any = None) -> object:
    return threading.Lock()


def raise_unpicklable(_: Any = None) -> None:
    raise Unpicklable(1, 2)


def return_bytes(size: int) -> bytes:
    return bytes(size)


def allocate(megabytes: int, seconds: float = 0.0) -> int:
    data = b"z" * (megabytes << 20)
    time.sleep(seconds)
    return len(data)


async def add_later(x: int, seconds: float = 0.0) -> int:
    await asyncio.sleep(seconds)
    return x + 1


async def loop_identity(_: Any = None) -> int:
    return id(asyncio.get_running_loop())


async def clean_up_slowly(path: str) -> None:
    with open(path, "w") as file:
        file.write("started")
    try:
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(0.05)
        with open(path, "w") as file:
            file.write("cleaned")


class Connection:
    def __init__(self, path: str) -> None:
        self.path = path
        self.note("opened")

    def note(self, word: str) -> None:
        with open(self.path, "a") as file:
            file.write(f"{word} {os.getpid()}\n")

    def close(self) -> None:
        self.note("closed")


def use_connection(path: str) -> int:
    return id(once(lambda: Connection(path), close=Connection.close))


def tell(_: Any = None) -> dict[str, Any]:
    context = current()
    context.progress(1, 2, "half")
    context.progress(2, 2, "all")
    restored = context.restored
    context.checkpoint({"at": (restored or {"at": 0})["at"] + 1})
    return {
        "task": context.task,
        "attempt": context.attempt,
        "deadline": context.deadline,
        "metadata": context.metadata,
        "restored": restored,
        "stopping": context.stopping,
        "position": context.position,
        "slot": None if context.slot is None else context.slot.isoformat(),
    }


def context_in_a_thread(_: Any = None) -> int:
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(current().task))
    thread.start()
    thread.join()
    return seen[0]


def wait_until_stopping(path: str) -> str:
    with open(path, "w") as file:
        file.write("started")
    while not current().stopping:
        time.sleep(0.002)
    return "stopped in order"


def write_nonsense(what: str) -> None:
    """Writes into the reply pipe, which it finds as the only pipe that can be written."""
    import fcntl

    for name in os.listdir("/proc/self/fd"):
        number = int(name)
        if number < 3:
            continue
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("pipe:") and fcntl.fcntl(number, fcntl.F_GETFL) & 1:
                os.write(number, {"garbage": b"\xff" * 200, "huge": b"\x01" + b"\x7f" * 60}[what])
        except OSError:
            continue
    time.sleep(60)


def see_environment(name: str) -> tuple[str | None, str, dict[str, str]]:
    return os.environ.get(name), os.getcwd(), {k: v for k, v in os.environ.items() if k.startswith(("GOQUE", "PG"))}


def open_descriptors(_: Any = None) -> list[str]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            continue
    return sorted(found)


def signal_setup(_: Any = None) -> tuple[bool, bool]:
    import signal

    return signal.getsignal(signal.SIGINT) == signal.SIG_IGN, signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def stubborn_policy(_attempt: int, _error: BaseException) -> float:
    return 12.5


def broken_policy(_attempt: int, _error: BaseException) -> float:
    raise RuntimeError("the policy itself")
