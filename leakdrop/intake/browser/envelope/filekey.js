/**
 * What is derived from the file key, and from what wraps it: docs/envelope.md, "File key" and "Chunks".
 * Twin of leakdrop/envelope/filekey.py.
 *
 *     wrap key = HKDF(share ‖ shared, SHA-256(kem ‖ sealed ‖ public key), "leakdrop/1 wrap", 32)
 *     mac      = HMAC-SHA-256(HKDF(file key, "", "leakdrop/1 header", 32), header without mac)
 *     body key = HKDF(file key, SHA-256(header with mac), "leakdrop/1 body", 32)
 *     aad      = chunk number (8) ‖ final (1: 0x01 for the last chunk, else 0x00)
 */

import { clean as wipe, concatBytes } from "@noble/hashes/utils.js";

import { hkdf, sha256 } from "./keys.js";

/** @import { Bytes, Header } from "./header.js" */
/** @import { PublicKey } from "./keys.js" */

export const SHARE = 32;
export const FILE_KEY = 32;

/**
 * The key that wraps the file key.
 *
 * It needs both secrets, and binds both ciphertexts and both public keys.
 *
 * @param {Bytes} share
 * @param {Bytes} shared
 * @param {Bytes} kem
 * @param {Bytes} sealed
 * @param {PublicKey} publicKey
 */
export async function deriveWrapKey(share, shared, kem, sealed, publicKey) {
  const salt = await sha256(concatBytes(kem, sealed, publicKey.encoded));
  const secrets = concatBytes(share, shared);
  const wrapKey = await hkdf(secrets, salt, "leakdrop/1 wrap", 32);
  wipe(secrets);
  return importCipher(wrapKey);
}

/**
 * The header's mac (32 bytes). It commits to the file key: no envelope opens to two texts.
 *
 * @param {Bytes} fileKey
 * @param {Header} header
 */
export async function computeMac(fileKey, header) {
  const hmac = { name: "HMAC", hash: "SHA-256" };
  const secret = await hkdf(fileKey, new Uint8Array(0), "leakdrop/1 header", 32);
  const macKey = await crypto.subtle.importKey("raw", secret, hmac, false, ["sign"]);
  wipe(secret);
  return new Uint8Array(await crypto.subtle.sign("HMAC", macKey, header.authenticated));
}

/**
 * The cipher of the chunks.
 *
 * @param {Bytes} fileKey
 * @param {Header} header
 */
export async function deriveBodyKey(fileKey, header) {
  return importCipher(await hkdf(fileKey, await sha256(header.bytes), "leakdrop/1 body", 32));
}

/**
 * What a chunk's tag covers beside its piece (9 bytes): chunks cannot be moved, dropped or cut off.
 *
 * @param {number} number
 * @param {boolean} final
 */
export function chunkAad(number, final) {
  const aad = new Uint8Array(9);
  new DataView(aad.buffer).setBigUint64(0, BigInt(number));
  aad[8] = final ? 1 : 0;
  return aad;
}

/**
 * AES-256-GCM with this key (32 bytes), which is emptied.
 *
 * @param {Bytes} key
 */
async function importCipher(key) {
  const cipher = await crypto.subtle.importKey("raw", key, "AES-GCM", false, ["encrypt", "decrypt"]);
  wipe(key);
  return cipher;
}
