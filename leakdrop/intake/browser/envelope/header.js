/**
 * The header and the lengths of an envelope: docs/envelope.md, "Header". Nothing here needs a key.
 * Twin of leakdrop/envelope/header.py.
 *
 *     header   = "LEAKDROP" (8) ‖ version 0x01 (1) ‖ count (1, 1..16) ‖ stanza × count ‖ mac (32)
 *     stanza   = key id (16) ‖ kem (1088) ‖ sealed (80) ‖ wrapped (48)           = 1232 bytes
 *     chunk    = nonce (12) ‖ ciphertext (1..262,144) ‖ tag (16)
 *
 * `readHeader` makes the first six of the reader's checks.
 */

import { bytesToHex, concatBytes, utf8ToBytes } from "@noble/hashes/utils.js";

import { EnvelopeError, Kind } from "./errors.js";
import { PIECE, padded } from "./padding.js";

/** @typedef {Uint8Array<ArrayBuffer>} Bytes */

export const MAGIC = utf8ToBytes("LEAKDROP");
export const VERSION = 1;
export const PREFIX = MAGIC.length + 2;
export const MAX_STANZAS = 16;

export const KEY_ID = 16;
export const KEM = 1088;
export const SEALED = 80;
export const WRAPPED = 48;
export const MAC = 32;
export const STANZA = KEY_ID + KEM + SEALED + WRAPPED;

export const NONCE = 12;
export const TAG = 16;
export const CHUNK = NONCE + PIECE + TAG;

/** The file key, wrapped for one recipient. Bytes: key id 16, kem 1088, sealed 80, wrapped 48. */
export class Stanza {
  /**
   * @param {Bytes} keyId
   * @param {Bytes} kem
   * @param {Bytes} sealed
   * @param {Bytes} wrapped
   */
  constructor(keyId, kem, sealed, wrapped) {
    this.keyId = keyId;
    this.kem = kem;
    this.sealed = sealed;
    this.wrapped = wrapped;
  }

  get bytes() {
    return concatBytes(this.keyId, this.kem, this.sealed, this.wrapped);
  }
}

/** A header of good form: 1 to 16 stanzas in ascending order of key id, and their mac (32 bytes). */
export class Header {
  /**
   * @param {readonly Stanza[]} stanzas
   * @param {Bytes} mac
   */
  constructor(stanzas, mac) {
    this.stanzas = stanzas;
    this.mac = mac;
  }

  /** The bytes that the mac covers: all of the header before it. */
  get authenticated() {
    const prefix = concatBytes(MAGIC, Uint8Array.of(VERSION, this.stanzas.length));
    return concatBytes(prefix, ...this.stanzas.map((stanza) => stanza.bytes));
  }

  get bytes() {
    return concatBytes(this.authenticated, this.mac);
  }

  get length() {
    return headerLength(this.stanzas.length);
  }

  get keyIds() {
    return this.stanzas.map((stanza) => stanza.keyId);
  }
}

/**
 * The length in bytes of a header with `count` stanzas.
 *
 * @param {number} count
 */
export function headerLength(count) {
  return PREFIX + count * STANZA + MAC;
}

export const MAX_HEADER = headerLength(MAX_STANZAS);

/**
 * How many chunks hold a padded plaintext of so many bytes.
 *
 * @param {number} plaintextLength
 */
export function countChunks(plaintextLength) {
  return Math.ceil(plaintextLength / PIECE);
}

/**
 * The length in bytes of all chunks for a padded plaintext of so many bytes.
 *
 * @param {number} plaintextLength
 */
export function bodyLength(plaintextLength) {
  return plaintextLength + countChunks(plaintextLength) * (NONCE + TAG);
}

/**
 * The length in bytes of an envelope for `count` keys and so many bytes of files, index and trailer.
 *
 * @param {number} count
 * @param {number} plaintextLength
 */
export function envelopeLength(count, plaintextLength) {
  return headerLength(count) + bodyLength(padded(plaintextLength));
}

/**
 * The length in bytes of the padded plaintext in a body of so many bytes, if any has that length.
 *
 * Throws EnvelopeError (bad-length).
 *
 * @param {number} body
 */
export function plaintextLength(body) {
  // Exact up to 2^53: 1 / CHUNK is more than half of the last bit that such a quotient has.
  const chunks = Math.ceil(body / CHUNK);
  const length = body - chunks * (NONCE + TAG);
  if (length < PIECE || padded(length) !== length || countChunks(length) !== chunks) {
    throw new EnvelopeError(Kind.BAD_LENGTH);
  }
  return length;
}

/**
 * The count of stanzas in an envelope's first ten bytes.
 *
 * Throws EnvelopeError (not-an-envelope, unknown-version, bad-count).
 *
 * @param {Bytes} head
 */
export function parsePrefix(head) {
  if (head.length < PREFIX || MAGIC.some((byte, i) => head[i] !== byte)) {
    throw new EnvelopeError(Kind.NOT_AN_ENVELOPE);
  }
  const [version, count] = head.subarray(MAGIC.length);
  if (version !== VERSION) {
    throw new EnvelopeError(Kind.UNKNOWN_VERSION);
  }
  if (count < 1 || count > MAX_STANZAS) {
    throw new EnvelopeError(Kind.BAD_COUNT);
  }
  return count;
}

/**
 * The header at the start of `head`, which may go on behind it.
 *
 * Throws EnvelopeError (the first five kinds).
 *
 * @param {Bytes} head
 */
export function parseHeader(head) {
  const count = parsePrefix(head);
  const length = headerLength(count);
  if (head.length < length) {
    throw new EnvelopeError(Kind.CUT_HEADER);
  }
  const stanzas = [];
  for (let start = PREFIX; start < length - MAC; start += STANZA) {
    stanzas.push(parseStanza(head.slice(start, start + STANZA)));
  }
  // Hex digits of one length compare as the bytes do.
  const ids = stanzas.map((stanza) => bytesToHex(stanza.keyId));
  if (ids.some((id, i) => i > 0 && ids[i - 1] >= id)) {
    throw new EnvelopeError(Kind.STANZA_ORDER);
  }
  return new Header(stanzas, head.slice(length - MAC, length));
}

/**
 * Cut 1232 bytes into key id (16), kem (1088), sealed (80) and wrapped (48).
 *
 * @param {Bytes} stanza
 */
export function parseStanza(stanza) {
  const kem = KEY_ID + KEM;
  const sealed = kem + SEALED;
  return new Stanza(
    stanza.subarray(0, KEY_ID),
    stanza.subarray(KEY_ID, kem),
    stanza.subarray(kem, sealed),
    stanza.subarray(sealed),
  );
}

/**
 * The header of an envelope of `length` bytes, and the length of its padded plaintext.
 *
 * Throws EnvelopeError (the first six kinds).
 *
 * @param {Blob} source
 * @param {number} length
 * @returns {Promise<[Header, number]>}
 */
export async function readHeader(source, length) {
  const head = await source.slice(0, Math.min(length, MAX_HEADER)).arrayBuffer();
  const header = parseHeader(new Uint8Array(head));
  return [header, plaintextLength(length - header.length)];
}
