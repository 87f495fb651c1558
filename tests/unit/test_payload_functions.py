"""Capturing callables of every kind, and loading them where nothing of the notebook exists."""

from __future__ import annotations

import functools
import json
import math
import sys
import threading
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from goque.errors import InvalidInput, NotSerializable, PayloadTooLarge
from goque.payload.functions import capture, load, python_version, register_source
from tests.unit.payload_cells import run_cell, run_python


class Scaler:
    """Callable objects and bound methods of importable classes."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def __call__(self, x: int) -> int:
        return x * self.factor

    def scaled(self, x: int) -> int:
        return x * self.factor

    @classmethod
    def made(cls, x: int) -> int:
        return cls(2)(x)


def plus_one(x: int) -> int:
    return x + 1


@functools.wraps(plus_one)
def wrapped(x: int) -> int:
    return plus_one(x)


async def later(x: int) -> int:
    return x


NAMED: list[tuple[Any, str, Any]] = [
    (plus_one, f"{__name__}.plus_one", 4),
    (wrapped, f"{__name__}.plus_one", 4),
    (Scaler(2), f"{__name__}.Scaler", 6),
    (Scaler(2).scaled, f"{__name__}.Scaler.scaled", 6),
    (Scaler.made, f"{__name__}.Scaler.made", 6),
    (functools.partial(pow, 2), "builtins.pow", 8),
    (functools.partial(functools.partial(plus_one)), f"{__name__}.plus_one", 4),
    (math.sqrt, "math.sqrt", math.sqrt(3)),
    (str, "builtins.str", "3"),
    (json.dumps, "json.dumps", "3"),
    (np.negative, "numpy.negative", -3),
    ([].__len__, "builtins.list.__len__", None),
    (lambda x: x + 4, f"{__name__}.<lambda>", 7),
]


@pytest.mark.parametrize(("func", "name", "result"), NAMED, ids=[name for _, name, _ in NAMED])
def test_callables_of_every_kind_are_named_and_load_again(func: Any, name: str, result: Any) -> None:
    captured = capture(func)
    loaded = load(captured.code)
    if result is not None:
        assert captured.name == name
        assert loaded(3) == result
    assert captured.python == python_version()
    assert captured == capture(func)
    assert repr(captured.code) not in repr(captured)


def test_a_notebook_function_runs_where_the_notebook_is_not() -> None:
    cell = run_cell("""
        import functools
        offset = 10
        def shift(x): return x + offset
        @functools.lru_cache(maxsize=5)
        def slow(x): return shift(x)
        class Total:
            def add(self, x): return slow(x) + 1
        def work(x, *, times=2): return Total().add(x) * times
    """)
    captured = capture(cell["work"])
    assert captured.name == "__main__.work"
    script = """
        import sys
        from goque.payload.functions import load
        print(load(bytes.fromhex(sys.argv[1]))(1))
    """
    assert run_python(script, captured.code.hex()) == "24"


def test_the_source_is_kept_dedented_with_its_place() -> None:
    cell = run_cell("""
        x = 1
        if x:
            @staticmethod
            def work(y):
                # why
                return y
    """)
    captured = capture(cell["work"].__func__)
    assert captured.source == "@staticmethod\ndef work(y):\n    # why\n    return y\n"
    assert captured.first_line == 4
    assert captured.filename.startswith("<notebook cell ")
    assert "ipykernel" not in captured.filename


def test_a_decorated_function_shows_the_users_source() -> None:
    assert "return x + 1" in (capture(wrapped).source or "")


def test_the_same_cell_in_two_kernels_gives_the_same_bytes() -> None:
    text = "def work(x): return x + 1"
    one, other = (capture(run_cell(text, kernel=kernel)["work"]) for kernel in (1, 2))
    assert one.hash == other.hash
    assert b"ipykernel" not in one.code


def test_a_traceback_elsewhere_shows_the_lines_of_every_notebook_function_in_it() -> None:
    namespace = run_cell("""
        def helper(x):
            return 1 / x  # the line that fails
    """)
    run_cell(
        """

        def work(x):
            return helper(x) + 1
        """,
        namespace,
    )
    script = """
        import sys, traceback
        from goque.payload.functions import load
        try:
            load(bytes.fromhex(sys.argv[1]))(0)
        except ZeroDivisionError:
            print(traceback.format_exc())
    """
    shown = run_python(script, capture(namespace["work"]).code.hex())
    assert "return helper(x) + 1" in shown
    assert "return 1 / x  # the line that fails" in shown
    assert "<notebook cell " in shown
    assert "line 4, in work" in shown


def test_registered_sources_of_one_file_add_up() -> None:
    register_source("def b():\n    1 / 0\n", "<somewhere else>", 5)
    register_source("def a():\n    b()\n", "<somewhere else>", 1)
    namespace: dict[str, Any] = {}
    exec(compile("def a():\n    b()\n\n\ndef b():\n    1 / 0\n", "<somewhere else>", "exec"), namespace)
    with pytest.raises(ZeroDivisionError) as caught:
        namespace["a"]()
    shown = "".join(traceback.format_exception(caught.value))
    assert "    b()\n" in shown
    assert "    1 / 0\n" in shown


def test_a_file_that_is_here_is_left_alone() -> None:
    source = Path(__file__).read_text().splitlines(keepends=True)
    import linecache

    linecache.getlines(__file__)
    before = linecache.cache[__file__]
    register_source("".join(source[2:6]), __file__, 3)
    assert linecache.cache[__file__] is before


def test_coroutine_functions_are_known() -> None:
    class Async:
        async def __call__(self, x: int) -> int:
            return x

    for func in (later, functools.partial(later, 1), Async()):
        assert capture(func).is_coroutine
    assert not capture(plus_one).is_coroutine


def test_generators_are_refused_with_the_remedy() -> None:
    def numbers(n: int) -> Any:
        yield n

    async def later_numbers(n: int) -> Any:
        yield n

    class Numbers:
        def __call__(self, n: int) -> Any:
            yield n

    for func in (numbers, later_numbers, functools.partial(numbers, 1), Numbers()):
        with pytest.raises(InvalidInput, match="return a list"):
            capture(func)


def test_what_is_not_callable_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"type int: pass f itself, not f\("):
        capture(3)  # type: ignore[arg-type]


def test_a_function_that_cannot_be_pickled_is_refused_by_name() -> None:
    lock = threading.Lock()

    def locked(x: int) -> int:
        with lock:
            return x

    with pytest.raises(
        NotSerializable, match=r"locked cannot be sent to a worker: the function uses lock, a _thread.lock, which"
    ):
        capture(locked)


def test_the_largest_captured_values_are_named_through_helpers() -> None:
    cell = run_cell("""
        import numpy
        table = numpy.zeros(50_000)
        small = numpy.zeros(2_000)
        def helper(x): return table[x]
        def work(x, default=b"x" * 30_000): return helper(x) + small[x]
    """)
    captured = capture(cell["work"])
    assert list(captured.captured) == ["table", "default", "small"]
    assert 400_000 < captured.captured["table"] < 401_000
    assert captured.closure_size > 440_000


def test_what_an_object_or_partial_carries_is_named() -> None:
    assert list(capture(functools.partial(str, np.zeros(10_000))).captured) == ["argument 1"]
    assert list(capture(Scaler(np.zeros(10_000)).scaled).captured) == ["self"]  # type: ignore[arg-type]
    assert list(capture(Scaler(np.zeros(10_000))).captured) == ["factor"]  # type: ignore[arg-type]


def test_a_function_over_16_mib_is_refused_naming_the_variable_and_the_remedy() -> None:
    cell = run_cell("""
        import numpy
        table = numpy.zeros(3_000_000)
        def work(x): return table[x]
    """)
    with pytest.raises(
        PayloadTooLarge, match=r"work carries over 16 MiB, most of it in table \(22.* kwargs="
    ) as caught:
        capture(cell["work"])
    assert caught.value.size > caught.value.limit == 16 * 1024 * 1024


def test_needed_modules_are_named_and_local_ones_told_apart(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("VALUE = 3\ndef look(x):\n    return x + VALUE\n")
    script = """
        import sys
        sys.path.insert(0, sys.argv[1])
        import beside
        from goque.payload.codec import ship
        from goque.payload.functions import capture, load
        from tests.unit.payload_cells import run_cell
        cell = run_cell('''
            import json, numpy, pandas as pd
            import beside
            from beside import look
            def work(x): return json.dumps([beside.VALUE, look(x), numpy.sqrt(x), pd.DataFrame])
            def direct(x): return look(x)
        ''')
        work = capture(cell["work"])
        print(work.modules, work.local_modules)
        direct = capture(cell["direct"])
        print(direct.modules, direct.local_modules, capture(beside.look).local_modules)
        ship(beside)
        print(capture(cell["work"]).modules, capture(cell["direct"]).local_modules)
        print(capture(cell["direct"]).code.hex())
    """
    first, second, third, code = run_python(script, str(tmp_path)).splitlines()
    assert first == "('beside', 'numpy', 'pandas') ('beside',)"
    assert second == "('beside',) ('beside',) ('beside',)"
    assert third == "('numpy', 'pandas') ()"
    assert "beside" not in sys.modules
    assert load(bytes.fromhex(code))(1) == 4


def test_an_instance_of_an_installed_type_names_its_package() -> None:
    assert capture(functools.partial(np.add, np.arange(3))).modules == ("numpy",)
    assert capture(Counter).modules == ()


def test_a_script_function_keeps_its_own_file_name(tmp_path: Path) -> None:
    script = tmp_path / "job.py"
    script.write_text(
        "from goque.payload.functions import capture\n"
        "def work(x):\n    return 1 / x\n"
        "captured = capture(work)\n"
        "print(captured.name, captured.filename, captured.first_line, captured.modules)\n"
    )
    shown = run_python("import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__')", str(script))
    assert shown == f"__main__.work {script} 2 ()"


def test_a_function_without_source_is_known_by_its_name() -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec("def work(x): return x + 1", namespace)
    captured = capture(namespace["work"])
    assert captured.source is None
    assert captured.filename == ""
    assert load(captured.code)(1) == 2
    assert captured.source_key == capture(namespace["work"]).source_key
