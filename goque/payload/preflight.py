"""Checks before anything is stored: what fails here would have failed in every task. Not for: storing anything."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from goque.errors import InvalidInput, NotSerializable, PayloadTooLarge
from goque.payload.codec import decode_arguments, encode_arguments, readable_size
from goque.payload.functions import CODE_LIMIT, KEPT, CapturedFunction, load
from goque.payload.origins import module_file

FIRST_ITEM = "the first item"
"""What messages call the call that is checked, when it is one of many."""
WARN_SIZE = 256 * 1024
_ROUND_TRIP_LIMIT = 1024 * 1024
# By id: ``capture`` gives the same object for a function that has not changed, and one that is here keeps its id.
_known: dict[int, tuple[CapturedFunction, inspect.Signature | None]] = {}


def check(
    captured: CapturedFunction,
    args: tuple[Any, ...] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    option_names: Collection[str] | None = None,
    what: str = FIRST_ITEM,
) -> list[str]:
    """Warnings, each of which says what to do; raises for what cannot work.

    ``args`` and ``kwargs`` are those of the only call or of the first item, as ``what`` says; None when there is none.
    ``option_names`` are the words that ``q.options`` takes; without them every unexpected keyword is taken to be meant
    as one.

    NotSerializable when function or call do not survive a pickle round trip, PayloadTooLarge for a function over
    16 MiB, InvalidInput when the call does not fit the signature.
    """
    if captured.closure_size > CODE_LIMIT:
        raise PayloadTooLarge(_heavy(captured), size=captured.closure_size, limit=CODE_LIMIT)
    signature = _signature(captured)
    if args is not None:
        if signature is not None:
            _bind(signature, captured.name, args, kwargs or {}, option_names, what)
        _round_trip_arguments(args, kwargs or {}, what)
    warnings = [_local(name) for name in captured.local_modules]
    if captured.closure_size > WARN_SIZE:
        warnings.append(_heavy(captured))
    return warnings


def _signature(captured: CapturedFunction) -> inspect.Signature | None:
    """That of the function as it loads again; None where it has none, as some builtins and classes."""
    known = _known.get(id(captured))
    if known is not None and known[0] is captured:
        return known[1]
    func = _round_trip(captured)
    try:
        signature = inspect.signature(func)
    except (TypeError, ValueError):
        signature = None
    if captured.closure_size <= WARN_SIZE:
        if len(_known) >= KEPT:
            _known.clear()
        _known[id(captured)] = (captured, signature)
    return signature


def _round_trip(captured: CapturedFunction) -> Callable[..., Any]:
    try:
        func = load(captured.code)
    except Exception as error:
        raise NotSerializable(
            f"{captured.name} was pickled but does not load again ({type(error).__name__}: {error}): what it captures "
            "must be rebuilt from its pickle. Make that inside the function instead"
        ) from error
    if not callable(func):
        raise NotSerializable(f"{captured.name} loads as something that is not callable: pass a plain function")
    return func


def _round_trip_arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any], what: str) -> None:
    data = encode_arguments(args, kwargs)
    if len(data) > _ROUND_TRIP_LIMIT:
        return
    try:
        decode_arguments(data)
    except Exception as error:
        raise NotSerializable(
            f"{what} was pickled but does not load again ({type(error).__name__}: {error}): pass plain data, "
            "or give its type a __reduce__"
        ) from error


def _bind(
    signature: inspect.Signature,
    name: str,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    option_names: Collection[str] | None,
    what: str,
) -> None:
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        said = f"{what} does not fit {name.rpartition('.')[2]}{signature}: {error}"
        spread = ". map gives each item as one argument, starmap spreads a tuple or mapping over several"
        remedy = _remedy(signature, kwargs, option_names) or (spread if what == FIRST_ITEM else "")
        raise InvalidInput(said + remedy) from None


def _remedy(signature: inspect.Signature, kwargs: Mapping[str, Any], option_names: Collection[str] | None) -> str:
    unexpected = [name for name in kwargs if name not in signature.parameters]
    for name in unexpected:
        if option_names is None or name in option_names:
            return f". If {name} is meant for the task and not for the function, use q.options({name}=...)"
        close = difflib.get_close_matches(name, list(signature.parameters), 1)
        if close:
            return f". Did you mean {close[0]}?"
    return ""


def _heavy(captured: CapturedFunction) -> str:
    name, size = next(iter(captured.captured.items()), ("", 0))
    blamed = f", most of it in {name} ({readable_size(size)})" if name else ""
    return (
        f"{captured.name} carries {readable_size(captured.closure_size)} with it{blamed}: pass it as an argument, "
        "with kwargs= (stored once per batch), or as q.put(it), which the processes of a worker share"
    )


def _local(name: str) -> str:
    return (
        f"module {name} ({module_file(name)}) is not installed, so a worker elsewhere cannot import it: "
        f"q.ship({name}) sends it with the function"
    )
