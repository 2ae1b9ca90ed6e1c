/**
 * Plaintext in, envelope out: docs/envelope.md, "Sealing". Twin of leakdrop/envelope/sealing.py.
 *
 * The sizes of files are known before they are read, so a plan tells the envelope's exact length before
 * its first byte is sealed. Files are then read and sealed piece by piece. A chunk is sealed once, under
 * a nonce of its own; the file key is never stored, and a plan that is sealed twice gives two envelopes
 * that have nothing in common.
 */

import { clean as wipe, concatBytes } from "@noble/hashes/utils.js";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";

import { FileChangedError, SubmissionError } from "./errors.js";
import { FILE_KEY, SHARE, chunkAad, computeMac, deriveBodyKey, deriveWrapKey } from "./filekey.js";
import { Header, MAC, MAX_STANZAS, NONCE, Stanza, countChunks, envelopeLength } from "./header.js";
import { encodeIndex } from "./index.js";
import { PIECE, padded } from "./padding.js";
import { sealBox } from "./sealedbox.js";

/** @import { Bytes } from "./header.js" */
/** @import { ReplyTo } from "./index.js" */
/** @import { PublicKey } from "./keys.js" */

const TRAILER = 16;
// To read a file is to ask another process: a mebibyte at a time is quick, and is not much to hold.
const AHEAD = 4 * PIECE;

/**
 * A file to be sealed: its name and type, as claimed and cleaned, and where its bytes are read.
 *
 * @typedef {{ readonly name: string, readonly type: string, readonly source: Blob }} SourceFile
 */

/**
 * What is said beside the files. All texts are cleaned already.
 *
 * @typedef {{
 *   readonly sealed: string,
 *   readonly kind: string,
 *   readonly message: string,
 *   readonly replyTo?: ReplyTo | null,
 * }} Submission
 */

/**
 * The stanza that gives one recipient the file key (32 bytes).
 *
 * @param {Bytes} fileKey
 * @param {PublicKey} publicKey
 */
export async function sealFileKey(fileKey, publicKey) {
  const share = randomBytes(SHARE);
  const sealed = sealBox(share, publicKey.x25519);
  const { cipherText: kem, sharedSecret: shared } = ml_kem768.encapsulate(publicKey.mlkem);
  const wrapKey = await deriveWrapKey(share, shared, kem, sealed, publicKey);
  wipe(share, shared);
  const { keyId } = publicKey;
  const wrapped = await encrypt(wrapKey, new Uint8Array(NONCE), fileKey, keyId);
  return new Stanza(keyId, kem, sealed, wrapped);
}

/**
 * The header for these recipients, in ascending order of key id.
 *
 * Throws SubmissionError if there are not 1 to 16 of them.
 *
 * @param {Bytes} fileKey
 * @param {Iterable<PublicKey>} recipients
 */
export async function sealHeader(fileKey, recipients) {
  const stanzas = [];
  for (const publicKey of sortRecipients(recipients)) {
    stanzas.push(await sealFileKey(fileKey, publicKey));
  }
  const unfinished = new Header(stanzas, new Uint8Array(MAC));
  return new Header(stanzas, await computeMac(fileKey, unfinished));
}

/**
 * A file to be sealed, with the size in bytes that it had when it was planned.
 *
 * @typedef {SourceFile & { readonly size: number }} PlannedFile
 */

/** A submission whose envelope's length is known: see `planSealing`. */
export class SealingPlan {
  /**
   * @param {readonly PublicKey[]} recipients
   * @param {readonly PlannedFile[]} files
   * @param {Bytes} index
   */
  constructor(recipients, files, index) {
    this.recipients = recipients;
    this.files = files;
    this.index = index;
  }

  /** Where the index begins: the sum of the files' sizes, in bytes. */
  get offset() {
    return this.files.reduce((sum, file) => sum + file.size, 0);
  }

  /** The length of the padded plaintext in bytes. */
  get plaintextLength() {
    return padded(this.offset + this.index.length + TRAILER);
  }

  /** The length of the envelope in bytes. */
  get length() {
    return envelopeLength(this.recipients.length, this.offset + this.index.length + TRAILER);
  }
}

/**
 * Check a submission before its first byte is sealed.
 *
 * Throws SubmissionError if it breaks a bound, or if there are not 1 to 16 recipients.
 *
 * @param {Iterable<PublicKey>} recipients
 * @param {Submission} submission
 * @param {readonly SourceFile[]} [files]
 */
export function planSealing(recipients, submission, files = []) {
  const planned = files.map(({ name, type, source }) => ({ name, type, source, size: source.size }));
  const { sealed, kind, message, replyTo = null } = submission;
  const index = encodeIndex({ sealed, kind, message, files: planned, replyTo });
  return new SealingPlan(sortRecipients(recipients), planned, index);
}

/**
 * Seal a planned submission under a new file key: the header, then chunk after chunk, in parts that make
 * up `plan.length` bytes. A few pieces are held at a time.
 *
 * Throws FileChangedError if a file is no longer what it was; then what was given out is no envelope,
 * and is to be thrown away.
 *
 * @param {SealingPlan} plan
 * @returns {AsyncGenerator<Bytes, void>}
 */
export async function* seal(plan) {
  const { header, bodyKey } = await beginSealing(plan.recipients);
  yield header.bytes;
  const { offset, plaintextLength } = plan;
  const trailer = encodeTrailer(offset, plan.index.length);
  const files = new FileReading(plan.files);
  const chunks = countChunks(plaintextLength);
  const held = new Uint8Array(PIECE);
  for (let number = 0; number < chunks; number += 1) {
    const start = number * PIECE;
    const piece = held.subarray(0, Math.min(PIECE, plaintextLength - start));
    piece.fill(0, await files.readInto(piece));
    place(plan.index, offset, piece, start);
    place(trailer, plaintextLength - TRAILER, piece, start);
    const nonce = randomBytes(NONCE);
    const aad = chunkAad(number, number === chunks - 1);
    const ciphertext = await encrypt(bodyKey, nonce, piece, aad);
    const chunk = concatBytes(nonce, ciphertext);
    giveUp(ciphertext);
    yield chunk;
  }
}

