"""Encoding objects: what comes back, what is refused, and what the refusal says."""

from __future__ import annotations

import pickle
import sys
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goque.errors import InvalidInput, NotSerializable, PayloadTooLarge, PythonMismatch
from goque.payload.codec import (
    BoundedBuffer,
    decode_arguments,
    dumps,
    encode_arguments,
    encoded_size,
    ensure_loadable,
    is_portable,
    loads,
    ship,
)
from tests.unit.payload_cells import run_cell, run_python

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@dataclass
class Settings:
    name: str
    lock: Any = None


@given(plain)
def test_plain_data_comes_back(value: Any) -> None:
    assert loads(dumps(value)) == value


@given(st.lists(plain, max_size=10).map(tuple), st.dictionaries(st.text(), plain, max_size=3))
def test_arguments_come_back_as_they_were_given(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    assert decode_arguments(encode_arguments(args, kwargs)) == (args, kwargs)


def test_a_call_whose_arguments_look_like_a_call_with_keywords_comes_back() -> None:
    assert decode_arguments(encode_arguments(((1,), {"a": 2}))) == (((1,), {"a": 2}), {})
    assert decode_arguments(encode_arguments(([1], {"a": 2}), {})) == (([1], {"a": 2}), {})


def test_importable_things_use_plain_pickle() -> None:
    for value in (1, "text", [1, {"a": (2,)}], Settings("x"), Counter("abc"), np.arange(5)):
        data = dumps(value)
        assert is_portable(data)
        assert pickle.loads(data) is not None


@pytest.mark.parametrize("dtype", ["f8", "U3", "M8[s]", object])
def test_large_arrays_and_texts_come_back(dtype: Any) -> None:
    array = np.ones(100_000).astype(dtype) if dtype is not object else np.array(["x", None] * 50_000, dtype=object)
    value = {
        "array": array,
        "view": array[::2],
        "text": "ä" * 100_000,
        "raw": bytearray(100_000),
        "more": [b"x" * 70_000],
    }
    back = loads(dumps(value))
    assert (back["array"] == array).all()
    assert (back["view"] == array[::2]).all()
    assert {**back, "array": 0, "view": 0} == {**value, "array": 0, "view": 0}
    assert isinstance(dumps(array), bytes)


def test_notebook_code_travels_by_value() -> None:
    cell = run_cell("""
        class Point:
            def __init__(self, x): self.x = x
        def double(x): return 2 * x
    """)
    data = dumps([cell["Point"](3), cell["double"]])
    assert not is_portable(data)
    script = """
        import sys
        from goque.payload.codec import loads
        point, double = loads(bytes.fromhex(sys.argv[1]))
        print(double(point.x))
    """
    assert run_python(script, data.hex()) == "6"


def test_a_text_that_mentions_main_comes_back() -> None:
    assert loads(dumps(["__main__", "cloudpickle"] * 10)) == ["__main__", "cloudpickle"] * 10


def test_encoding_stops_at_the_limit() -> None:
    pieces = 0

    class Piece:
        def __reduce__(self) -> tuple[Any, ...]:
            nonlocal pieces
            pieces += 1
            return bytes, (b"x" * 100_000,)

    with pytest.raises(PayloadTooLarge, match="to a file") as caught:
        dumps([Piece() for _ in range(1000)], limit=1_000_000)
    assert pieces < 50  # both ways of pickling may be tried, none of them to the end
    assert caught.value.limit == 1_000_000
    assert caught.value.size > 1_000_000


@pytest.mark.parametrize("value", ["x" * 2000, [1.5] * 2000, {"k": b"x" * 2000}, np.zeros(2000), (b"x" * 100_000,)])
def test_nothing_over_the_limit_is_encoded(value: Any) -> None:
    with pytest.raises(PayloadTooLarge):
        dumps(value, limit=1000)
    with pytest.raises(PayloadTooLarge):
        encode_arguments((value,), limit=1000)


def test_what_fits_exactly_is_accepted() -> None:
    value = list(range(1000))
    size = len(dumps(value))
    assert loads(dumps(value, limit=size)) == value
    with pytest.raises(PayloadTooLarge):
        dumps(value, limit=size - 1)


def test_a_large_array_is_refused_before_it_is_copied() -> None:
    sink = BoundedBuffer(1000)
    with pytest.raises(Exception, match="1000"):
        pickle.Pickler(sink, 5, buffer_callback=sink.take_buffer).dump(np.zeros(1_000_000))
    assert sink.size == 0


def test_an_encoder_is_usable_after_it_failed_or_refused() -> None:
    for _ in range(3):
        with pytest.raises(PayloadTooLarge):
            dumps([[0] * 20] * 20 + list(range(5000)), limit=100)
        with pytest.raises(NotSerializable):
            dumps([[threading.Lock()]])
        assert loads(dumps([[1], [2]])) == [[1], [2]]


def test_threads_that_encode_at_once_do_not_mix_their_bytes() -> None:
    start = threading.Barrier(4)
    wrong: list[int] = []

    def encode(number: int) -> None:
        value = [Settings(str(number))] * 50
        start.wait()
        wrong.extend(number for _ in range(200) if loads(dumps(value)) != value)

    threads = [threading.Thread(target=encode, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("args", "kwargs", "where"),
    [
        ((1, threading.Lock()), {}, "argument 2 cannot be pickled: it is a _thread.lock"),
        ((), {"key": {"a": [1, threading.Lock()]}}, "argument key['a'][1] cannot"),
        ((Settings("x", threading.Lock()),), {}, "argument 1.lock cannot"),
        ((list(range(3)), (i for i in range(3))), {}, "argument 2 cannot be pickled: it is a generator"),
    ],
)
def test_a_refusal_names_the_type_and_the_way_to_it(args: tuple[Any, ...], kwargs: dict[str, Any], where: str) -> None:
    with pytest.raises(NotSerializable) as caught:
        encode_arguments(args, kwargs)
    assert where in str(caught.value)
    assert isinstance(caught.value, TypeError)


def test_what_a_function_captures_is_named() -> None:
    lock = threading.Lock()

    def locked(x: int) -> int:
        with lock:
            return x

    with pytest.raises(NotSerializable, match="uses lock, a _thread.lock, which cannot be pickled"):
        dumps(locked)


def test_endless_nesting_is_refused_in_words() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(NotSerializable, match="nested too deeply"):
        dumps(nested)


def test_an_error_in_the_users_own_reduce_is_a_refusal() -> None:
    class Broken:
        def __reduce__(self) -> tuple[Any, ...]:
            raise ZeroDivisionError("no")

    with pytest.raises(NotSerializable, match="Broken"):
        dumps(Broken())


def test_a_shipped_module_travels_by_value(tmp_path: Path) -> None:
    (tmp_path / "shipped_here.py").write_text("class Thing:\n    size = 4\ndef size(thing):\n    return thing.size\n")
    script = """
        import sys
        sys.path.insert(0, sys.argv[1])
        import shipped_here
        from goque.payload.codec import dumps, ship
        before = dumps(shipped_here.Thing())
        ship(shipped_here)
        print(b"cloudpickle" in before, dumps([shipped_here.Thing(), shipped_here.size]).hex())
    """
    by_reference, data = run_python(script, str(tmp_path)).split()
    assert by_reference == "False"
    assert "shipped_here" not in sys.modules
    thing, size = loads(bytes.fromhex(data))
    assert size(thing) == 4


def test_only_source_modules_can_be_shipped() -> None:
    with pytest.raises(InvalidInput, match="import it"):
        ship("mylib")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="compiled"):
        ship(sys)
    ship(ModuleType("made_here"))  # travels by value anyway


def test_code_of_another_python_is_not_loaded() -> None:
    code = dumps(run_cell("def f(x): return x")["f"])
    with pytest.raises(PythonMismatch) as caught:
        ensure_loadable(code, "3.2")
    assert caught.value.python == "3.2"
    ensure_loadable(dumps([1, 2]), "3.2")
    ensure_loadable(code, f"{sys.version_info.major}.{sys.version_info.minor}")


def test_a_size_is_measured_up_to_a_limit() -> None:
    assert 8000 < encoded_size(np.zeros(1000), 1 << 20) < 9000
    assert encoded_size(np.zeros(1000), 100) == 101


def test_the_codec_does_not_load_cloudpickle_for_plain_data() -> None:
    script = """
        import sys
        from goque.payload.codec import dumps
        from goque.payload import functions, failures, preflight
        dumps([1, [2]])
        print("cloudpickle" in sys.modules, "numpy" in sys.modules, "psycopg" in sys.modules)
    """
    assert run_python(script) == "False False False"
