/** Replies, opened: an envelope of the answer in, a text and files out. */

import { bytesToHex } from "@noble/hashes/utils.js";

import { EnvelopeError, Kind } from "../envelope/errors.js";
import { sha256 } from "../envelope/keys.js";
import { openEnvelope } from "../envelope/opening.js";

/** @import { Bytes } from "../envelope/header.js" */
/** @import { KeyPair } from "../envelope/keys.js" */
/** @import { Envelope } from "../envelope/opening.js" */

/**
 * A reply by the SHA-256 of its envelope, in hex. `envelope` is null if it does not open: then it was damaged,
 * or was never meant for these words.
 *
 * @typedef {{ sha256: string, envelope: Envelope | null }} Reply
 */

/**
 * Open one reply, and check every byte of it.
 *
 * @param {Bytes} bytes
 * @param {KeyPair} keyPair
 * @returns {Promise<Reply>}
 */
export async function openReply(bytes, keyPair) {
  return { sha256: bytesToHex(await sha256(bytes)), envelope: await open(bytes, keyPair) };
}

/**
 * @param {Bytes} bytes
 * @param {KeyPair} keyPair
 */
async function open(bytes, keyPair) {
  try {
    const envelope = await openEnvelope(new Blob([bytes]), [keyPair]);
    // A submission of the source's own, played back to them, is no reply.
    if (envelope.header.stanzas.length !== 1 || envelope.index.sealed !== "review" || envelope.index.replyTo) {
      throw new EnvelopeError(Kind.NOT_FOR_THIS_KEY);
    }
    await envelope.check();
    return envelope;
  } catch (error) {
    if (error instanceof EnvelopeError) {
      return null;
    }
    throw error;
  }
}

/**
 * A file's name as it can be offered for saving: names are chosen by whoever sealed the reply.
 *
 * @param {string} name
 */
export function safeName(name) {
  // No folders, no control characters, no change of direction, nothing that some system forbids or hides.
  const plain = name.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}/\\:*?"<>|]+/gu, "_").replace(/^[.\s]+|[.\s]+$/gu, "");
  return [...plain].slice(-100).join("") || "file";
}
