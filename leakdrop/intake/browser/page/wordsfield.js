/** What can be said of the twelve words while somebody types them. */

import { ReceiptError } from "../envelope/errors.js";
import { find, whenEntered } from "./dom.js";
import { WORDS, decodeWords, findWords, isWord, splitWords } from "./words.js";

/** @import { Bytes } from "../envelope/header.js" */

/**
 * A sentence on the words as they stand, and whether they are a receipt. `isWrong` says that typing more cannot
 * mend it.
 *
 * @typedef {{ isReceipt: boolean, sentence: string, isWrong: boolean }} Judgement
 */

/**
 * @param {string} text
 * @param {boolean} isTyping whether the last word may be the beginning of a longer one
 * @returns {Judgement}
 */
export function judgeWords(text, isTyping) {
  const words = splitWords(text);
  const last = words.at(-1) ?? "";
  const mayGrow = isTyping && /[a-z]$/i.test(text) && findWords(last).some((word) => word !== last);
  const finished = mayGrow ? words.slice(0, -1) : words;
  const unknown = finished.findIndex((word) => !isWord(word));
  if (unknown >= 0) {
    return wrong(sayUnknown(finished[unknown], unknown + 1));
  }
  if (words.length > WORDS) {
    return wrong(`These are ${words.length} words: a receipt has twelve. Is one there twice?`);
  }
  if (words.length < WORDS) {
    return { isReceipt: false, sentence: words.length > 0 ? `${finished.length} of 12 words.` : "", isWrong: false };
  }
  try {
    decodeWords(text);
    return { isReceipt: true, sentence: "All twelve words fit together. Compare each word with your paper once more.", isWrong: false };
  } catch (error) {
    if (!(error instanceof ReceiptError)) {
      throw error;
    }
    return mayGrow
      ? { isReceipt: false, sentence: `${finished.length} of 12 words.`, isWrong: false }
      : wrong(
          "All twelve are words of the list, but they do not fit together: one of them is another word, or " +
            "they stand in another order. Compare each with your copy.",
        );
  }
}

/** @param {string} sentence @returns {Judgement} */
function wrong(sentence) {
  return { isReceipt: false, sentence, isWrong: true };
}

/**
 * A word of the list is known by its first four letters: what was misread behind them can be guessed.
 *
 * @param {string} word
 * @param {number} number
 */
function sayUnknown(word, number) {
  const near = word.length >= 4 ? findWords(word.slice(0, 4)) : [];
  const guess = near.length === 1 ? ` Is it “${near[0]}”?` : "";
  return `Word ${number}, “${word}”, is not on the list of words.${guess}`;
}

/** A field for twelve words, with a line below it that says how they stand. */
export class WordsField {
  /** @param {string} id of the field; that of the line is the same with `-state` */
  constructor(id) {
    this.field = /** @type {HTMLTextAreaElement} */ (find(id));
    this.line = find(`${id}-state`);
    this.field.addEventListener("input", () => this.judge(true));
    this.field.addEventListener("change", () => this.judge(false));
  }

  /** Run when Enter is pressed behind twelve words that fit; before, it begins a new line. @param {() => void} act */
  whenEntered(act) {
    whenEntered(this.field, act, () => this.judge(false).isReceipt);
  }

  get isEmpty() {
    return splitWords(this.field.value).length === 0;
  }

  /** @param {boolean} isTyping */
  judge(isTyping) {
    const judgement = judgeWords(this.field.value, isTyping);
    this.show(judgement);
    return judgement;
  }

  /**
   * The 16 bytes; null, and the field tells why, if these are not twelve words that fit together.
   *
   * @returns {Bytes | null}
   */
  read() {
    const { isReceipt, isWrong } = this.judge(false);
    if (isReceipt) {
      return decodeWords(this.field.value);
    }
    const count = splitWords(this.field.value).length;
    if (!isWrong) {
      this.show(wrong(`${count === 1 ? "This is one word" : `These are ${count} words`}: a receipt has twelve.`));
    }
    this.field.focus();
    return null;
  }

  /** @param {Judgement} judgement */
  show({ sentence, isWrong }) {
    if (this.line.textContent !== sentence) {
      this.line.textContent = sentence;
    }
    this.line.classList.toggle("wrong", isWrong);
    this.field.setAttribute("aria-invalid", String(isWrong));
  }

  forget() {
    this.field.value = "";
    this.show({ isReceipt: false, sentence: "", isWrong: false });
  }
}
