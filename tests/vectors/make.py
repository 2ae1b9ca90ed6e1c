"""Makes the test vectors in this folder; README.md says what they are.

    .venv/bin/python tests/vectors/make.py            writes them
    .venv/bin/python tests/vectors/make.py --check    exits with 1 if any would change

The same bytes come out every time, on every machine.
"""

import argparse
import base64
import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from bad_cases import bad_cases, patches
from good_cases import KEYS, Good, good_cases
from index_cases import index_cases
from keyfile_cases import keyfile_cases
from receipt_cases import answer_cases, receipts, words_cases
from writer import base64url, draw_secrets, hkdf, padded

HERE = Path(__file__).parent


def make_keys() -> bytes:
    fields = {
        name: {
            "root": key.root.hex(),
            "secret": key.secret.hex(),
            "public": base64url(key.public),
            "fingerprint": key.fingerprint.hex(),
            "key_id": key.key_id.hex(),
        }
        for name, key in KEYS.items()
    }
    return encode("{}", (f"{json.dumps(name)}: {json.dumps(key)}" for name, key in fields.items()))


def make_padding() -> bytes:
    """P(n) around every power of two, every step of some lengths, and some lengths between."""
    lengths = {1, 16, 17, 100_000, 300_000, 1_000_000, 1_100_000, 16_777_217, 63 * 2**26, 63 * 2**26 + 1}
    for exponent in range(18, 54):
        length = 2**exponent
        step = padded(length + 1) - length
        lengths |= {length - 1, length, length + 1, length + step, length + step + 1, length * 4 // 3}
    most = 2**53
    return encode("[]", (json.dumps([n, padded(n)]) for n in sorted(lengths) if padded(n) <= most))


def make_good(goods: Iterable[Good]) -> bytes:
    return encode("[]", map(json.dumps, map(describe_good, goods)))


def describe_good(good: Good) -> dict[str, object]:
    envelope = bytes(good.envelope)
    return {
        "name": good.name,
        "why": good.why,
        "keys": good.keys,
        "length": len(envelope),
        "sha256": hashlib.sha256(envelope).hexdigest(),
        "plaintext_length": len(good.envelope.plaintext),
        "index": good.index.decode(),
        "files": [hashlib.sha256(file).hexdigest() for file in good.files],
    }


def make_bad(goods: dict[str, Good]) -> bytes:
    bases = {name: bytes(good.envelope) for name, good in goods.items()}
    cases = (
        {
            "name": bad.name,
            "why": bad.why,
            "kind": kind,
            "base": bad.base,
            "keys": bad.keys,
            "length": len(bad.envelope),
            "patches": patches(bases[bad.base], bad.envelope),
        }
        for kind, bad in bad_cases(goods)
    )
    return encode("[]", map(json.dumps, cases))


def make_indexes() -> bytes:
    cases = (
        {
            "name": case.name,
            "why": case.why,
            "size": case.size,
            "index": base64.b64encode(case.index).decode(),
            "good": case.good,
        }
        for case in index_cases()
    )
    return encode("[]", map(json.dumps, cases))


def make_keyfiles() -> bytes:
    cases = (
        {
            "name": case.name,
            "why": case.why,
            "kind": case.kind,
            "text": base64.b64encode(case.text).decode(),
            "good": case.good,
        }
        | ({"passphrase": case.passphrase} if case.passphrase else {})
        for case in keyfile_cases()
    )
    return encode("[]", map(json.dumps, cases))


def make_words() -> bytes:
    """Each case with its entropy, or its refusal and the number of the word."""
    cases = (
        {"name": case.name, "why": case.why, "text": case.text}
        | ({"entropy": case.entropy.hex()} if case.entropy else {"refusal": case.refusal})
        | ({"number": case.number} if case.number else {})
        for case in words_cases()
    )
    return encode("[]", map(json.dumps, cases))


def make_receipts() -> bytes:
    cases = (
        {
            "name": receipt.name,
            "entropy": receipt.entropy.hex(),
            "words": receipt.words,
            "root": receipt.root.hex(),
            "token": receipt.token.hex(),
            "mailbox": receipt.mailbox.hex(),
            "public": base64url(receipt.key.public),
            "fingerprint": receipt.key.fingerprint.hex(),
            "key_id": receipt.key.key_id.hex(),
        }
        for receipt in receipts()
    )
    return encode("[]", map(json.dumps, cases))


def make_answers(reply: Good) -> bytes:
    cases = (
        {"name": case.name, "why": case.why, "parts": case.parts, "lengths": case.lengths}
        for case in answer_cases(len(bytes(reply.envelope)))
    )
    return encode("[]", map(json.dumps, cases))


def make_example(good: Good) -> bytes:
    """The values of the worked example in docs/envelope.md, as they are written there."""
    key, envelope = KEYS[good.keys[0]], good.envelope
    (stanza,) = envelope.stanzas
    share, shared, _ = draw_secrets(envelope.name, key)
    salt = hashlib.sha256(stanza.kem + stanza.sealed + key.public).digest()
    chunk = envelope.chunk(0)
    values = {
        "root": key.root,
        "X25519 secret": key.secret[:32],
        "ML-KEM seed": key.secret[32:],
        "X25519 public": key.x25519,
        "ML-KEM public": key.mlkem,
        "fingerprint": key.fingerprint,
        "key id": key.key_id,
        "sign key": key.sign_public,
        "kem": stanza.kem,
        "sealed": stanza.sealed,
        "share": share,
        "shared": shared,
        "salt": salt,
        "wrap key": hkdf(share + shared, salt, b"leakdrop/1 wrap", 32),
        "file key": envelope.file_key,
        "wrapped": stanza.wrapped,
        "mac key": hkdf(envelope.file_key, b"", b"leakdrop/1 header", 32),
        "mac": envelope.mac,
        "SHA-256 of the header": hashlib.sha256(envelope.header).digest(),
        "body key": envelope.body_key,
        "nonce": chunk[:12],
        "ciphertext": chunk[12:-16],
        "tag": chunk[-16:],
        "index offset": envelope.plaintext[-16:-8],
        "index length": envelope.plaintext[-8:],
        "SHA-256 of the envelope": hashlib.sha256(bytes(envelope)).digest(),
    }
    fields = {name: shorten(octets.hex()) for name, octets in values.items()}
    fields |= {"index": good.index.decode(), "length": f"{len(bytes(envelope)):,}"}
    return encode("{}", (f"{json.dumps(name)}: {json.dumps(text)}" for name, text in fields.items()))


def shorten(digits: str) -> str:
    """More than 64 bytes: the first and the last 16."""
    return digits if len(digits) <= 128 else f"{digits[:32]}…{digits[-32:]}"


def encode(brackets: str, items: Iterable[str]) -> bytes:
    """JSON with an item on each line, so that a difference shows which case has changed."""
    return (brackets[0] + "\n" + ",\n".join(items) + "\n" + brackets[1] + "\n").encode()


def make_all() -> dict[Path, bytes]:
    """Every file, by its path."""
    goods = good_cases()
    files = {
        "keys.json": make_keys(),
        "padding.json": make_padding(),
        "good.json": make_good(goods.values()),
        "bad.json": make_bad(goods),
        "indexes.json": make_indexes(),
        "keyfiles.json": make_keyfiles(),
        "words.json": make_words(),
        "receipts.json": make_receipts(),
        "answers.json": make_answers(goods["reply"]),
        "example.json": make_example(goods["one-byte-file"]),
    }
    files |= {f"good/{name}.envelope": bytes(good.envelope) for name, good in goods.items()}
    return {HERE / name: octets for name, octets in files.items()}


def differences(files: dict[Path, bytes]) -> list[str]:
    """What is not there as it would be made, and what is there and would not be made."""
    there = {*HERE.glob("*.json"), *(HERE / "good").glob("*")}
    changed = [path for path, octets in files.items() if path not in there or path.read_bytes() != octets]
    extra = [path for path in there if path not in files]
    return sorted(str(path.relative_to(HERE)) for path in (*changed, *extra))


def write_all(files: dict[Path, bytes]) -> None:
    (HERE / "good").mkdir(exist_ok=True)
    for path, octets in files.items():
        path.write_bytes(octets)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the test vectors of docs/envelope.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 on a difference")
    files = make_all()
    if not parser.parse_args().check:
        write_all(files)
    elif wrong := differences(files):
        sys.exit("Not as make.py makes them: " + ", ".join(wrong))


if __name__ == "__main__":
    main()
