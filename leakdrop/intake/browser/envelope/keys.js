/**
 * Roots, key pairs and public keys: docs/envelope.md, "Keys". Twin of leakdrop/envelope/keys.py, without
 * the key that signs reports.
 *
 *     secret key  = HKDF(root, "", "leakdrop/1 key", 96) = X25519 secret (32) ‖ ML-KEM-768 seed (64)
 *     public key  = X25519 public (32) ‖ ML-KEM-768 public (1184)                = 1216 bytes
 *     fingerprint = SHA-256(public key), 64 lower-case hex digits; key id = its first 16 bytes
 *
 * Arrays that held a secret are overwritten after use. JavaScript cannot erase texts, such as words that were
 * typed, nor what an engine copied.
 */

import { x25519 } from "@noble/curves/ed25519.js";
import { clean as wipe, bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";

import { PublicKeyError } from "./errors.js";
import { KEY_ID } from "./header.js";

/** @import { Bytes } from "./header.js" */

export const ROOT = 32;
export const X25519_PUBLIC = 32;
export const MLKEM_PUBLIC = 1184;
export const PUBLIC_KEY = X25519_PUBLIC + MLKEM_PUBLIC;

// FIPS 203, section 2.4: the modulus, and the last 32 bytes of a public key, which are no coefficients.
const MODULUS = 3329;
const MLKEM_SEED = 32;

/**
 * HKDF-SHA-256 (RFC 5869); an empty salt means 32 zero bytes.
 *
 * @param {Bytes} material
 * @param {Bytes} salt
 * @param {string} info
 * @param {number} length in bytes
 */
export async function hkdf(material, salt, info, length) {
  const key = await crypto.subtle.importKey("raw", material, "HKDF", false, ["deriveBits"]);
  const parameters = { name: "HKDF", hash: "SHA-256", salt, info: utf8ToBytes(info) };
  return new Uint8Array(await crypto.subtle.deriveBits(parameters, key, length * 8));
}

/**
 * SHA-256 (32 bytes).
 *
 * @param {Bytes} bytes
 */
export async function sha256(bytes) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

/** What envelopes are sealed to: 1216 bytes that `parsePublicKey` has found to be valid. */
export class PublicKey {
  /**
   * @param {Bytes} encoded
   * @param {string} fingerprint SHA-256 of the key, 64 lower-case hex digits
   */
  constructor(encoded, fingerprint) {
    this.encoded = encoded;
    this.fingerprint = fingerprint;
  }

  get x25519() {
    return this.encoded.subarray(0, X25519_PUBLIC);
  }

  get mlkem() {
    return this.encoded.subarray(X25519_PUBLIC);
  }

  /** The first 16 bytes of the fingerprint. */
  get keyId() {
    return hexToBytes(this.fingerprint).slice(0, KEY_ID);
  }
}

/**
 * A public key from its 1216 bytes.
 *
 * Throws PublicKeyError if the X25519 half would give an all-zero secret (RFC 7748, section 6.1) or
 * the ML-KEM half fails the check of its modulus (FIPS 203, section 7.2).
 *
 * @param {Bytes} encoded
 */
export async function parsePublicKey(encoded) {
  if (encoded.length !== PUBLIC_KEY) {
    throw new PublicKeyError(`A public key has ${PUBLIC_KEY} bytes, not ${encoded.length}.`);
  }
  try {
    x25519.getSharedSecret(new Uint8Array(32), encoded.subarray(0, X25519_PUBLIC));
  } catch {
    // The lengths are right, so this is noble's one refusal left: a point of low order.
    throw new PublicKeyError("The X25519 half of this public key is not valid.");
  }
  if (!isReduced(encoded.subarray(X25519_PUBLIC, PUBLIC_KEY - MLKEM_SEED))) {
    throw new PublicKeyError("The ML-KEM half of this public key is not valid.");
  }
  return identify(encoded);
}

/** What opens envelopes: X25519 secret (32 bytes), ML-KEM-768 secret (2400), and their public key. */
export class KeyPair {
  /**
   * @param {Bytes} x25519
   * @param {Bytes} mlkem
   * @param {PublicKey} publicKey
   */
  constructor(x25519, mlkem, publicKey) {
    this.x25519 = x25519;
    this.mlkem = mlkem;
    this.public = publicKey;
  }

  /** It opens nothing any more. */
  forget() {
    wipe(this.x25519, this.mlkem);
  }
}

/**
 * The key pair of a root (32 bytes), which is left as it is.
 *
 * @param {Bytes} root
 */
export async function deriveKeyPair(root) {
  const secret = await hkdf(root, new Uint8Array(0), "leakdrop/1 key", 96);
  const scalar = secret.slice(0, 32);
  const mlkem = ml_kem768.keygen(secret.subarray(32));
  wipe(secret);
  const encoded = concatBytes(x25519.getPublicKey(scalar), mlkem.publicKey);
  return new KeyPair(scalar, mlkem.secretKey, await identify(encoded));
}

/** @param {Bytes} encoded */
async function identify(encoded) {
  return new PublicKey(encoded, bytesToHex(await sha256(encoded)));
}

/**
 * Whether all coefficients (12 bits each, two in three bytes, lowest bits first) lie below the modulus.
 *
 * @param {Bytes} coefficients
 */
function isReduced(coefficients) {
  for (let i = 0; i < coefficients.length; i += 3) {
    const [low, middle, high] = coefficients.subarray(i, i + 3);
    if ((low | ((middle & 15) << 8)) >= MODULUS || ((middle >> 4) | (high << 4)) >= MODULUS) {
      return false;
    }
  }
  return true;
}
