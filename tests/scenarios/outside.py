"""The world outside of the examples: a mail server and a web server on loopback. Not for: anything but tests."""

from __future__ import annotations

import socketserver
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Mail(socketserver.StreamRequestHandler):
    """Takes mail for everybody but ``nobody@...``."""

    server: Any

    def handle(self) -> None:
        self.say("220 ready")
        while line := self.rfile.readline().decode().strip():
            verb = line.upper()
            if verb.startswith("DATA"):
                self.say("354 go on")
                lines = iter(lambda: self.rfile.readline().decode().rstrip("\r\n"), ".")
                self.server.taken.append("\n".join(lines))
            unknown = verb.startswith("RCPT") and "nobody" in line
            self.say("221 bye" if verb == "QUIT" else "550 nobody of this name" if unknown else "250 fine")

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


_REFUSALS = {"/flaky": [503, 429], "/gone": [410]}
"""What the first posts to a path are answered."""


class Web(BaseHTTPRequestHandler):
    """Answers by path; ``/twice`` holds a request until there are two, ``/once`` for a moment."""

    server: Any

    def do_GET(self) -> None:
        server = self.server
        with server.news:
            server.inside[self.path] += 1
            server.most[self.path] = max(server.most[self.path], server.inside[self.path])
            server.news.notify_all()
            wanted, patience = (2, 10.0) if self.path == "/twice" else (99, 0.03)
            server.news.wait_for(lambda: server.most[self.path] >= wanted, timeout=patience)
            server.inside[self.path] -= 1
        self.answer(200)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with self.server.news:
            self.server.posted.append((self.path, body, self.headers["Idempotency-Key"]))
            asked = sum(path == self.path for path, _, _ in self.server.posted)
        answers = _REFUSALS.get(self.path, [])
        self.answer(answers[asked - 1] if asked <= len(answers) else 200)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: Any) -> None:
        """What it is asked is kept, not printed."""


class _MailServer(socketserver.ThreadingTCPServer):
    daemon_threads = True


@contextmanager
def world() -> Iterator[tuple[Any, Any]]:
    """A mail server (``taken``) and a web server (``posted``, ``most`` requests at once by path)."""
    mail: Any = _MailServer(("127.0.0.1", 0), Mail)
    web: Any = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    mail.taken, web.posted, web.inside, web.most, web.news = [], [], Counter(), Counter(), threading.Condition()
    threads = [threading.Thread(target=server.serve_forever, args=(0.05,)) for server in (mail, web)]
    for thread in threads:
        thread.start()
    try:
        yield mail, web
    finally:
        for server, thread in zip((mail, web), threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()
