/** Which public keys are refused, and what sealed boxes do with wrong ones. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { hexToBytes } from "@noble/hashes/utils.js";

import { PublicKeyError } from "../../leakdrop/intake/browser/envelope/errors.js";
import { parsePublicKey } from "../../leakdrop/intake/browser/envelope/keys.js";
import { openBox, sealBox } from "../../leakdrop/intake/browser/envelope/sealedbox.js";
import { keyPair } from "./fixtures.js";

const alice = await keyPair(1);

/** @param {(encoded: Uint8Array) => void} change */
function changed(change) {
  const encoded = alice.public.encoded.slice();
  change(encoded);
  return parsePublicKey(encoded);
}

test("a public key of another length is refused", async () => {
  const { encoded } = alice.public;
  for (const other of [new Uint8Array(0), encoded.slice(1), Uint8Array.of(...encoded, 0)]) {
    await assert.rejects(parsePublicKey(other), PublicKeyError);
  }
});

/** The points of low order: RFC 7748, section 6.1, and https://cr.yp.to/ecdh.html#validate. */
const LOW_ORDER = {
  0: "0000000000000000000000000000000000000000000000000000000000000000",
  1: "0100000000000000000000000000000000000000000000000000000000000000",
  "order 8": "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
  "other order 8": "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
  "p - 1": "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  p: "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "p + 1": "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
};

for (const [name, hex] of Object.entries(LOW_ORDER)) {
  test(`the X25519 point ${name} is refused, with and without its top bit`, async () => {
    const point = hexToBytes(hex);
    await assert.rejects(changed((encoded) => encoded.set(point)), PublicKeyError);
    point[31] |= 0x80;
    await assert.rejects(changed((encoded) => encoded.set(point)), PublicKeyError);
  });

  test(`a sealed box from the point ${name} does not open`, () => {
    const sealed = sealBox(new Uint8Array(32), alice.public.x25519);
    sealed.set(hexToBytes(hex));
    assert.equal(openBox(sealed, alice.public.x25519, alice.x25519), null);
  });
}

test("an ML-KEM coefficient of 3329 or more is refused at every place", async () => {
  for (let i = 0; i < 1152; i += 3) {
    // 3328 = 0xd00 and 3329 = 0xd01; the other coefficient of the three bytes is 0.
    await changed((encoded) => encoded.set([0x00, 0x0d, 0x00], 32 + i));
    await changed((encoded) => encoded.set([0x00, 0x00, 0xd0], 32 + i));
    await assert.rejects(changed((encoded) => encoded.set([0x01, 0x0d, 0x00], 32 + i)), PublicKeyError);
    await assert.rejects(changed((encoded) => encoded.set([0x00, 0x10, 0xd0], 32 + i)), PublicKeyError);
  }
  await changed((encoded) => encoded.fill(0xff, 32 + 1152));
});
