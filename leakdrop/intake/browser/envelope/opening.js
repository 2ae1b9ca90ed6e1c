/**
 * Envelope in, plaintext out: docs/envelope.md, "The reader". Twin of leakdrop/envelope/opening.py.
 *
 * Any bytes open, or throw one EnvelopeError; the order of the checks is the specification's. The last chunk
 * is opened before any other, so that a cut envelope is never believed. After that any byte of any file is
 * had by opening the chunks that it lies in, and no others. The source is a Blob: `new Blob([bytes])` is
 * one; what the browser itself refuses to read of it is thrown as it comes.
 */

import { equalBytes } from "@noble/ciphers/utils.js";
import { clean as wipe, concatBytes } from "@noble/hashes/utils.js";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";

import { EnvelopeError, Kind } from "./errors.js";
import { chunkAad, computeMac, deriveBodyKey, deriveWrapKey } from "./filekey.js";
import { CHUNK, NONCE, countChunks, readHeader } from "./header.js";
import { MAX_INDEX, decodeIndex } from "./index.js";
import { PIECE, padded } from "./padding.js";
import { openBox } from "./sealedbox.js";

/** @import { KindName } from "./errors.js" */
/** @import { Bytes, Header, Stanza } from "./header.js" */
/** @import { Index } from "./index.js" */
/** @import { KeyPair } from "./keys.js" */

export const TRAILER = 16;

/**
 * An envelope whose header, last chunk and index are checked; its other chunks are, as they are read.
 *
 * `length` is that of the padded plaintext in bytes, `used` what of it is not padding, `offsets` where
 * each file begins.
 */
export class Envelope {
  /**
   * @param {Header} header
   * @param {Index} index
   * @param {KeyPair} key
   * @param {number} length
   * @param {number} used
   * @param {readonly number[]} offsets
   * @param {Body} body
   */
  constructor(header, index, key, length, used, offsets, body) {
    this.header = header;
    this.index = index;
    this.key = key;
    this.length = length;
    this.used = used;
    this.offsets = offsets;
    this.body = body;
  }

  /**
   * Bytes `start` to `end` of the plaintext. Throws EnvelopeError (chunk-damaged).
   *
   * @param {number} start
   * @param {number} end
   */
  read(start, end) {
    return this.body.read(start, Math.min(end, this.length));
  }

  /**
   * Bytes `start` to `end` of a file, held in memory. Throws EnvelopeError (chunk-damaged).
   *
   * @param {number} number
   * @param {number} [start]
   * @param {number} [end]
   */
  readFile(number, start, end) {
    return join(this.streamFile(number, start, end));
  }

  /**
   * Bytes `start` to `end` of a file, in pieces. Throws EnvelopeError (chunk-damaged).
   *
   * @param {number} number
   * @param {number} [start]
   * @param {number} [end]
   */
  streamFile(number, start = 0, end = Infinity) {
    const offset = this.offsets[number];
    return this.body.pieces(offset + start, offset + Math.min(end, this.index.files[number].size));
  }

  /**
   * Check what no file and no index covers. Throws EnvelopeError (chunk-damaged, bad-padding).
   *
   * @param {(size: number) => unknown} [progress]
   */
  async checkPadding(progress = () => {}) {
    for await (const piece of this.body.pieces(this.used - TRAILER, this.length - TRAILER)) {
      if (piece.some((byte) => byte !== 0)) {
        throw new EnvelopeError(Kind.BAD_PADDING);
      }
      progress(piece.length);
    }
  }

  /**
   * Check every byte. Throws EnvelopeError (chunk-damaged, bad-padding).
   *
   * @param {(size: number) => unknown} [progress]
   */
  async check(progress = () => {}) {
    for await (const piece of this.body.pieces(0, this.used - TRAILER)) {
      progress(piece.length);
    }
    await this.checkPadding(progress);
  }
}

/** The chunks of an envelope: where they lie in `source`, and the cipher that opens them. */
export class Body {
  /**
   * @param {Blob} source
   * @param {number} start of the first chunk in `source`, in bytes
   * @param {number} length of the padded plaintext, in bytes
   * @param {CryptoKey} cipher
   */
  constructor(source, start, length, cipher) {
    this.source = source;
    this.start = start;
    this.length = length;
    this.cipher = cipher;
  }

  /**
   * Bytes `start` to `end` of the plaintext, in pieces. Throws EnvelopeError (chunk-damaged).
   *
   * @param {number} start
   * @param {number} end
   * @returns {AsyncGenerator<Bytes, void>}
   */
  async *pieces(start, end) {
    const first = Math.floor(start / PIECE);
    const last = start < end ? countChunks(end) : 0;
    for (let number = first; number < last; number += 1) {
      const piece = await this.#openChunk(number);
      const offset = number * PIECE;
      yield piece.subarray(Math.max(start - offset, 0), end - offset);
    }
  }

  /** @param {number} number */
  async #openChunk(number) {
    const start = this.start + number * CHUNK;
    const size = Math.min(PIECE, this.length - number * PIECE) + CHUNK - PIECE;
    const chunk = new Uint8Array(await this.source.slice(start, start + size).arrayBuffer());
    // A source that ends too early has become shorter since it was measured.
    if (chunk.length !== size) {
      throw new EnvelopeError(Kind.CHUNK_DAMAGED);
    }
    const aad = chunkAad(number, number === countChunks(this.length) - 1);
    return decrypt(this.cipher, chunk.subarray(0, NONCE), chunk.subarray(NONCE), aad, Kind.CHUNK_DAMAGED);
  }

  /**
   * @param {number} start
   * @param {number} end
   */
  read(start, end) {
    return join(this.pieces(start, end));
  }
}

