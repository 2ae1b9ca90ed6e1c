/**
 * The twelve words of a receipt: docs/envelope.md, "The receipt". Twin of leakdrop/intake/words.py.
 *
 * They are 16 bytes as BIP39 writes them in English words, with 4 bits of SHA-256 that catch slips of the pen.
 * Only the encoding is used: no seed, no PBKDF2.
 */

import { entropyToMnemonic, mnemonicToEntropy } from "@scure/bip39";
import { wordlist } from "@scure/bip39/wordlists/english.js";

import { ReceiptError } from "../envelope/errors.js";

/** @import { Bytes } from "../envelope/header.js" */

export const WORDS = 12;

/**
 * The twelve words of 16 bytes.
 *
 * @param {Bytes} entropy
 */
export function encodeWords(entropy) {
  return entropyToMnemonic(entropy, wordlist).split(" ");
}

/**
 * The words of a text, as somebody may have copied them: in any case, numbered, with any signs between.
 *
 * @param {string} text
 * @returns {string[]}
 */
export function splitWords(text) {
  return text.toLowerCase().match(/[a-z]+/g) ?? [];
}

/**
 * The 16 bytes of twelve words.
 *
 * Throws ReceiptError if there are more or fewer, if one is not on the list, or if they do not fit together.
 *
 * @param {string} text
 * @returns {Bytes}
 */
export function decodeWords(text) {
  const words = splitWords(text);
  if (words.length !== WORDS) {
    throw new ReceiptError(`These are ${words.length} words, and a receipt has ${WORDS}.`);
  }
  const unknown = words.findIndex((word) => !isWord(word));
  if (unknown >= 0) {
    throw new ReceiptError(`Word ${unknown + 1} is not a word of any receipt: compare it with your copy.`);
  }
  try {
    return /** @type {Bytes} */ (mnemonicToEntropy(words.join(" "), wordlist));
  } catch {
    // Number and words are right, so this is the one refusal left.
    throw new ReceiptError("These words do not fit together: one is another, or two have changed places.");
  }
}

/**
 * Whether a word is on the list.
 *
 * @param {string} word
 */
export function isWord(word) {
  return wordlist.includes(word);
}

/**
 * The words on the list that begin so.
 *
 * @param {string} beginning
 */
export function findWords(beginning) {
  return wordlist.filter((word) => word.startsWith(beginning));
}
