"""Exceptions as data and back: types, tracebacks, and what happens to exceptions that misbehave."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from goque.errors import InvalidInput, PayloadTooLarge, TaskFailed
from goque.payload.codec import loads
from goque.payload.failures import EXCEPTION_LIMIT, TRACEBACK_LIMIT, Failure, RemoteTraceback, rebuild, shortened
from goque.payload.functions import capture, load
from goque.payload.preflight import check
from tests.unit.payload_cells import run_cell, run_python


class Plain(Exception):
    pass


class TwoArguments(Exception):
    """Does not survive plain pickle: pickle calls it with its message."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


class Swallowing(Exception):
    """Survives pickle with another message."""

    def __init__(self, code: object = 0) -> None:
        super().__init__(f"code {code}")


class Unfriendly(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class NoNew(Exception):
    def __new__(cls, *, only: int) -> NoNew:
        return super().__new__(cls)

    def __init__(self, *, only: int) -> None:
        super().__init__("made")
        self.only = only


def caught(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as raised:
        return raised


def returned(error: BaseException, **options: Any) -> BaseException:
    return rebuild(Failure.of(caught(error)), **options)


def test_a_builtin_error_comes_back_as_itself() -> None:
    failure = Failure.of(caught(ValueError("bad", 3)))
    assert failure.error_type == "ValueError"
    assert failure.message == "('bad', 3)"
    error = rebuild(failure, note="task 7, attempt 1", task_id=7)
    assert type(error) is ValueError
    assert error.args == ("bad", 3)
    assert error.__notes__ == ["task 7, attempt 1"]


def test_the_remote_traceback_is_the_cause_and_is_shown() -> None:
    error = returned(Plain("oops"), note="on worker w1")
    assert isinstance(error.__cause__, RemoteTraceback)
    shown = "".join(traceback.format_exception(error))
    assert "in caught" in shown
    assert "    raise error" in shown
    assert "direct cause" in shown
    assert "on worker w1" in shown


def test_an_own_type_is_named_with_its_module() -> None:
    failure = Failure.of(caught(Plain("oops")))
    assert failure.error_type == f"{__name__}.Plain"
    assert type(rebuild(failure)) is Plain


@pytest.mark.parametrize("error", [TwoArguments(4, "text"), Swallowing(3), InvalidInput("x"), OSError(2, "none", "f")])
def test_types_whose_init_takes_something_else_come_back_with_message_and_attributes(error: Exception) -> None:
    back = returned(error)
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert {**vars(back), "__notes__": 0} == {**vars(error), "__notes__": 0}


def test_errors_of_goque_with_data_come_back() -> None:
    back = returned(PayloadTooLarge("too large", size=3, limit=2))
    assert isinstance(back, PayloadTooLarge)
    assert (back.size, back.limit) == (3, 2)


def local_type() -> type[Exception]:
    return run_cell("class Local(Exception):\n    pass\n")["Local"]  # type: ignore[no-any-return]


def test_a_notebook_type_comes_back_as_the_notebooks_own() -> None:
    kind = local_type()
    assert type(returned(kind("x"))) is kind


def test_an_exception_that_cannot_be_pickled_becomes_task_failed() -> None:
    error = Plain("holds a generator")
    error.held = (i for i in range(3))  # type: ignore[attr-defined]
    failure = Failure.of(caught(error))
    assert failure.exception is None
    back = rebuild(failure, note="note", task_id=9)
    assert type(back) is TaskFailed
    assert back.task_id == 9
    assert back.error_type == f"{__name__}.Plain"
    assert "holds a generator" in str(back)
    assert "Plain: holds a generator" in back.remote_traceback
    assert isinstance(back.__cause__, RemoteTraceback)
    assert back.__notes__ == ["note"]


@pytest.mark.parametrize("error", [NoNew(only=1), SystemExit(3), KeyboardInterrupt(), GeneratorExit("x")])
def test_what_cannot_or_must_not_be_raised_again_becomes_task_failed(error: BaseException) -> None:
    failure = Failure.of(caught(error))
    assert failure.exception is None
    back = rebuild(failure)
    assert type(back) is TaskFailed
    assert type(error).__name__ in str(back)


def test_an_exception_that_does_not_load_here_becomes_task_failed() -> None:
    failure = Failure("gone.Error", "text", "Traceback", "", b"\x80\x05\x8c\x04gone\x8c\x05Error\x93.")
    back = rebuild(failure)
    assert type(back) is TaskFailed
    assert str(back) == "gone.Error: text"


def test_code_of_another_python_is_not_loaded_but_plain_exceptions_are() -> None:
    assert type(rebuild(Failure.of(caught(local_type()("x"))), python="3.2")) is TaskFailed
    assert type(rebuild(Failure.of(caught(ValueError("x"))), python="3.2")) is ValueError


def test_an_exception_whose_text_fails_is_still_described() -> None:
    failure = Failure.of(caught(Unfriendly()))
    assert "RuntimeError in __str__" in failure.message
    assert failure.error_type.endswith("Unfriendly")
    assert "in caught" in failure.traceback


def test_a_large_exception_is_described_and_not_kept() -> None:
    failure = Failure.of(caught(ValueError("x" * (EXCEPTION_LIMIT + 1))))
    assert failure.exception is None
    assert len(failure.message.encode()) <= 8 * 1024
    assert len(failure.traceback.encode()) <= TRACEBACK_LIMIT


def test_a_long_traceback_loses_its_middle_only() -> None:
    message = "begin" + "ä€" * 100_000 + "end"
    failure = Failure.of(caught(ValueError(message)))
    assert failure.traceback.startswith("Traceback (most recent call last)")
    assert failure.traceback.rstrip().endswith("end")
    assert "bytes cut" in failure.traceback
    assert TRACEBACK_LIMIT - 200 < len(failure.traceback.encode()) <= TRACEBACK_LIMIT
    assert shortened("short", 100) == "short"


def test_text_that_postgresql_would_refuse_is_spelled_out() -> None:
    failure = Failure.of(caught(ValueError("nul \0 and \ud800")))
    assert failure.message == "nul \\x00 and \\ud800"
    assert "\0" not in failure.traceback
    failure.traceback.encode()


def test_chained_causes_and_groups_are_shown() -> None:
    try:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise BaseExceptionGroup("several", [caught(Plain("second"))]) from error
    except BaseExceptionGroup as error:
        failure = Failure.of(error)
    for part in ("KeyError: 'first'", "direct cause", "several", "Plain: second"):
        assert part in failure.traceback


def test_frames_of_goque_are_cut_and_the_users_last_frame_is_named() -> None:
    work = run_cell("""
        import json
        from goque.payload.functions import capture
        def outer(x):
            return inner(x)
        def inner(x):
            return json.loads(x)
        def misuse(x):
            return capture(x)
    """)
    for name, frame in (("outer", ":7 inner"), ("misuse", ":9 misuse")):
        captured = capture(work[name])
        try:
            load(captured.code)("{")
        except ValueError as error:
            failure = Failure.of(error)
        assert failure.user_frame == f"{captured.filename}{frame}"
        assert "goque/payload" not in failure.traceback
        assert "<notebook cell " in failure.traceback
    assert "return capture(x)" in failure.traceback


def test_an_error_of_goque_alone_keeps_its_frames() -> None:
    with pytest.raises(AttributeError) as raised:
        check(None)  # type: ignore[arg-type]
    error = raised.value
    assert error.__traceback__ is not None
    error.__traceback__ = error.__traceback__.tb_next
    assert "preflight.py" in Failure.of(error).traceback


def test_a_traceback_from_another_process_shows_notebook_lines() -> None:
    captured = capture(run_cell("def work(x):\n    return 1 / x\n")["work"])
    script = """
        import sys
        from goque.payload.codec import dumps
        from goque.payload.failures import Failure
        from goque.payload.functions import load
        try:
            load(bytes.fromhex(sys.argv[1]))(0)
        except Exception as error:
            print(dumps(Failure.of(error)).hex())
    """
    failure = loads(bytes.fromhex(run_python(script, captured.code.hex())))
    assert failure.user_frame == f"{captured.filename}:2 work"
    error = rebuild(failure)
    assert type(error) is ZeroDivisionError
    assert "    return 1 / x\n" in str(error.__cause__)


def test_a_restarted_notebook_gets_its_own_class_back() -> None:
    cell = "class Local(Exception):\n    pass\n"
    kind = run_cell(cell)["Local"]
    data = Failure.of(caught(kind("text"))).exception
    assert data is not None
    script = """
        import sys
        class Local(Exception):
            pass
        from goque.payload.failures import Failure, rebuild
        try:
            raise rebuild(Failure("__main__.Local", "text", "", "", bytes.fromhex(sys.argv[1])))
        except Local as error:
            print(error)
    """
    assert run_python(script, data.hex()) == "text"