/**
 * Open an envelope with the first of these key pairs that can.
 *
 * Everything is checked but the chunks that hold neither index nor trailer, and the padding. Throws
 * EnvelopeError (any kind but bad-padding).
 *
 * @param {Blob} source
 * @param {readonly KeyPair[]} keys
 */
export async function openEnvelope(source, keys) {
  const [header, length] = await readHeader(source, source.size);
  const [key, fileKey] = await openHeader(header, keys);
  const cipher = await deriveBodyKey(fileKey, header);
  wipe(fileKey);
  const body = new Body(source, header.length, length, cipher);
  const [offset, indexLength] = await readTrailer(body);
  const index = await decodeIndex(await body.read(offset, offset + indexLength), offset);
  const offsets = [];
  let start = 0;
  for (const file of index.files) {
    offsets.push(start);
    start += file.size;
  }
  return new Envelope(header, index, key, length, offset + indexLength + TRAILER, offsets, body);
}

/**
 * The file key (32 bytes), and the key pair that gave it.
 *
 * Throws EnvelopeError (not-for-this-key, stanza-damaged, header-damaged): the first refusal, if there
 * are several key pairs and none opens it.
 *
 * @param {Header} header
 * @param {readonly KeyPair[]} keys
 * @returns {Promise<[KeyPair, Bytes]>}
 */
async function openHeader(header, keys) {
  let refusal = new EnvelopeError(Kind.NOT_FOR_THIS_KEY);
  for (const key of keys) {
    for (const stanza of header.stanzas) {
      if (!equalBytes(stanza.keyId, key.public.keyId)) {
        continue;
      }
      try {
        return [key, await openStanza(stanza, key, header)];
      } catch (error) {
        if (!(error instanceof EnvelopeError)) {
          throw error;
        }
        if (refusal.kind === Kind.NOT_FOR_THIS_KEY) {
          refusal = error;
        }
      }
    }
  }
  throw refusal;
}

/**
 * The file key. Throws EnvelopeError (stanza-damaged, header-damaged).
 *
 * @param {Stanza} stanza
 * @param {KeyPair} key
 * @param {Header} header
 */
async function openStanza(stanza, key, header) {
  const share = openBox(stanza.sealed, key.public.x25519, key.x25519);
  if (share === null) {
    throw new EnvelopeError(Kind.STANZA_DAMAGED);
  }
  // ML-KEM never refuses: a changed ciphertext gives another secret (FIPS 203, section 6.3).
  const shared = ml_kem768.decapsulate(stanza.kem, key.mlkem);
  const wrapKey = await deriveWrapKey(share, shared, stanza.kem, stanza.sealed, key.public);
  wipe(share, shared);
  const nonce = new Uint8Array(NONCE);
  const fileKey = await decrypt(wrapKey, nonce, stanza.wrapped, stanza.keyId, Kind.STANZA_DAMAGED);
  if (!equalBytes(header.mac, await computeMac(fileKey, header))) {
    wipe(fileKey);
    throw new EnvelopeError(Kind.HEADER_DAMAGED);
  }
  return fileKey;
}

/**
 * The offset and the length of the index, from the plaintext's last 16 bytes.
 *
 * The last chunk is opened first, with its last flag. The trailer lies in it: every padded length is a
 * multiple of 8,192 bytes. Throws EnvelopeError (chunk-damaged, bad-trailer, bad-bucket).
 *
 * @param {Body} body
 * @returns {Promise<[number, number]>}
 */
async function readTrailer(body) {
  const trailer = await body.read(body.length - TRAILER, body.length);
  const view = new DataView(trailer.buffer, trailer.byteOffset, TRAILER);
  // Both may be as large as 2^64 − 1: they become numbers only once they are known to fit.
  const [offset, length] = [view.getBigUint64(0), view.getBigUint64(8)];
  const used = offset + length + BigInt(TRAILER);
  if (length < 1n || length > BigInt(MAX_INDEX) || used > BigInt(body.length)) {
    throw new EnvelopeError(Kind.BAD_TRAILER);
  }
  if (padded(Number(used)) !== body.length) {
    throw new EnvelopeError(Kind.BAD_BUCKET);
  }
  return [Number(offset), Number(length)];
}

/**
 * AES-256-GCM. Throws EnvelopeError of this kind if the tag is wrong.
 *
 * @param {CryptoKey} key
 * @param {Bytes} iv
 * @param {Bytes} sealed ciphertext ‖ tag (16)
 * @param {Bytes} additionalData
 * @param {KindName} kind
 */
async function decrypt(key, iv, sealed, additionalData, kind) {
  try {
    return new Uint8Array(await crypto.subtle.decrypt({ name: "AES-GCM", iv, additionalData }, key, sealed));
  } catch (error) {
    throw error instanceof DOMException && error.name === "OperationError" ? new EnvelopeError(kind) : error;
  }
}

/**
 * @param {AsyncIterable<Bytes>} pieces
 * @returns {Promise<Bytes>}
 */
async function join(pieces) {
  const read = [];
  for await (const piece of pieces) {
    read.push(piece);
  }
  return concatBytes(...read);
}
