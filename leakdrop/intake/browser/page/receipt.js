/**
 * The receipt on the page that sends: twelve words to be copied by hand, and two of them asked for again.
 *
 * The words are made here, on the device, and stand in the document only while they are shown. They are
 * neither stored nor put on a clipboard, which other programs can read.
 */

import { find, make, whenEntered } from "./dom.js";
import { WORDS, splitWords } from "./words.js";

/**
 * `words`: they are shown. `question`: two of them are asked for. `leaving`: whether to go on without them is
 * asked. `kept` and `left`: it is settled. `earlier`: the source has words from before.
 *
 * @typedef {"words" | "question" | "leaving" | "kept" | "left" | "earlier"} State
 */

const ASKED = 2;

export class ReceiptCard {
  /** @param {string[]} words */
  constructor(words) {
    this.card = find("receipt");
    this.words = words;
    /** Which words are asked for. @type {number[]} */
    this.asked = [];
    this.hasArrived = false;
    /** @type {() => void} */
    this.whenSettled = () => {};
    find("copied").addEventListener("click", () => this.ask());
    find("check").addEventListener("click", () => this.check());
    for (const id of ["look-again", "stay"]) {
      find(id).addEventListener("click", () => this.show("words"));
    }
    for (const id of ["without", "without-answer"]) {
      find(id).addEventListener("click", () => this.show("leaving"));
    }
    find("leave").addEventListener("click", () => this.show("left"));
    for (const field of this.fields) {
      whenEntered(field, () => this.check());
    }
  }

  /** @type {State} */
  get state() {
    return /** @type {State} */ (this.card.dataset.state);
  }

  get isSettled() {
    return ["kept", "left", "earlier"].includes(this.state);
  }

  get fields() {
    return ["first-answer", "second-answer"].map((id) => /** @type {HTMLInputElement} */ (find(id)));
  }

  /** Sending begins. @param {boolean} hasEarlierWords */
  begin(hasEarlierWords) {
    this.card.hidden = false;
    if (hasEarlierWords) {
      this.turn("earlier");
    } else if (this.state !== "kept") {
      this.turn("words"); // who left them at an earlier try may think again
    }
  }

  /** Nothing is being sent. */
  hide() {
    this.card.hidden = true;
  }

  /** It has arrived: once it is settled what becomes of the words, they are forgotten. @param {() => void} whenSettled */
  arrive(whenSettled) {
    this.hasArrived = true;
    this.showTruth();
    this.whenSettled = () => {
      this.forget();
      whenSettled();
    };
    if (this.isSettled) {
      this.whenSettled();
    }
  }

  /** Turn to a state, and lead keyboard and screen reader to its beginning. @param {State} state */
  show(state) {
    this.turn(state);
    find(`receipt-${state}`).focus();
    if (this.isSettled) {
      this.whenSettled();
    }
  }

  /** @param {State} state */
  turn(state) {
    this.card.dataset.state = state;
    for (const part of /** @type {NodeListOf<HTMLElement>} */ (this.card.querySelectorAll("[data-when]"))) {
      part.hidden = part.dataset.when !== state;
    }
    this.showTruth();
    // While two of them are asked for, the words are nowhere in the document.
    find("words").replaceChildren(...(state === "words" ? this.words.map((word) => make("li", word)) : []));
    find("wrong-answer").textContent = "";
    for (const field of this.fields) {
      field.value = "";
    }
  }

  /** Before all has arrived the words open nothing, and are not forgotten yet. */
  showTruth() {
    for (const part of /** @type {NodeListOf<HTMLElement>} */ (this.card.querySelectorAll("[data-arrived]"))) {
      part.hidden = part.dataset.arrived !== String(this.hasArrived);
    }
  }

  ask() {
    this.asked = chooseTwo();
    for (const [i, id] of ["first-number", "second-number"].entries()) {
      find(id).textContent = String(this.asked[i] + 1);
    }
    this.show("question");
  }

  check() {
    const wrong = this.fields.filter((field, i) => {
      const [word, ...others] = splitWords(field.value);
      const isRight = word === this.words[this.asked[i]] && others.length === 0;
      field.setAttribute("aria-invalid", String(!isRight));
      return !isRight;
    });
    if (wrong.length === 0) {
      this.show("kept");
      return;
    }
    const numbers = wrong.map((field) => this.asked[this.fields.indexOf(field)] + 1);
    find("wrong-answer").textContent =
      (numbers.length === 1
        ? `Word ${numbers[0]} was another one here. `
        : `Words ${numbers.join(" and ")} were other ones here. `) +
      "That happens easily. Look at the words again, and compare each with your copy.";
    wrong[0].focus();
  }

  /** The page is left, or is done with the words. */
  forget() {
    this.words = [];
    find("words").replaceChildren();
    for (const field of this.fields) {
      field.value = "";
    }
  }
}

/** Two of the twelve, in ascending order. Each pair is as likely as any other. */
function chooseTwo() {
  /** @type {Set<number>} */
  const chosen = new Set();
  while (chosen.size < ASKED) {
    const [byte] = crypto.getRandomValues(new Uint8Array(1));
    if (byte < 21 * WORDS) {
      chosen.add(byte % WORDS); // else the first words would be likelier
    }
  }
  return [...chosen].sort((a, b) => a - b);
}
