/**
 * The first page: it checks itself, shows the form, seals and sends.
 *
 * Until the checks have passed there is no form in the document at all. Nothing is written on the device,
 * and no request is made before "Send".
 */

import { clean as wipe } from "@noble/hashes/utils.js";

import { FileChangedError, SubmissionError } from "../envelope/errors.js";
import { cleanMessage, cleanName, cleanText } from "../envelope/index.js";
import { ENTROPY, deriveReplyTo } from "../envelope/receipt.js";
import { planSealing } from "../envelope/sealing.js";
import { readCarried } from "./carries.js";
import { UnsealedError, checkBrowser, checkExpected, readFragment, readKeys } from "./checks.js";
import { find, whenLeft } from "./dom.js";
import { explainEnd, sayRemains } from "./ends.js";
import { Estimate, saySize, sayTime } from "./estimate.js";
import { RefusedError, StoppedError, Tus, ask } from "./tus.js";
import { Uploader } from "./uploader.js";
import { View } from "./view.js";
import { WatchedFile } from "./watched.js";
import { encodeWords } from "./words.js";

/** @import { PublicKey } from "../envelope/keys.js" */
/** @import { ReplyTo } from "../envelope/index.js" */
/** @import { Progress, Remains } from "./uploader.js" */
/** @import { Chosen } from "./view.js" */

const WAITING = {
  lost: "Waiting for Tor: the connection was lost. It goes on by itself.",
  full:
    "The site has no room at this moment. It is tried again by itself, every five to fifteen minutes; you can " +
    "also stop, and come back tomorrow.",
  busy: "Many people are sending at this moment. It goes on by itself when it is your turn.",
  often:
    "The site takes only so much from one connection in an hour, and yours has asked often. Keep this page open: " +
    "it goes on by itself, within an hour.",
};
// A screen reader hears of the progress at every step of so many per cent.
const STEP = 10;

// Of the time that sending took, so much may go into reading all files once more. Over Tor that is many times enough.
const CHECKING = 0.05;

class Page {
  /**
   * @param {View} view
   * @param {DOMStringMap} site what the server says of itself
   */
  constructor(view, site) {
    this.view = view;
    /** @type {PublicKey[]} none before the checks are done */
    this.keys = [];
    /** @type {ReplyTo | null} of the words that this page shows; none before the checks are done */
    this.replyTo = null;
    /** @type {string[] | null} the fingerprints of the link; it has left the address bar */
    this.expected = null;
    this.largest = Number(site.largest);
    this.tus = new Tus(site.uploads ?? "", ask);
    this.estimate = new Estimate();
    /** @type {Chosen[]} */
    this.chosen = [];
    /** One file after another. */
    this.looking = Promise.resolve();
    /** @type {Uploader | null} */
    this.uploader = null;
    /** "Send" was pressed before the checks were done. */
    this.isPressed = false;
    this.isClosed = false;
  }

  /** From the first moment on: what is chosen or pressed while the checks run must not be lost. */
  listen() {
    const { view } = this;
    view.files.addEventListener("change", () => {
      this.add([...(view.files.files ?? [])]);
      view.files.value = ""; // so that the next choice adds to this one
    });
    view.message.addEventListener("change", () => this.summarise());
    view.send.addEventListener("click", () => this.send());
    view.pause.addEventListener("click", () => this.pauseOrGoOn());
    view.cancel.addEventListener("click", () => this.cancel());
    this.acceptDrops();
  }

  /**
   * The checks are done.
   *
   * @param {PublicKey[]} keys to seal to
   * @param {ReplyTo} replyTo to send under
   */
  start(keys, replyTo) {
    this.keys = keys;
    this.replyTo = replyTo;
    this.summarise();
    if (this.isPressed) {
      this.view.setState("idle", "");
      this.send();
    }
  }

  /** A file that is dropped beside the list must not replace the page, and with it what was typed. */
  acceptDrops() {
    window.addEventListener("dragover", (event) => {
      event.preventDefault();
      this.view.drop.classList.add("over");
    });
    window.addEventListener("dragleave", () => this.view.drop.classList.remove("over"));
    window.addEventListener("drop", (event) => {
      event.preventDefault();
      this.view.drop.classList.remove("over");
      const items = [...(event.dataTransfer?.items ?? [])].filter(({ kind }) => kind === "file");
      const files = items.filter((item) => !item.webkitGetAsEntry()?.isDirectory).map((item) => item.getAsFile());
      if (items.length > 0) {
        this.add(files.filter((file) => file !== null));
      }
      if (files.length < items.length && !this.uploader && !this.isClosed) {
        this.view.tellAdded("A folder cannot be added: open it and choose its files, or make it a ZIP file.");
      }
    });
  }

