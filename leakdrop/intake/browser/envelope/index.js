/**
 * The index of an envelope, as canonical JSON: docs/envelope.md, "The index". Twin of
 * leakdrop/envelope/index.py.
 *
 *     {"v":1,"sealed":S,"kind":K,"message":M,"files":[{"name":N,"type":T,"size":Z},…],
 *      "reply_to":{"mailbox":B,"key":B}}
 *
 * Exactly these keys in this order; `reply_to` alone may be missing. The reader parses, checks, writes the
 * index again and compares: duplicate keys, white space, other spellings of a number or a letter all
 * fail that comparison, so that Python and JavaScript cannot disagree about what was said.
 */

import { EnvelopeError, Kind, PublicKeyError, SubmissionError } from "./errors.js";
import { PUBLIC_KEY, parsePublicKey } from "./keys.js";

/** @import { Bytes } from "./header.js" */
/** @import { PublicKey } from "./keys.js" */

export const MAX_INDEX = 16 * 1024 * 1024;
export const MAX_FILES = 10_000;
export const MAX_MESSAGE = 1_048_576;
export const MAX_KIND = 64;
export const MAX_NAME = 1_024;
export const MAX_TYPE = 255;
export const MAX_SIZE = Number.MAX_SAFE_INTEGER;
export const MAILBOX = 32;
export const SEALED_BY = Object.freeze(["browser", "server", "offline", "review"]);

// With the u flag a whole surrogate pair is one character, and does not match.
const UNWRITABLE = /[\0\ud800-\udfff]/gu;

const encoder = new TextEncoder();
// Without ignoreBOM a leading U+FEFF would be dropped, and with it the difference from what was sealed.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * One file: its name (1..1,024 bytes) and type (0..255 bytes) as its sender claims, its size in bytes.
 *
 * @typedef {{ readonly name: string, readonly type: string, readonly size: number }} FileEntry
 */

/**
 * Where replies go: the mailbox (32 bytes) and the key that they are sealed to.
 *
 * @typedef {{ readonly mailbox: Bytes, readonly key: PublicKey }} ReplyTo
 */

/**
 * What stands in an envelope. `sealed` names who claims to have sealed it.
 *
 * @typedef {{
 *   readonly sealed: string,
 *   readonly kind: string,
 *   readonly message: string,
 *   readonly files: readonly FileEntry[],
 *   readonly replyTo: ReplyTo | null,
 * }} Index
 */

/**
 * The text as an index can hold it: U+FFFD for U+0000 and for halves of surrogate pairs.
 *
 * @param {string} text
 */
export function cleanText(text) {
  return text.replace(UNWRITABLE, "\ufffd");
}

/**
 * A message as an index can hold it: clean, and with LF at the ends of lines.
 *
 * @param {string} text
 */
export function cleanMessage(text) {
  return cleanText(text.replace(/\r\n?/g, "\n"));
}

/**
 * The longest beginning of a clean text that has at most `limit` bytes in UTF-8.
 *
 * @param {string} text
 * @param {number} limit
 */
export function clip(text, limit) {
  const encoded = encoder.encode(text);
  let end = Math.min(limit, encoded.length);
  while (isContinuation(encoded[end])) {
    end -= 1;
  }
  return decoder.decode(encoded.subarray(0, end));
}

/**
 * A file name as an index can hold it: never empty; a long one loses its middle and keeps its ending.
 *
 * @param {string} name
 */
export function cleanName(name) {
  const clean = cleanText(name) || "file";
  const encoded = encoder.encode(clean);
  if (encoded.length <= MAX_NAME) {
    return clean;
  }
  let start = encoded.length - 64;
  while (isContinuation(encoded[start])) {
    start += 1;
  }
  return clip(clean, MAX_NAME - 64 - utf8Length("…")) + "…" + decoder.decode(encoded.subarray(start));
}

/**
 * base64url without padding (RFC 4648, section 5).
 *
 * @param {Bytes} bytes
 */
