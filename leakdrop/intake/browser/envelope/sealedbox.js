/**
 * NaCl's sealed box for 32-byte shares: docs/envelope.md, "Header", `sealed`. What `crypto_box_seal` of
 * nacl.bindings is to the Python twin.
 *
 *     sealed = ephemeral public (32) ‖ tag (16) ‖ ciphertext (32)                = 80 bytes
 *     key    = HSalsa20(X25519(ephemeral secret, public), 16 zero bytes)
 *     nonce  = BLAKE2b(ephemeral public ‖ public, 24)
 *
 * The box is XSalsa20-Poly1305. Nothing here says who sealed.
 */

import { hsalsa, xsalsa20poly1305 } from "@noble/ciphers/salsa.js";
import { u32 } from "@noble/ciphers/utils.js";
import { x25519 } from "@noble/curves/ed25519.js";
import { blake2b } from "@noble/hashes/blake2.js";
import { clean as wipe, concatBytes, utf8ToBytes } from "@noble/hashes/utils.js";

/** @import { Bytes } from "./header.js" */

const PUBLIC = 32;
const SIGMA = u32(utf8ToBytes("expand 32-byte k"));

/**
 * @param {Bytes} share
 * @param {Bytes} publicKey X25519 (32 bytes), of no low order
 */
export function sealBox(share, publicKey) {
  const secret = crypto.getRandomValues(new Uint8Array(32));
  const ephemeral = x25519.getPublicKey(secret);
  const shared = x25519.getSharedSecret(secret, publicKey);
  wipe(secret);
  return concatBytes(ephemeral, crypt("encrypt", share, shared, ephemeral, publicKey));
}

/**
 * The share, or null if the box does not open.
 *
 * @param {Bytes} sealed
 * @param {Bytes} publicKey X25519 (32 bytes)
 * @param {Bytes} secret X25519 (32 bytes)
 */
export function openBox(sealed, publicKey, secret) {
  const ephemeral = sealed.subarray(0, PUBLIC);
  try {
    const shared = x25519.getSharedSecret(secret, ephemeral);
    return crypt("decrypt", sealed.subarray(PUBLIC), shared, ephemeral, publicKey);
  } catch {
    // The lengths are right, so these are noble's two refusals left: a point of low order, a wrong tag.
    return null;
  }
}

/**
 * @param {"encrypt" | "decrypt"} way
 * @param {Bytes} input
 * @param {Bytes} shared is emptied
 * @param {Bytes} ephemeral
 * @param {Bytes} publicKey
 */
function crypt(way, input, shared, ephemeral, publicKey) {
  const words = new Uint32Array(8);
  hsalsa(SIGMA, u32(shared), new Uint32Array(4), words);
  const key = new Uint8Array(words.buffer);
  const nonce = blake2b(concatBytes(ephemeral, publicKey), { dkLen: 24 });
  try {
    return xsalsa20poly1305(key, nonce)[way](input);
  } finally {
    wipe(shared, key);
  }
}
