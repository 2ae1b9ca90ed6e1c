"""Roots, key pairs and public keys: docs/envelope.md, "Keys".

    secret key  = HKDF(root, "", "leakdrop/1 key", 96) = X25519 secret (32) ‖ ML-KEM-768 seed (64)
    public key  = X25519 public (32) ‖ ML-KEM-768 public (1184)                = 1216 bytes
    fingerprint = SHA-256(public key), 64 lower-case hex digits; key id = its first 16 bytes

Python cannot erase a secret from memory; processes that hold one are short or trusted.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base
from nacl.exceptions import CryptoError
from nacl.exceptions import RuntimeError as SodiumError
from nacl.signing import SigningKey

from leakdrop.envelope.header import KEY_ID
from leakdrop.errors import PublicKeyError

ROOT = 32
X25519_PUBLIC, MLKEM_PUBLIC = 32, 1184
PUBLIC_KEY = X25519_PUBLIC + MLKEM_PUBLIC


def hkdf(material: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA-256 (RFC 5869); an empty salt means 32 zero bytes."""
    return HKDF(SHA256(), length, salt or None, info).derive(material)


@dataclass(frozen=True)
class PublicKey:
    """What envelopes are sealed to: 1216 bytes that `parse_public_key` has found to be valid."""

    encoded: bytes

    @property
    def x25519(self) -> bytes:
        return self.encoded[:X25519_PUBLIC]

    @property
    def mlkem(self) -> MLKEM768PublicKey:
        return MLKEM768PublicKey.from_public_bytes(self.encoded[X25519_PUBLIC:])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the key, 64 lower-case hex digits."""
        return hashlib.sha256(self.encoded).hexdigest()

    @property
    def key_id(self) -> bytes:
        """The first 16 bytes of the fingerprint."""
        return bytes.fromhex(self.fingerprint)[:KEY_ID]


def parse_public_key(encoded: bytes) -> PublicKey:
    """A public key from its 1216 bytes.

    Raises PublicKeyError if the X25519 half would give an all-zero secret (RFC 7748, section 6.1) or
    the ML-KEM half fails the check of its modulus (FIPS 203, section 7.2).
    """
    if len(encoded) != PUBLIC_KEY:
        raise PublicKeyError(f"A public key has {PUBLIC_KEY} bytes, not {len(encoded)}.")
    try:
        crypto_scalarmult(bytes(32), encoded[:X25519_PUBLIC])
    except (CryptoError, SodiumError):
        raise PublicKeyError("The X25519 half of this public key is not valid.") from None
    try:
        MLKEM768PublicKey.from_public_bytes(encoded[X25519_PUBLIC:])
    except ValueError:
        raise PublicKeyError("The ML-KEM half of this public key is not valid.") from None
    return PublicKey(encoded)


@dataclass(frozen=True, repr=False)
class KeyPair:
    """What opens envelopes: X25519 secret (32 bytes), ML-KEM-768 secret, and their public key."""

    x25519: bytes
    mlkem: MLKEM768PrivateKey
    public: PublicKey


def derive_key_pair(root: bytes) -> KeyPair:
    """The key pair of a root (32 bytes)."""
    secret = hkdf(root, b"", b"leakdrop/1 key", 96)
    x25519, mlkem = secret[:32], MLKEM768PrivateKey.from_seed_bytes(secret[32:])
    encoded = crypto_scalarmult_base(x25519) + mlkem.public_key().public_bytes_raw()
    return KeyPair(x25519, mlkem, PublicKey(encoded))


def derive_sign_key(root: bytes) -> SigningKey:
    """The Ed25519 key of a root (32 bytes), with which reports are signed."""
    return SigningKey(hkdf(root, b"", b"leakdrop/1 sign", 32))
