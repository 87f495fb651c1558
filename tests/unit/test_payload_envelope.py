"""Signed envelopes: what was sealed opens, and nothing else does."""

from __future__ import annotations

import hashlib
import hmac
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goque.errors import KeyMissing, SignatureInvalid
from goque.payload.envelope import Opener, Purpose, Sealer, context_of, key_id_of, open_, seal
from goque.payload.keys import KeyKind, KeyRing

RING = KeyRing.from_text("a secret that is long enough")
EMPTY = KeyRing.empty()
CONTEXT = struct.pack(">qq", 7, 11)


@given(st.sampled_from(Purpose), st.binary(), st.binary())
def test_what_was_sealed_opens_under_the_same_purpose_and_context(
    purpose: Purpose, context: bytes, body: bytes
) -> None:
    blob = Sealer.of(RING, purpose).seal(context, body)
    assert bytes(open_(RING, purpose, context, blob)) == body
    assert bytes(open_(RING, purpose, context, memoryview(blob))) == body


@given(st.binary(), st.binary(), st.binary(), st.binary())
def test_no_other_split_of_context_and_body_is_accepted(
    context: bytes, body: bytes, other_context: bytes, other_body: bytes
) -> None:
    blob = Sealer.of(RING, Purpose.ARGUMENTS).seal(context, body)
    forged = blob[:21] + other_body
    if (context, body) != (other_context, other_body):
        with pytest.raises(SignatureInvalid):
            open_(RING, Purpose.ARGUMENTS, other_context, forged)


def test_bytes_moved_between_context_and_body_are_refused() -> None:
    blob = Sealer.of(RING, Purpose.ARGUMENTS).seal(b"ab", b"cd")
    with pytest.raises(SignatureInvalid):
        open_(RING, Purpose.ARGUMENTS, b"abc", blob[:21] + b"d")


def test_a_change_of_any_bit_is_refused() -> None:
    blob = Sealer.of(RING, Purpose.SINGLE).seal(CONTEXT, b"body")
    for position in range(len(blob)):
        for bit in range(8):
            changed = bytearray(blob)
            changed[position] ^= 1 << bit
            with pytest.raises((SignatureInvalid, KeyMissing)):
                open_(RING, Purpose.SINGLE, CONTEXT, bytes(changed))


def test_a_cut_or_lengthened_envelope_is_refused() -> None:
    blob = Sealer.of(RING, Purpose.SINGLE).seal(CONTEXT, b"body")
    for cut in range(len(blob)):
        with pytest.raises(SignatureInvalid):
            open_(RING, Purpose.SINGLE, CONTEXT, blob[:cut])
    with pytest.raises(SignatureInvalid):
        open_(RING, Purpose.SINGLE, CONTEXT, blob + b"x")


def test_an_opener_that_knows_the_key_refuses_the_same() -> None:
    blob = Sealer.of(RING, Purpose.SINGLE).seal(CONTEXT, b"body")
    opener = Opener(RING, Purpose.SINGLE)
    assert opener.open(CONTEXT, blob) == b"body"
    unsigned = Sealer.of(EMPTY, Purpose.SINGLE).seal(CONTEXT, b"body")
    for changed in (*(blob[:cut] for cut in range(len(blob))), blob + b"x", b"\0" + blob[1:], unsigned):
        with pytest.raises(SignatureInvalid):
            opener.open(CONTEXT, changed)


def test_an_envelope_of_another_row_or_purpose_is_refused() -> None:
    blob = Sealer.of(RING, Purpose.ARGUMENTS).seal(CONTEXT, b"body")
    with pytest.raises(SignatureInvalid, match="another row"):
        open_(RING, Purpose.ARGUMENTS, struct.pack(">qq", 7, 12), blob)
    for purpose in Purpose:
        if purpose is not Purpose.ARGUMENTS:
            with pytest.raises((SignatureInvalid, KeyMissing)):
                open_(RING, purpose, CONTEXT, blob)


