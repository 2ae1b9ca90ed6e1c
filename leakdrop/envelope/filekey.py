"""What is derived from the file key, and from what wraps it: docs/envelope.md, "File key" and "Chunks".

wrap key = HKDF(share ‖ shared, SHA-256(kem ‖ sealed ‖ public key), "leakdrop/1 wrap", 32)
mac      = HMAC-SHA-256(HKDF(file key, "", "leakdrop/1 header", 32), header without mac)
body key = HKDF(file key, SHA-256(header with mac), "leakdrop/1 body", 32)
aad      = chunk number (8) ‖ final (1: 0x01 for the last chunk, else 0x00)
"""

import hmac
from hashlib import sha256

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from leakdrop.envelope.header import Header
from leakdrop.envelope.keys import PublicKey, hkdf

SHARE = FILE_KEY = 32


def derive_wrap_key(share: bytes, shared: bytes, kem: bytes, sealed: bytes, public: PublicKey) -> bytes:
    """The key (32 bytes) that wraps the file key.

    It needs both secrets, and binds both ciphertexts and both public keys.
    """
    salt = sha256(kem + sealed + public.encoded).digest()
    return hkdf(share + shared, salt, b"leakdrop/1 wrap", 32)


def compute_mac(file_key: bytes, header: Header) -> bytes:
    """The header's mac (32 bytes). It commits to the file key: no envelope opens to two texts."""
    mac_key = hkdf(file_key, b"", b"leakdrop/1 header", 32)
    return hmac.digest(mac_key, header.authenticated, "sha256")


def derive_body_key(file_key: bytes, header: Header) -> AESGCM:
    """The cipher of the chunks."""
    return AESGCM(hkdf(file_key, sha256(bytes(header)).digest(), b"leakdrop/1 body", 32))


def chunk_aad(number: int, final: bool) -> bytes:
    """What a chunk's tag covers beside its piece (9 bytes): chunks cannot be moved, dropped or cut off."""
    return number.to_bytes(8, "big") + (b"\x01" if final else b"\x00")
