/**
 * Everything that sealing and opening refuse on purpose: twin of leakdrop/errors.py, without what only
 * commands and servers refuse.
 *
 * The message of an error is the sentence that its reader sees. It never carries a byte of a
 * submission. Any other exception is a mistake of ours.
 */

/** leakdrop could not do what was asked. */
export class LeakdropError extends Error {}

/** This is not a valid leakdrop public key. */
export class PublicKeyError extends LeakdropError {}

/** This submission cannot be sealed. */
export class SubmissionError extends LeakdropError {}

/** These are not the twelve words of a receipt. */
export class ReceiptError extends LeakdropError {}

/** What came as an answer is not one, or not all of it. */
export class AnswerError extends LeakdropError {
  constructor() {
    super("The answer did not come whole: ask again.");
  }
}

/** A file could not be read as it was when it was chosen; `file` is its name, for the page to show. */
export class FileChangedError extends LeakdropError {
  /**
   * @param {string} file
   * @param {unknown} [cause] what the browser said, if it said anything
   */
  constructor(file, cause) {
    super("A file was changed, moved or removed while it was read: choose it again.", { cause });
    this.file = file;
  }
}

/**
 * The fourteen ways in which bytes are not an envelope, in the order in which a reader looks.
 *
 * Source: docs/envelope.md, "The reader". The first six need no key.
 */
export const Kind = Object.freeze(
  /** @type {const} */ ({
    NOT_AN_ENVELOPE: "not-an-envelope",
    UNKNOWN_VERSION: "unknown-version",
    BAD_COUNT: "bad-count",
    CUT_HEADER: "cut-header",
    STANZA_ORDER: "stanza-order",
    BAD_LENGTH: "bad-length",
    NOT_FOR_THIS_KEY: "not-for-this-key",
    STANZA_DAMAGED: "stanza-damaged",
    HEADER_DAMAGED: "header-damaged",
    CHUNK_DAMAGED: "chunk-damaged",
    BAD_TRAILER: "bad-trailer",
    BAD_BUCKET: "bad-bucket",
    BAD_INDEX: "bad-index",
    BAD_PADDING: "bad-padding",
  }),
);

/** @typedef {(typeof Kind)[keyof typeof Kind]} KindName */

/** @type {Readonly<Record<KindName, string>>} */
export const SENTENCES = Object.freeze({
  [Kind.NOT_AN_ENVELOPE]: "This is not a leakdrop envelope.",
  [Kind.UNKNOWN_VERSION]: "This envelope was made by a newer leakdrop: update leakdrop to open it.",
  [Kind.BAD_COUNT]: "This envelope is damaged: it does not name 1 to 16 keys.",
  [Kind.CUT_HEADER]: "This envelope is cut off within its header: copy it again.",
  [Kind.STANZA_ORDER]: "This envelope is damaged: its keys are not in order.",
  [Kind.BAD_LENGTH]: "This envelope has a length that no envelope has: copy it again.",
  [Kind.NOT_FOR_THIS_KEY]: "This envelope is not sealed to any of these keys.",
  [Kind.STANZA_DAMAGED]:
    "This envelope's part for this key is damaged; another reviewer may be able to open it.",
  [Kind.HEADER_DAMAGED]: "This envelope's header is damaged; another reviewer may be able to open it.",
  [Kind.CHUNK_DAMAGED]: "This envelope is damaged: a piece of it was changed, moved or cut off.",
  [Kind.BAD_TRAILER]: "This envelope was made wrongly: its last bytes do not point to an index.",
  [Kind.BAD_BUCKET]: "This envelope was made wrongly: it is not padded as it should be.",
  [Kind.BAD_INDEX]: "This envelope was made wrongly: its index breaks the rules.",
  [Kind.BAD_PADDING]: "This envelope was made wrongly: its padding is not zero.",
});

/** These bytes are not an envelope, or not one for these keys; `kind` says why. */
export class EnvelopeError extends LeakdropError {
  /** @param {KindName} kind */
  constructor(kind) {
    super(SENTENCES[kind]);
    this.kind = kind;
  }
}