/**
 * Free the memory of an array at once: hundreds of megabytes pass through here before a garbage collector looks.
 *
 * @param {Bytes} bytes
 */
export function giveUp(bytes) {
  bytes.buffer.transfer?.(0); // since Firefox 122
}

/** Reads pieces of any length out of buffers that come in lengths of their own. */
export class Reading {
  constructor() {
    /** @type {Bytes} what was read and is not used yet */
    this.ahead = new Uint8Array(0);
  }

  /**
   * Fill `piece` with the next bytes, and tell how many there were; the rest of it is left as it is.
   *
   * Throws what `next` throws.
   *
   * @param {Bytes} piece
   */
  async readInto(piece) {
    let filled = 0;
    while (filled < piece.length && (this.ahead.length > 0 || (await this.readAhead()))) {
      const used = this.ahead.subarray(0, piece.length - filled);
      piece.set(used, filled);
      filled += used.length;
      this.ahead = this.ahead.subarray(used.length);
      if (this.ahead.length === 0) {
        giveUp(this.ahead);
      }
    }
    return filled;
  }

  /** False behind the last byte. */
  async readAhead() {
    const bytes = await this.next();
    this.ahead = bytes ?? this.ahead;
    return bytes !== null;
  }

  /** The next buffer, which may be empty; null behind the last. @returns {Promise<Bytes | null>} */
  async next() {
    return null;
  }
}

/** Reads files one after another, across their borders, never more than AHEAD at a time. */
class FileReading extends Reading {
  /** @param {readonly PlannedFile[]} files */
  constructor(files) {
    super();
    this.files = files;
    this.number = 0; // of the file that is read next
    this.start = 0; // of what is read next in it
  }

  /** The next slice of a file. Throws FileChangedError. */
  async next() {
    if (this.number === this.files.length) {
      return null;
    }
    const file = this.files[this.number];
    const end = Math.min(this.start + AHEAD, file.size);
    const slice = await readSlice(file, this.start, end);
    this.start = end;
    if (end === file.size) {
      this.number += 1;
      this.start = 0;
    }
    return slice;
  }
}

/**
 * Bytes `start` to `end` of a file. Throws FileChangedError.
 *
 * Firefox gives an empty buffer, and no error, of a file that has become shorter.
 *
 * @param {PlannedFile} file
 * @param {number} start
 * @param {number} end
 */
async function readSlice(file, start, end) {
  const read = await file.source
    .slice(start, end)
    .arrayBuffer()
    .catch((cause) => {
      throw cause instanceof DOMException ? new FileChangedError(file.name, cause) : cause;
    });
  if (read.byteLength !== end - start) {
    throw new FileChangedError(file.name);
  }
  return new Uint8Array(read);
}

/**
 * A function of its own, so that the file key is out of reach before the first chunk is sealed.
 *
 * @param {readonly PublicKey[]} recipients
 */
async function beginSealing(recipients) {
  const fileKey = randomBytes(FILE_KEY);
  const header = await sealHeader(fileKey, recipients);
  const bodyKey = await deriveBodyKey(fileKey, header);
  wipe(fileKey);
  return { header, bodyKey };
}

/**
 * The recipients in ascending order of key id, each once. Throws SubmissionError.
 *
 * @param {Iterable<PublicKey>} recipients
 */
function sortRecipients(recipients) {
  const byFingerprint = new Map(Array.from(recipients, (publicKey) => [publicKey.fingerprint, publicKey]));
  if (byFingerprint.size < 1 || byFingerprint.size > MAX_STANZAS) {
    throw new SubmissionError(`An envelope is sealed to 1 to 16 keys, not ${byFingerprint.size}.`);
  }
  // The key id is how a fingerprint begins.
  return [...byFingerprint.values()].sort((a, b) => (a.fingerprint < b.fingerprint ? -1 : 1));
}

/**
 * Index offset (8) ‖ index length (8).
 *
 * @param {number} offset
 * @param {number} length
 */
function encodeTrailer(offset, length) {
  const trailer = new Uint8Array(TRAILER);
  const view = new DataView(trailer.buffer);
  view.setBigUint64(0, BigInt(offset));
  view.setBigUint64(8, BigInt(length));
  return trailer;
}

/**
 * Copy into a piece, which begins at `start` of the plaintext, what belongs there of `bytes`, which begin at
 * `offset`.
 *
 * @param {Bytes} bytes
 * @param {number} offset
 * @param {Bytes} piece
 * @param {number} start
 */
function place(bytes, offset, piece, start) {
  const from = Math.max(start - offset, 0);
  const to = Math.min(start + piece.length - offset, bytes.length);
  if (from < to) {
    piece.set(bytes.subarray(from, to), offset + from - start);
  }
}

/**
 * AES-256-GCM: ciphertext ‖ tag (16).
 *
 * @param {CryptoKey} key
 * @param {Bytes} iv
 * @param {Bytes} plain
 * @param {Bytes} additionalData
 */
async function encrypt(key, iv, plain, additionalData) {
  return new Uint8Array(await crypto.subtle.encrypt({ name: "AES-GCM", iv, additionalData }, key, plain));
}

/** @param {number} length in bytes */
function randomBytes(length) {
  return crypto.getRandomValues(new Uint8Array(length));
}