  /** @param {readonly File[]} files */
  add(files) {
    if (this.uploader || this.isClosed) {
      this.view.tellLate(); // a phone's list of files may stay open for long
      return;
    }
    for (const file of files) {
      const one = { file, item: this.view.addFile(file, () => this.remove(one)) };
      this.chosen.push(one);
      this.looking = this.looking.then(() => this.look(one));
    }
    if (files.length > 0) {
      this.view.tellAdded(files.length === 1 ? `${files[0].name} was added.` : `${files.length} files were added.`);
    }
    this.summarise();
  }

  /** @param {Chosen} one */
  remove(one) {
    this.chosen = this.chosen.filter((other) => other !== one);
    this.view.removeFile(one);
    this.summarise();
  }

  /** Show what a file carries, if it is still to be sent. @param {Chosen} one */
  async look({ file, item }) {
    if (item.isConnected) {
      this.view.showCarried(item, await readCarried(file));
    }
  }

  /**
   * The submission as it stands. Throws SubmissionError.
   *
   * @param {readonly WatchedFile[]} watched
   * @param {ReplyTo | null} [replyTo]
   */
  plan(watched, replyTo = this.replyTo) {
    const files = watched.map((source) => ({
      name: cleanName(source.file.name),
      type: cleanText(source.file.type),
      source,
    }));
    const submission = {
      sealed: "browser",
      kind: cleanText(this.view.kind.value),
      message: cleanMessage(this.view.message.value),
      replyTo: replyTo ?? undefined,
    };
    // A WatchedFile has what sealing uses of a Blob.
    const plan = planSealing(this.keys, submission, /** @type {any} */ (files));
    if (plan.plaintextLength > this.largest) {
      throw new SubmissionError(
        `This is more than this site can take at once (${saySize(this.largest)}). Send the files in parts.`,
      );
    }
    return plan;
  }

  summarise() {
    if (this.keys.length === 0) {
      return;
    }
    let length = 0;
    this.view.showProblem("");
    try {
      length = this.plan(this.chosen.map(({ file }) => new WatchedFile(file))).length;
    } catch (error) {
      this.tellProblem(error);
    }
    this.view.showSummary(this.chosen, length, this.estimate.range(length));
  }

  /** @param {unknown} error */
  tellProblem(error) {
    if (!(error instanceof SubmissionError)) {
      throw error;
    }
    this.view.showProblem(error.message);
  }

  /** What to send under; null if words from before were begun, and are not a receipt. */
  async chooseReplyTo() {
    if (this.view.earlier.isEmpty) {
      return this.replyTo;
    }
    const entropy = this.view.earlier.read();
    return entropy && deriveReplyTo(entropy);
  }

  async send() {
    const { view } = this;
    if (this.uploader || this.isClosed) {
      return;
    }
    view.showProblem("");
    if (view.message.value.trim() === "" && this.chosen.length === 0) {
      view.showProblem("Write a message or choose a file first. Nothing was sent.");
      return;
    }
    if (this.keys.length === 0) {
      this.isPressed = true; // `start` goes on
      view.setState("idle", "One moment: this page checks itself first. Then it sends.");
      return;
    }
    const replyTo = await this.chooseReplyTo();
    if (!replyTo) {
      view.showProblem("Correct your twelve words from before, or empty that field. Nothing was sent.");
      return;
    }
    if (this.uploader || this.isClosed) {
      return; // by another press, meanwhile
    }
    const watched = this.chosen.map(({ file }) => new WatchedFile(file));
    let plan;
    try {
      plan = this.plan(watched, replyTo);
    } catch (error) {
      this.tellProblem(error);
      return;
    }
    const began = performance.now();
    const checkSources = async () => {
      const now = performance.now();
      for (const file of watched) {
        await file.check(now + CHECKING * (now - began));
      }
    };
    const uploader = new Uploader(
      this.tus,
      plan,
      checkSources,
      (progress) => this.show(progress, plan.length),
      (bytes, seconds) => this.estimate.add(bytes, seconds),
    );
    this.uploader = uploader;
    window.addEventListener("beforeunload", warn);
    view.showWork(true);
    view.showProgress(0, "");
    view.setState("sealing", "Locking what you send, on this device.");
    try {
      await uploader.run();
      this.finish();
    } catch (error) {
      window.removeEventListener("beforeunload", warn);
      this.stop(error, uploader.remains);
    } finally {
      watched.forEach((file) => file.forget());
    }
  }

  /** Stop sending; what became of it is told when the site has said it. */
  cancel() {
    if (this.uploader) {
      this.uploader.cancel();
      this.view.showStopping();
    }
  }

  finish() {
    this.uploader = null;
    if (this.isClosed) {
      // It was closed while the last bytes were on their way.
      window.removeEventListener("beforeunload", warn);
      this.view.setState("failed", `${this.view.sentence} What you had sent before has arrived.`);
      return;
    }
    this.isClosed = true;
    this.replyTo = null;
    this.chosen = [];
    // Whoever leaves before the words are copied loses them.
    this.view.showDone(() => window.removeEventListener("beforeunload", warn));
    this.view.setState("done", "Everything has arrived.");
  }

