"""Envelopes and key files, written by other hands than leakdrop's: docs/envelope.md, step by step.

For test vectors only. It shares no line with `leakdrop.envelope`, and takes ML-KEM, HKDF, X25519 and
Argon2id from other libraries than that does. What should be random is drawn from a label, so that the same
bytes come out every time: nothing here is secret. It checks nothing, because most of what it writes is
meant to be wrong.
"""

import hashlib
import hmac
import json
import struct
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from kyber_py.ml_kem import ML_KEM_768
from nacl.bindings import crypto_box, crypto_box_afternm, crypto_secretbox

PIECE = 262_144
CHUNK = 12 + PIECE + 16
STANZA = 16 + 1088 + 80 + 48

# What crypto_box derives from an all-zero X25519 secret: HSalsa20 of 32 and 16 zero bytes.
ZERO_BOX_KEY = bytes.fromhex("351f86faa3b988468a850122b65b0acece9c4826806aeee63de9c0da2bd7f91e")


def draw(label: str, length: int) -> bytes:
    """So many bytes that look random and belong to the label."""
    return hashlib.shake_256(f"leakdrop test vectors: {label}".encode()).digest(length)


def base64url(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode()


def hkdf(material: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869 with SHA-256."""
    extracted = hmac.digest(salt or bytes(32), material, "sha256")
    out = block = b""
    for counter in range(1, -(-length // 32) + 1):
        block = hmac.digest(extracted, block + info + bytes([counter]), "sha256")
        out += block
    return out[:length]


@dataclass(frozen=True)
class Key:
    """A key pair. `secret` is X25519 secret (32) ‖ ML-KEM-768 seed (64)."""

    root: bytes
    secret: bytes
    x25519: bytes
    mlkem: bytes

    @property
    def public(self) -> bytes:
        return self.x25519 + self.mlkem

    @property
    def fingerprint(self) -> bytes:
        return hashlib.sha256(self.public).digest()

    @property
    def key_id(self) -> bytes:
        return self.fingerprint[:16]

    @property
    def sign_public(self) -> bytes:
        seed = hkdf(self.root, b"", b"leakdrop/1 sign", 32)
        return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def make_key(name: str) -> Key:
    """The key pair whose root is the SHA-256 of a label."""
    return make_key_of_root(hashlib.sha256(f"leakdrop test root: {name}".encode()).digest())


def make_key_of_root(root: bytes) -> Key:
    secret = hkdf(root, b"", b"leakdrop/1 key", 96)
    x25519 = X25519PrivateKey.from_private_bytes(secret[:32]).public_key().public_bytes_raw()
    mlkem, _ = ML_KEM_768.key_derive(secret[32:])
    return Key(root, secret, x25519, mlkem)


def draw_secrets(name: str, key: Key) -> tuple[bytes, bytes, bytes]:
    """`share` (32 bytes), `shared` (32) and `kem` (1088) of a stanza in the envelope of this name."""
    label = f"{name} {key.key_id.hex()}"
    shared, kem = ML_KEM_768._encaps_internal(key.mlkem, draw(f"{label} kem", 32))
    return draw(f"{label} share", 32), shared, kem


def seal_share(share: bytes, x25519: bytes) -> bytes:
    """A sealed box (80 bytes) whose ephemeral key is drawn: crypto_box_seal without its randomness."""
    ephemeral = draw(f"ephemeral {share.hex()}", 32)
    public = X25519PrivateKey.from_private_bytes(ephemeral).public_key().public_bytes_raw()
    nonce = hashlib.blake2b(public + x25519, digest_size=24).digest()
    return public + crypto_box(share, nonce, x25519, ephemeral)


def seal_share_to_nobody(share: bytes, x25519: bytes, point: bytes) -> bytes:
    """A sealed box (80 bytes) whose ephemeral key is a point of low order.

    A reader that does not refuse an all-zero secret opens it.
    """
    nonce = hashlib.blake2b(point + x25519, digest_size=24).digest()
    return point + crypto_box_afternm(share, nonce, ZERO_BOX_KEY)


def wrap_file_key(
    file_key: bytes, share: bytes, shared: bytes, kem: bytes, sealed: bytes, public: bytes, aad: bytes
) -> bytes:
    """`wrapped` (48 bytes)."""
    salt = hashlib.sha256(kem + sealed + public).digest()
    return AESGCM(hkdf(share + shared, salt, b"leakdrop/1 wrap", 32)).encrypt(bytes(12), file_key, aad)


@dataclass(frozen=True)
class Stanza:
    """What one recipient needs. Bytes: key id 16, kem 1088, sealed 80, wrapped 48."""

    key_id: bytes
    kem: bytes
    sealed: bytes
    wrapped: bytes

    def __bytes__(self) -> bytes:
        return self.key_id + self.kem + self.sealed + self.wrapped


def make_stanza(name: str, key: Key, file_key: bytes) -> Stanza:
    share, shared, kem = draw_secrets(name, key)
    sealed = seal_share(share, key.x25519)
    wrapped = wrap_file_key(file_key, share, shared, kem, sealed, key.public, key.key_id)
    return Stanza(key.key_id, kem, sealed, wrapped)


@dataclass(frozen=True)
class Envelope:
    """An envelope, taken apart. The nonces of its chunks are drawn from `name`.

    A copy with another plaintext keeps header, keys and nonces, so that it differs in few bytes. Real
    writers never use a nonce twice.
    """

    name: str
    file_key: bytes
    stanzas: tuple[Stanza, ...]
    plaintext: bytes

    @property
    def authenticated(self) -> bytes:
        return b"LEAKDROP\x01" + bytes([len(self.stanzas)]) + b"".join(map(bytes, self.stanzas))

    @property
    def mac(self) -> bytes:
        mac_key = hkdf(self.file_key, b"", b"leakdrop/1 header", 32)
        return hmac.digest(mac_key, self.authenticated, "sha256")

    @property
    def header(self) -> bytes:
        return self.authenticated + self.mac

    @property
    def body_key(self) -> bytes:
        return hkdf(self.file_key, hashlib.sha256(self.header).digest(), b"leakdrop/1 body", 32)

    @property
    def last(self) -> int:
        """The number of the last chunk."""
        return (len(self.plaintext) - 1) // PIECE

    def nonce(self, number: int) -> bytes:
        return draw(f"{self.name} nonce {number}", 12)

    def chunk(self, number: int, *, aad: bytes | None = None, nonce: bytes | None = None) -> bytes:
        """Nonce (12) ‖ ciphertext ‖ tag (16)."""
        piece = self.plaintext[number * PIECE : (number + 1) * PIECE]
        aad = struct.pack(">Q?", number, number == self.last) if aad is None else aad
        nonce = nonce or self.nonce(number)
        return nonce + AESGCM(self.body_key).encrypt(nonce, piece, aad)

    def chunks(self) -> list[bytes]:
        return [self.chunk(number) for number in range(self.last + 1)]

    def __bytes__(self) -> bytes:
        return self.header + b"".join(self.chunks())


def make_envelope(name: str, keys: Sequence[Key], plaintext: bytes) -> Envelope:
    """An envelope for these keys."""
    file_key = draw(f"{name} file key", 32)
    stanzas = (make_stanza(name, key, file_key) for key in keys)
    return Envelope(name, file_key, tuple(sorted(stanzas, key=bytes)), plaintext)


def padded(length: int) -> int:
    """P(n), in the form that the Padmé paper gives it: with a mask for the bits that must be zero."""
    if length <= PIECE:
        return PIECE
    exponent = length.bit_length() - 1
    mask = (1 << exponent - exponent.bit_length()) - 1
    return (length + mask) & ~mask


def make_plaintext(contents: bytes, index: bytes) -> bytes:
    """The files' bytes ‖ index ‖ zeros ‖ trailer."""
    used = len(contents) + len(index) + 16
    zeros = bytes(padded(used) - used)
    return contents + index + zeros + struct.pack(">QQ", len(contents), len(index))


def make_index(
    sealed: str,
    kind: str,
    message: str,
    files: Sequence[tuple[str, str, int]] = (),
    reply_to: tuple[bytes, bytes] | None = None,
) -> bytes:
    """A canonical index. A file is name, type, size; `reply_to` is mailbox (32 bytes) and key (1216)."""
    fields: dict[str, object] = {"v": 1, "sealed": sealed, "kind": kind, "message": message}
    fields["files"] = [{"name": name, "type": type, "size": size} for name, type, size in files]
    if reply_to:
        fields["reply_to"] = {"mailbox": base64url(reply_to[0]), "key": base64url(reply_to[1])}
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def close_root(name: str, key: Key, passphrase: str) -> bytes:
    """The text of a secret key, closed with the cheapest Argon2id there is: one pass, 8 KiB."""
    salt, nonce = draw(f"{name} salt", 16), draw(f"{name} nonce", 24)
    kdf = Argon2id(salt=salt, length=32, iterations=1, lanes=1, memory_cost=8)
    boxed = nonce + crypto_secretbox(key.root, nonce, kdf.derive(passphrase.encode()))
    return (
        f"leakdrop secret key 1\nname: {name}\nfingerprint: {key.fingerprint.hex()}\nargon2id: 1 8192\n"
        f"salt: {base64url(salt)}\nroot: {base64url(boxed)}\n"
    ).encode()