export function encodeBase64url(bytes) {
  const base64 = btoa(String.fromCharCode(...bytes));
  return base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/**
 * The `length` bytes of a canonical base64url text without padding; RangeError for any other text.
 *
 * @param {string} text
 * @param {number} length
 */
export function decodeBase64url(text, length) {
  const bytes = Uint8Array.from(decodeBase64(text), (character) => character.charCodeAt(0));
  if (bytes.length !== length || encodeBase64url(bytes) !== text) {
    throw new RangeError("not canonical base64url of this length");
  }
  return bytes;
}

/**
 * The canonical bytes of an index, as a writer makes them.
 *
 * Throws SubmissionError if it breaks a bound that no cleaning can mend, or was not cleaned: no reader
 * would ever open it.
 *
 * @param {Index} index
 */
export function encodeIndex(index) {
  if (utf8Length(index.message) > MAX_MESSAGE) {
    throw new SubmissionError("The message is longer than 1 MiB: attach it as a file.");
  }
  if (index.files.length > MAX_FILES) {
    throw new SubmissionError("There are more than 10,000 files: put them into an archive.");
  }
  if (!isValid(index)) {
    throw new SubmissionError("The kind of this submission, or a file's name or type, cannot be sealed.");
  }
  const encoded = write(index);
  if (encoded.length > MAX_INDEX) {
    throw new SubmissionError("The files' names are too long together: put the files into an archive.");
  }
  return encoded;
}

/** @param {Index} index */
function write(index) {
  /** @type {Record<string, unknown>} */
  const fields = {
    v: 1,
    sealed: index.sealed,
    kind: index.kind,
    message: index.message,
    files: index.files.map(({ name, type, size }) => ({ name, type, size })),
  };
  if (index.replyTo) {
    fields.reply_to = {
      mailbox: encodeBase64url(index.replyTo.mailbox),
      key: encodeBase64url(index.replyTo.key.encoded),
    };
  }
  return encoder.encode(JSON.stringify(fields));
}

/**
 * The index in these bytes; `size` is its offset, which its files' sizes must add up to.
 *
 * Throws EnvelopeError (bad-index).
 *
 * @param {Bytes} encoded
 * @param {number} size
 * @returns {Promise<Index>}
 */
export async function decodeIndex(encoded, size) {
  const index = await parse(parseJson(encoded));
  // The bounds come first: what is written again is no larger than what was read.
  if (!isValid(index) || !addsUp(index.files, size) || !equal(write(index), encoded)) {
    throw new EnvelopeError(Kind.BAD_INDEX);
  }
  return index;
}

/**
 * @param {Bytes} encoded
 * @returns {unknown}
 */
function parseJson(encoded) {
  try {
    return JSON.parse(decoder.decode(encoded));
  } catch {
    // Whatever its class is: TypeError, SyntaxError, and what each browser throws when nesting is too deep.
    throw new EnvelopeError(Kind.BAD_INDEX);
  }
}

/**
 * An index of these JSON values, of the right types. Too few or odd fields throw; too many fail the
 * comparison.
 *
 * @param {unknown} value
 * @returns {Promise<Index>}
 */
async function parse(value) {
  if (ownField(value, "v") !== 1) {
    throw new EnvelopeError(Kind.BAD_INDEX);
  }
  const files = ownField(value, "files");
  if (!Array.isArray(files)) {
    throw new EnvelopeError(Kind.BAD_INDEX);
  }
  return {
    sealed: stringField(value, "sealed"),
    kind: stringField(value, "kind"),
    message: stringField(value, "message"),
    files: files.map(parseFile),
    replyTo: hasOwn(value, "reply_to") ? await parseReplyTo(value.reply_to) : null,
  };
}

/**
 * @param {unknown} value
 * @returns {FileEntry}
 */
function parseFile(value) {
  const size = ownField(value, "size");
  if (typeof size !== "number") {
    throw new EnvelopeError(Kind.BAD_INDEX);
  }
  return { name: stringField(value, "name"), type: stringField(value, "type"), size };
}

/**
 * @param {unknown} value
 * @returns {Promise<ReplyTo>}
 */
async function parseReplyTo(value) {
  const mailbox = stringField(value, "mailbox");
  const key = stringField(value, "key");
  try {
    return {
      mailbox: decodeBase64url(mailbox, MAILBOX),
      key: await parsePublicKey(decodeBase64url(key, PUBLIC_KEY)),
    };
  } catch (error) {
    if (error instanceof RangeError || error instanceof PublicKeyError) {
      throw new EnvelopeError(Kind.BAD_INDEX);
    }
    throw error;
  }
}

/**
 * @param {unknown} value
 * @param {string} key
 */
function stringField(value, key) {
  const text = ownField(value, key);
  if (typeof text !== "string") {
    throw new EnvelopeError(Kind.BAD_INDEX);
  }
  return text;
}

/**
 * @param {unknown} value
 * @param {string} key
 */
function ownField(value, key) {
  if (!hasOwn(value, key)) {
    throw new EnvelopeError(Kind.BAD_INDEX);
  }
  return value[key];
}

/**
 * Own fields only: every object also has a `constructor`, and so has every text a `length`.
 *
 * @param {unknown} value
 * @param {string} key
 * @returns {value is Record<string, unknown>}
 */
function hasOwn(value, key) {
  return typeof value === "object" && value !== null && Object.hasOwn(value, key);
}

/** @param {Index} index */
function isValid(index) {
  return (
    SEALED_BY.includes(index.sealed) &&
    isText(index.kind, 0, MAX_KIND) &&
    isText(index.message, 0, MAX_MESSAGE) &&
    !index.message.includes("\r") &&
    index.files.length <= MAX_FILES &&
    index.files.every(
      (file) =>
        isText(file.name, 1, MAX_NAME) &&
        isText(file.type, 0, MAX_TYPE) &&
        Number.isSafeInteger(file.size) &&
        file.size >= 0,
    )
  );
}

/**
 * A text of `least` to `most` bytes without U+0000 and lone surrogates.
 *
 * @param {string} text
 * @param {number} least
 * @param {number} most
 */
function isText(text, least, most) {
  const length = utf8Length(text);
  return least <= length && length <= most && cleanText(text) === text;
}

/**
 * Whether the files' sizes add up to `size`. Counting down is exact where a sum would be rounded: a
 * remainder below zero never comes back.
 *
 * @param {readonly FileEntry[]} files
 * @param {number} size
 */
function addsUp(files, size) {
  return files.reduce((rest, file) => rest - file.size, size) === 0;
}

/** @param {string} text */
function utf8Length(text) {
  return encoder.encode(text).length;
}

/**
 * Whether this byte of UTF-8 goes on with a character that began before it.
 *
 * @param {number | undefined} byte
 */
function isContinuation(byte) {
  return byte !== undefined && byte >= 0x80 && byte < 0xc0;
}

/** @param {string} text */
function decodeBase64(text) {
  try {
    return atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  } catch {
    // atob knows one refusal, a DOMException.
    throw new RangeError("not base64url");
  }
}

/**
 * @param {Bytes} a
 * @param {Bytes} b
 */
function equal(a, b) {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