  /**
   * Back to the form, with what is in it.
   *
   * @param {unknown} error
   * @param {Remains} remains
   */
  stop(error, remains) {
    const hasNewWords = this.view.earlier.isEmpty;
    this.uploader = null;
    if (this.isClosed) {
      this.view.setState("failed", `${this.view.sentence} ${sayRemains(remains)}`);
      return;
    }
    this.view.showWork(false);
    this.summarise();
    this.view.setState(
      error instanceof StoppedError ? "idle" : "failed",
      explainEnd(error, { remains, hasNewWords, hasLink: this.expected !== null }),
    );
    this.view.send.focus();
    if (!isExpected(error)) {
      throw error;
    }
  }

  pauseOrGoOn() {
    if (this.view.status.dataset.state === "paused") {
      this.uploader?.goOn();
    } else {
      this.uploader?.pause();
    }
  }

  /**
   * @param {Progress} progress
   * @param {number} length
   */
  show({ state, acknowledged, sent, why }, length) {
    if (this.isClosed || this.uploader?.cancelled) {
      return;
    }
    const percent = Math.floor((100 * sent) / length);
    const left = sayTime(this.estimate.range(length - acknowledged));
    this.view.showProgress(percent, `${saySize(sent)} of ${saySize(length)} sent. Time left: ${left}.`);
    const step = Math.floor((100 * acknowledged) / length / STEP) * STEP;
    const sentences = {
      sealing: "Locking what you send, on this device.",
      sending: step > 0 ? `Sending. ${step} per cent has arrived.` : "Sending.",
      waiting: WAITING[why],
      paused: "Paused. What has arrived stays there for two days, as long as this page is open.",
    };
    this.view.setState(state, sentences[state]);
  }

  /** Nothing can be sent any more. @param {UnsealedError} error */
  close(error) {
    this.isClosed = true;
    this.replyTo = null;
    this.uploader?.cancel();
    this.chosen = [];
    this.view.close();
    this.view.setState("failed", this.uploader ? error.message : `${error.message} Nothing was sent.`);
  }

  /** The page is left. */
  forget() {
    this.isClosed = true;
    this.uploader?.cancel();
    this.uploader = null;
    this.replyTo = null;
    this.chosen = [];
    this.view.forget();
  }

  /**
   * Compare the keys with those that the address names, if it names any. The address keeps them until they have
   * been found right: whatever makes the page load anew before, it is then checked, or closed, again.
   *
   * Throws UnsealedError.
   *
   * @param {readonly PublicKey[]} keys
   */
  checkAddress(keys) {
    const expected = readFragment(location.hash);
    if (!expected) {
      return;
    }
    checkExpected(keys, expected);
    this.expected = expected;
    // The link tells where it came from: it must not stay in the address bar.
    history.replaceState(null, "", location.pathname);
    this.view.showKeyChecked();
  }

  /** The page is about to be loaded anew, and must be compared again. */
  restoreAddress() {
    if (this.expected) {
      history.replaceState(null, "", `${location.pathname}#key=${this.expected.join(",")}`);
    }
  }

  /** Another link to this page was opened in its place. */
  checkAgain() {
    if (this.isClosed) {
      return; // nothing more leaves this page, and when it is loaded anew the link is compared
    }
    try {
      this.checkAddress(this.keys);
    } catch (error) {
      this.close(/** @type {UnsealedError} */ (error));
    }
  }
}

/** @param {BeforeUnloadEvent} event */
function warn(event) {
  event.preventDefault();
}

/** Failures that are told, and are nobody's mistake here. @param {unknown} error */
function isExpected(error) {
  return error instanceof StoppedError || error instanceof FileChangedError || error instanceof RefusedError;
}

async function main() {
  const template = /** @type {HTMLTemplateElement} */ (find("keys"));
  const texts = [...template.content.querySelectorAll("p")].map((line) => ({
    fingerprint: line.dataset.fingerprint ?? "",
    key: line.textContent ?? "",
  }));
  const entropy = crypto.getRandomValues(new Uint8Array(ENTROPY));
  const page = new Page(new View(encodeWords(entropy)), template.dataset);
  page.listen();
  whenLeft(
    () => page.forget(),
    () => page.restoreAddress(),
  );
  try {
    await checkBrowser();
    const keys = await readKeys(texts);
    const replyTo = await deriveReplyTo(entropy);
    page.checkAddress(keys);
    page.start(keys, replyTo);
  } catch (error) {
    wipe(entropy);
    page.close(error instanceof UnsealedError ? error : new UnsealedError("This page does not work here."));
    throw error;
  }
  window.addEventListener("hashchange", () => page.checkAgain());
}

main();
