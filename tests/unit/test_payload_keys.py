"""Secrets, derived keys and key files."""

from __future__ import annotations

import os
import pickle
import stat
import threading
from pathlib import Path

import pytest

from goque.errors import InvalidInput, KeyMissing
from goque.payload.keys import KeyKind, KeyRing, fresh_secret

SECRET = "a secret that is long enough"


def test_one_secret_gives_two_different_keys_that_are_the_same_everywhere() -> None:
    ring = KeyRing.from_text(SECRET)
    again = KeyRing.from_text(SECRET)
    assert ring.code_keys == again.code_keys
    assert ring.code_keys[0].secret != ring.result_keys[0].secret
    assert len(ring.code_keys[0].id) == 8
    assert ring.code_keys[0].id != ring.result_keys[0].id


def test_the_newest_of_several_secrets_signs_and_all_verify() -> None:
    old = KeyRing.from_text(SECRET)
    ring = KeyRing.from_text(f"the newer secret of two, {SECRET}")
    assert ring.signing(KeyKind.CODE) == KeyRing.from_text("the newer secret of two").code_keys[0]
    assert ring.verifying(KeyKind.CODE, old.code_keys[0].id) == old.code_keys[0]
    assert ring.ids(KeyKind.CODE)[1] == old.code_keys[0].id


def test_exported_results_keys_verify_results_and_refuse_to_sign_code() -> None:
    ring = KeyRing.from_text(SECRET)
    reader = KeyRing.from_text(ring.export_results())
    assert reader.result_keys == ring.result_keys
    assert not reader.code_keys
    with pytest.raises(KeyMissing, match="GOQUE_SECRET"):
        reader.signing(KeyKind.CODE)
    with pytest.raises(KeyMissing):
        reader.verifying(KeyKind.CODE, ring.code_keys[0].id)


def test_a_results_key_is_not_valid_as_a_code_key() -> None:
    ring = KeyRing.from_text(SECRET)
    with pytest.raises(KeyMissing) as caught:
        ring.verifying(KeyKind.CODE, ring.result_keys[0].id)
    assert caught.value.key_id == ring.result_keys[0].id


def test_an_empty_ring_signs_nothing_and_says_so() -> None:
    ring = KeyRing.empty()
    assert ring.is_empty
    assert ring.signing(KeyKind.CODE) is None


@pytest.mark.parametrize("text", ["", " , ", "short", "goque-results-!!!", "goque-results-AAAA"])
def test_unusable_secrets_are_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        KeyRing.from_text(text)
    assert not text.strip(" ,") or text not in str(caught.value)


def test_too_few_random_bytes_are_refused() -> None:
    with pytest.raises(InvalidInput, match="32"):
        KeyRing.from_secrets(b"x" * 31)


def test_no_repr_and_no_pickle_holds_a_secret() -> None:
    ring = KeyRing.from_text(SECRET)
    shown = repr(ring) + repr(ring.code_keys[0])
    assert SECRET not in shown
    assert ring.code_keys[0].secret.hex() not in shown
    assert repr(ring.code_keys[0].secret) not in shown
    for kept in (ring, ring.code_keys[0]):
        with pytest.raises(TypeError):
            pickle.dumps(kept)


def test_a_key_file_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "key"
    ring = KeyRing.from_file(place, create=True)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert KeyRing.from_file(place, create=True).code_keys == ring.code_keys
    assert os.listdir(place.parent) == ["key"]


def test_all_who_race_for_a_key_file_meet_one_key(tmp_path: Path) -> None:
    start = threading.Barrier(8)
    rings: list[KeyRing] = []

    def race() -> None:
        start.wait()
        rings.append(KeyRing.from_file(tmp_path / "key", create=True))

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rings) == 8
    assert len({ring.code_keys for ring in rings}) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_file_that_others_can_read_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    place = tmp_path / "key"
    KeyRing.from_file(place, create=True)
    place.chmod(mode)
    with pytest.raises(InvalidInput, match="chmod 600"):
        KeyRing.from_file(place)


def test_a_missing_or_empty_key_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="GOQUE_SECRET"):
        KeyRing.from_file(tmp_path / "none")
    empty = tmp_path / "empty"
    empty.touch(mode=0o600)
    with pytest.raises(InvalidInput, match="no secret"):
        KeyRing.from_file(empty)


def test_a_key_file_holds_several_secrets_newest_first(tmp_path: Path) -> None:
    place = tmp_path / "key"
    newer = fresh_secret()
    place.touch(mode=0o600)
    place.write_text(f"# rotated\n{newer}\n{SECRET}\n")
    assert KeyRing.from_file(place).code_keys == KeyRing.from_text(f"{newer},{SECRET}").code_keys


def test_a_comma_parts_secrets_wherever_it_stands() -> None:
    long = "sixteen characters"
    assert (
        KeyRing.from_text(f"{long}, and as many again").code_keys
        == KeyRing.from_secrets(long, "and as many again").code_keys
    )
    with pytest.raises(InvalidInput):
        KeyRing.from_text(f"{long},short")
