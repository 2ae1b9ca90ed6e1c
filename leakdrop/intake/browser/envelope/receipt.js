/**
 * What follows from a receipt, and how replies are answered: docs/envelope.md, "The receipt", "The answer".
 * Twin of leakdrop/envelope/receipt.py.
 *
 *     entropy = 16 random bytes; what people copy are its twelve words (page/words.js)
 *     root    = HKDF(entropy, "", "leakdrop/1 receipt", 32), which gives the key pair of replies
 *     token   = HKDF(root, "", "leakdrop/1 token", 32)
 *     mailbox = SHA-256("leakdrop/1 mailbox" ‖ token)                                     = 32 bytes
 *
 *     answer  = count (1) ‖ count × (length (4) ‖ envelope) ‖ random bytes; a multiple of 1,048,576 bytes
 *
 * Only the token reads and deletes; the mailbox, which reviewers and the server know, gives no right.
 */

import { clean as wipe, concatBytes, utf8ToBytes } from "@noble/hashes/utils.js";

import { AnswerError } from "./errors.js";
import { deriveKeyPair, hkdf, sha256 } from "./keys.js";

/** @import { Bytes } from "./header.js" */
/** @import { ReplyTo } from "./index.js" */
/** @import { KeyPair } from "./keys.js" */

export const ENTROPY = 16;
export const TOKEN = 32;
export const UNIT = 1_048_576;
export const MAX_ANSWER = 32 * UNIT;

const NOTHING = new Uint8Array(0);
const LENGTH = 4;

/** What twelve words give: the token that asks (32 bytes), the mailbox (32), the key pair that opens. */
export class Receipt {
  /**
   * @param {Bytes} token
   * @param {Bytes} mailbox
   * @param {KeyPair} keyPair
   */
  constructor(token, mailbox, keyPair) {
    this.token = token;
    this.mailbox = mailbox;
    this.keyPair = keyPair;
  }

  /** What travels in an envelope. It gives no right to read or to delete. @returns {ReplyTo} */
  get replyTo() {
    return { mailbox: this.mailbox, key: this.keyPair.public };
  }
}

/**
 * The receipt of 16 bytes of chance, which are emptied.
 *
 * @param {Bytes} entropy
 */
export async function deriveReceipt(entropy) {
  const root = await hkdf(entropy, NOTHING, "leakdrop/1 receipt", 32).finally(() => wipe(entropy));
  const token = await hkdf(root, NOTHING, "leakdrop/1 token", TOKEN);
  const named = concatBytes(utf8ToBytes("leakdrop/1 mailbox"), token);
  const mailbox = await sha256(named);
  const keyPair = await deriveKeyPair(root);
  wipe(root, named);
  return new Receipt(token, mailbox, keyPair);
}

/**
 * What an envelope says of the receipt of 16 bytes of chance, which are emptied. Nothing is kept that asks for
 * replies or opens them.
 *
 * @param {Bytes} entropy
 */
export async function deriveReplyTo(entropy) {
  const { token, keyPair, replyTo } = await deriveReceipt(entropy);
  wipe(token);
  keyPair.forget();
  return replyTo;
}

/**
 * The envelopes in an answer to a question for replies.
 *
 * Throws AnswerError if it is not a whole answer.
 *
 * @param {Bytes} answer
 * @returns {Bytes[]}
 */
export function decodeAnswer(answer) {
  if (answer.length === 0 || answer.length > MAX_ANSWER) {
    throw new AnswerError();
  }
  const view = new DataView(answer.buffer, answer.byteOffset, answer.length);
  const envelopes = [];
  let offset = 1;
  for (let left = answer[0]; left > 0; left -= 1) {
    const start = offset + LENGTH;
    if (start > answer.length) {
      throw new AnswerError();
    }
    offset = start + view.getUint32(offset);
    if (offset > answer.length) {
      throw new AnswerError();
    }
    envelopes.push(answer.slice(start, offset));
  }
  if (answer.length !== answerLength(envelopes.map(({ length }) => length))) {
    throw new AnswerError();
  }
  return envelopes;
}

/**
 * The length in bytes of the answer with envelopes of these lengths.
 *
 * @param {readonly number[]} lengths
 */
function answerLength(lengths) {
  const used = lengths.reduce((sum, length) => sum + LENGTH + length, 1);
  return Math.ceil(used / UNIT) * UNIT;
}
