/** What the page that sends shows. Texts come in as texts: nothing here makes markup of them. */

import { fillPlace, find, make } from "./dom.js";
import { saySize, sayTime } from "./estimate.js";
import { ReceiptCard } from "./receipt.js";
import { WordsField } from "./wordsfield.js";

/** @import { Carried, Topic } from "./carries.js" */

/** @typedef {"idle" | "sealing" | "sending" | "waiting" | "paused" | "done" | "failed"} State */

/** A file that was chosen, and where it is shown. @typedef {{ file: File, item: HTMLElement }} Chosen */

const LATE = "A file that you chose too late was not sent.";

/** @type {Record<Topic, string>} */
const TOPICS = {
  place: "Place",
  person: "Names or text",
  device: "Device",
  time: "Time",
  software: "Software",
};

/** The parts of the page, from when the sealing form stands in it. */
export class View {
  /** @param {string[]} words of the receipt */
  constructor(words) {
    fillPlace("sealing");
    this.form = find("form");
    this.kind = /** @type {HTMLSelectElement} */ (find("kind"));
    this.message = /** @type {HTMLTextAreaElement} */ (find("message"));
    this.files = /** @type {HTMLInputElement} */ (find("files"));
    this.drop = find("drop");
    this.send = /** @type {HTMLButtonElement} */ (find("send"));
    this.progress = /** @type {HTMLProgressElement} */ (find("progress"));
    this.pause = /** @type {HTMLButtonElement} */ (find("pause"));
    this.cancel = /** @type {HTMLButtonElement} */ (find("cancel"));
    this.status = find("status");
    this.work = find("work");
    this.after = find("after");
    this.earlier = new WordsField("earlier");
    this.receipt = new ReceiptCard(words);
    this.sentence = "";
    this.isLate = false;
  }

  /**
   * One more in the list of files, with a button that removes it; what it carries is shown when that is known.
   *
   * @param {File} file
   * @param {() => void} remove
   */
  addFile({ name, size }, remove) {
    const button = make("button", "Remove");
    button.type = "button";
    button.className = "quiet";
    button.setAttribute("aria-label", `Remove ${name}`);
    button.addEventListener("click", remove);
    const head = make("p");
    head.append(make("strong", name), make("span", saySize(size)), button);
    const item = make("li");
    item.append(head, describeCarried(null));
    find("list").append(item);
    find("originals").hidden = false;
    return item;
  }

  /** @param {Chosen} one */
  removeFile({ file, item }) {
    item.remove();
    find("originals").hidden = !find("list").hasChildNodes();
    this.tellAdded(`${file.name} was removed.`);
    this.files.focus();
  }

  /** @param {HTMLElement} item in the list of files; the rest of it, and where the keyboard is, stay @param {Carried} carried */
  showCarried(item, carried) {
    item.lastElementChild?.replaceWith(describeCarried(carried));
  }

  /**
   * What will be sent, how large it is, and how long that may take.
   *
   * @param {readonly Chosen[]} chosen
   * @param {number} length of the envelope, or 0 if there is none
   * @param {[number, number]} range
   */
  showSummary(chosen, length, range) {
    const total = chosen.reduce((sum, { file }) => sum + file.size, 0);
    const files =
      chosen.length === 0
        ? "Your message, and no files."
        : `Your message, and ${chosen.length === 1 ? "one file" : `${chosen.length} files`} (${saySize(total)}).`;
    const sealed = length ? ` Locked and padded, so that its size tells less, that is ${saySize(length)}.` : "";
    find("what").textContent = files + sealed;
    find("how-long").textContent = length
      ? `Over Tor this may take ${sayTime(range)}. This is a guess: it gets better once sending has begun.`
      : "";
  }

  /** The page was opened with a list of keys, and has compared them. */
  showKeyChecked() {
    for (const id of ["key-checked", "link-again"]) {
      find(id).hidden = false;
    }
  }

  /** It is being stopped, which cannot be stopped. */
  showStopping() {
    for (const button of [this.pause, this.cancel]) {
      button.disabled = true;
    }
    this.setState("waiting", "Stopping: the site is asked to throw away what it has. Over Tor that can take two minutes.");
  }