def test_a_key_that_is_not_held_is_named() -> None:
    blob = Sealer.of(RING, Purpose.FUNCTION).seal(b"", b"code")
    with pytest.raises(KeyMissing) as caught:
        open_(KeyRing.from_text("quite another secret text"), Purpose.FUNCTION, b"", blob)
    assert caught.value.key_id == RING.code_keys[0].id == key_id_of(blob)


def test_work_sealed_before_a_rotation_still_opens() -> None:
    rotated = KeyRing.from_text("a newer secret than before,a secret that is long enough")
    blob = Sealer.of(RING, Purpose.VALUE).seal(b"v", b"body")
    assert bytes(open_(rotated, Purpose.VALUE, b"v", blob)) == b"body"
    assert Sealer.of(rotated, Purpose.VALUE).key_id != key_id_of(blob)


def test_a_reader_opens_results_and_cannot_seal_arguments() -> None:
    reader = KeyRing.from_text(RING.export_results())
    blob = Sealer.of(RING, Purpose.RESULT).seal(CONTEXT, b"value")
    assert bytes(open_(reader, Purpose.RESULT, CONTEXT, blob)) == b"value"
    with pytest.raises(KeyMissing):
        Sealer.of(reader, Purpose.ARGUMENTS)
    with pytest.raises(ValueError, match="code key"):
        Sealer(reader.result_keys[0], Purpose.ARGUMENTS)


def test_unsigned_bytes_are_accepted_without_keys_only() -> None:
    blob = Sealer.of(EMPTY, Purpose.ARGUMENTS).seal(CONTEXT, b"body")
    assert bytes(open_(EMPTY, Purpose.ARGUMENTS, CONTEXT, blob)) == b"body"
    assert bytes(open_(RING, Purpose.ARGUMENTS, CONTEXT, blob, allow_unsigned=True)) == b"body"
    assert key_id_of(blob) is None
    reader = KeyRing.from_text(RING.export_results())
    for ring in (RING, reader):
        with pytest.raises(SignatureInvalid, match="not signed"):
            open_(ring, Purpose.ARGUMENTS, CONTEXT, blob)


def test_signed_bytes_need_their_key_in_a_process_without_keys_too() -> None:
    blob = Sealer.of(RING, Purpose.ARGUMENTS).seal(CONTEXT, b"body")
    with pytest.raises(KeyMissing):
        open_(EMPTY, Purpose.ARGUMENTS, CONTEXT, blob)


def test_an_opener_opens_many_under_several_keys() -> None:
    rotated = KeyRing.from_text("a newer secret than before,a secret that is long enough")
    opener = Opener(rotated, Purpose.ARGUMENTS)
    for ring in (RING, rotated, RING):
        assert bytes(opener.open(CONTEXT, Sealer.of(ring, Purpose.ARGUMENTS).seal(CONTEXT, b"body"))) == b"body"


def test_the_code_is_the_standard_hmac_over_framed_parts() -> None:
    key = RING.code_keys[0]
    blob = seal(key, Purpose.LANE, b"ctx", b"x" * 10_000)
    said = bytes([1, Purpose.LANE.value]) + bytes.fromhex(key.id) + struct.pack(">I", 3) + b"ctx" + b"x" * 10_000
    assert blob[5:21] == hmac.new(key.secret, said, hashlib.sha256).digest()[:16]


parts = st.lists(st.one_of(st.integers(), st.text(), st.binary()), max_size=4)


@given(parts, parts)
def test_different_parts_give_different_contexts(one: list[int | str | bytes], other: list[int | str | bytes]) -> None:
    same = [str(part) if isinstance(part, int) else part for part in one] == [
        str(part) if isinstance(part, int) else part for part in other
    ]
    assert (context_of(*one) == context_of(*other)) is same


def test_results_are_signed_by_the_results_key_and_the_rest_by_the_code_key() -> None:
    assert {purpose for purpose in Purpose if purpose.kind is KeyKind.RESULTS} == {Purpose.RESULT, Purpose.EXCEPTION}