  /** What was added or removed, or could not be. @param {string} sentence */
  tellAdded(sentence) {
    find("added").textContent = sentence;
  }

  /** Why nothing was sent. @param {string} sentence */
  showProblem(sentence) {
    find("problem").textContent = sentence;
  }

  /**
   * The state for everybody; the sentence is read out by a screen reader when it changes.
   *
   * @param {State} state
   * @param {string} sentence
   */
  setState(state, sentence) {
    this.status.dataset.state = state;
    this.sentence = sentence;
    const text = this.isLate ? `${sentence} ${LATE}` : sentence;
    if (this.status.textContent !== text) {
      this.status.textContent = text;
    }
    this.pause.textContent = state === "paused" ? "Go on" : "Pause";
  }

  /** A file was chosen that cannot be added any more. */
  tellLate() {
    this.isLate = true;
    this.setState(/** @type {State} */ (this.status.dataset.state), this.sentence);
  }

  /** @param {number} percent @param {string} figures */
  showProgress(percent, figures) {
    this.progress.value = percent;
    this.progress.textContent = `${percent} %`;
    find("figures").textContent = figures;
  }

  /** The form or the work, never both. @param {boolean} working */
  showWork(working) {
    this.form.hidden = working;
    find("intro").hidden = working;
    this.work.hidden = !working;
    if (working) {
      this.isLate = false;
      this.pause.disabled = this.cancel.disabled = false;
      this.receipt.begin(!this.earlier.isEmpty);
      find("work-title").focus();
    } else {
      this.receipt.hide();
    }
  }

  /**
   * It has arrived: nothing of what was said stays on the page but the receipt, until that is settled.
   *
   * @param {() => void} whenSettled
   */
  showDone(whenSettled) {
    this.forgetSubmission();
    this.form.remove();
    this.work.remove();
    find("intro").hidden = true;
    this.after.hidden = false;
    find("ways-on").remove(); // who has sent in this visit must not ask in it
    if (!this.receipt.card.contains(document.activeElement)) {
      find("after-title").focus(); // never away from a word that is being typed
    }
    this.receipt.arrive(() => {
      find("next").hidden = false;
      whenSettled();
    });
  }

  /** Nothing can be sent from this page. */
  close() {
    this.forget();
    find("intro").hidden = false;
    this.form.remove();
    this.work.remove();
    this.receipt.card.remove();
  }

  /** Empty what the source typed and chose, and the words: Back must not show them again. */
  forget() {
    this.forgetSubmission();
    this.receipt.forget();
  }

  forgetSubmission() {
    this.earlier.forget();
    this.message.value = "";
    this.kind.selectedIndex = 0;
    this.files.value = "";
    if (this.form.isConnected) {
      find("list").replaceChildren();
      find("originals").hidden = true;
      for (const id of ["what", "how-long", "added", "problem"]) {
        find(id).textContent = "";
      }
    }
  }
}

/** @param {Carried | null} carried */
function describeCarried(carried) {
  const box = make("div");
  box.className = "carried";
  if (!carried) {
    box.append(make("p", "Looking at what this file carries…"));
  } else if (!carried.readable) {
    box.append(
      make(
        "p",
        "This page cannot look into this kind of file. It may carry names, places or times: look yourself. " +
          "Documents often name their author.",
      ),
    );
  } else if (carried.findings.length === 0) {
    box.append(make("p", "This page found no place, name, device or time in it. There may still be some."));
  } else {
    const list = make("ul");
    list.append(
      ...carried.findings.map(({ topic, text }) => {
        const item = make("li");
        item.append(make("strong", `${TOPICS[topic]}: `), text);
        return item;
      }),
    );
    box.append(make("p", "This file carries:"), list, make("p", explain(carried)));
  }
  return box;
}

/** In one line, what that means. @param {Carried} carried */
function explain({ findings }) {
  const worst = findings[0].topic;
  return {
    place: "It shows where it was made, and that may point at you.",
    person: "Names in it may point at you.",
    device: "The device may point at you, if somebody can compare it.",
    time: "The time may point at you, if few people were there.",
    software: "This alone tells little about you.",
  }[worst];
}
