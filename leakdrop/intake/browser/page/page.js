/**
 * The first page: it checks itself, shows the form, seals and sends.
 *
 * Until the checks have passed there is no form in the document at all. Nothing is written on the device,
 * and no request is made before "Send".
 */

import { FileChangedError, SubmissionError } from "../envelope/errors.js";
import { cleanMessage, cleanName, cleanText } from "../envelope/index.js";
import { ENTROPY, deriveReceipt } from "../envelope/receipt.js";
import { planSealing } from "../envelope/sealing.js";
import { readCarried } from "./carries.js";
import { UnsealedError, checkBrowser, checkExpected, readFragment, readKeys } from "./checks.js";
import { find, whenLeft } from "./dom.js";
import { Estimate, saySize, sayTime } from "./estimate.js";
import { RefusedError, StoppedError, Tus, ask } from "./tus.js";
import { Uploader } from "./uploader.js";
import { View } from "./view.js";
import { WatchedFile } from "./watched.js";
import { encodeWords } from "./words.js";

/** @import { PublicKey } from "../envelope/keys.js" */
/** @import { Receipt } from "../envelope/receipt.js" */
/** @import { Progress } from "./uploader.js" */
/** @import { Chosen } from "./view.js" */

// A screen reader hears of the progress at every step of so many per cent.
const STEP = 10;

class Page {
  /**
   * @param {View} view
   * @param {DOMStringMap} site what the server says of itself
   */
  constructor(view, site) {
    this.view = view;
    /** @type {PublicKey[]} none before the checks are done */
    this.keys = [];
    /** @type {Receipt | null} of the words that this page shows; none before the checks are done */
    this.receipt = null;
    this.largest = Number(site.largest);
    this.tus = new Tus(site.uploads ?? "", ask);
    this.estimate = new Estimate();
    /** @type {Chosen[]} */
    this.chosen = [];
    /** @type {Uploader | null} */
    this.uploader = null;
    this.isClosed = false;
  }

  /** From the first moment on: what is chosen while the checks run must not be lost. */
  listen() {
    const { view } = this;
    view.files.addEventListener("change", () => {
      this.add([...(view.files.files ?? [])]);
      view.files.value = ""; // so that the next choice adds to this one
    });
    view.message.addEventListener("change", () => this.summarise());
    view.send.addEventListener("click", () => this.send());
    view.pause.addEventListener("click", () => this.pauseOrGoOn());
    view.cancel.addEventListener("click", () => this.uploader?.cancel());
    this.acceptDrops();
  }

  /**
   * The checks are done.
   *
   * @param {PublicKey[]} keys to seal to
   * @param {Receipt} receipt to send under
   */
  start(keys, receipt) {
    this.keys = keys;
    this.receipt = receipt;
    this.view.send.disabled = false;
    this.summarise();
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
      if (this.uploader || this.isClosed) {
        return;
      }
      const items = [...(event.dataTransfer?.items ?? [])].filter(({ kind }) => kind === "file");
      const files = items.filter((item) => !item.webkitGetAsEntry()?.isDirectory).map((item) => item.getAsFile());
      this.add(files.filter((file) => file !== null));
      if (files.length < items.length) {
        this.view.tellAdded("A folder cannot be added: open it and choose its files, or make it a ZIP file.");
      }
    });
  }

  /** @param {readonly File[]} files */
  add(files) {
    for (const file of files) {
      const one = { file, carried: /** @type {Chosen["carried"]} */ (null) };
      this.chosen.push(one);
      this.looking = (this.looking ?? Promise.resolve()).then(async () => {
        one.carried = await readCarried(file);
        this.showFiles();
      });
    }
    if (files.length > 0) {
      this.view.tellAdded(files.length === 1 ? `${files[0].name} was added.` : `${files.length} files were added.`);
    }
    this.showFiles();
    this.summarise();
  }

  showFiles() {
    if (this.uploader || this.isClosed) {
      return;
    }
    this.view.showFiles(this.chosen, (one) => {
      this.chosen = this.chosen.filter((other) => other !== one);
      this.view.tellAdded(`${one.file.name} was removed.`);
      this.showFiles();
      this.summarise();
      this.view.files.focus();
    });
  }

  /**
   * The submission as it stands. Throws SubmissionError.
   *
   * @param {readonly WatchedFile[]} watched
   * @param {Receipt | null} [receipt]
   */
  plan(watched, receipt = this.receipt) {
    const files = watched.map((source) => ({
      name: cleanName(source.file.name),
      type: cleanText(source.file.type),
      source,
    }));
    const submission = {
      sealed: "browser",
      kind: cleanText(this.view.kind.value),
      message: cleanMessage(this.view.message.value),
      replyTo: receipt?.replyTo,
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

  /** The receipt to send under; null if words from before were begun, and are not one. */
  async chooseReceipt() {
    if (this.view.earlier.isEmpty) {
      return this.receipt;
    }
    const entropy = this.view.earlier.read();
    return entropy && deriveReceipt(entropy);
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
    const receipt = await this.chooseReceipt();
    if (!receipt) {
      view.showProblem("Correct your twelve words from before, or empty that field. Nothing was sent.");
      return;
    }
    if (this.uploader || this.isClosed) {
      return; // by another press, meanwhile
    }
    const watched = this.chosen.map(({ file }) => new WatchedFile(file));
    let plan;
    try {
      plan = this.plan(watched, receipt);
    } catch (error) {
      this.tellProblem(error);
      return;
    }
    const checkSources = async () => {
      for (const file of watched) {
        await file.check();
      }
    };
    this.uploader = new Uploader(
      this.tus,
      plan,
      checkSources,
      (progress) => this.show(progress, plan.length),
      (bytes, seconds) => this.estimate.add(bytes, seconds),
    );
    window.addEventListener("beforeunload", warn);
    view.showWork(true);
    view.showProgress(0, "");
    view.setState("sealing", "Locking what you send, on this device.");
    try {
      await this.uploader.run();
      this.finish();
    } catch (error) {
      window.removeEventListener("beforeunload", warn);
      this.stop(error);
    }
  }

  finish() {
    this.isClosed = true;
    this.uploader = null;
    this.chosen = [];
    // Whoever leaves before the words are copied loses them.
    this.view.showDone(() => window.removeEventListener("beforeunload", warn));
    this.view.setState("done", "Everything has arrived.");
  }

  /** Back to the form, with what is in it. @param {unknown} error */
  stop(error) {
    this.uploader = null;
    if (this.isClosed) {
      return;
    }
    this.view.showWork(false);
    this.showFiles();
    this.summarise();
    if (error instanceof StoppedError) {
      this.view.setState("idle", "You stopped it. What had been sent was thrown away.");
    } else {
      this.view.setState("failed", explain(error));
    }
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
  show({ state, acknowledged, sent, full, busy }, length) {
    if (this.isClosed) {
      return;
    }
    const percent = Math.floor((100 * sent) / length);
    const left = sayTime(this.estimate.range(length - acknowledged));
    this.view.showProgress(percent, `${saySize(sent)} of ${saySize(length)} sent. Time left: ${left}.`);
    const step = Math.floor((100 * acknowledged) / length / STEP) * STEP;
    const sentences = {
      sealing: "Locking what you send, on this device.",
      sending: step > 0 ? `Sending. ${step} per cent has arrived.` : "Sending.",
      waiting: full
        ? "The site has no room at this moment. It is tried again by itself; you can also come back tomorrow."
        : busy
          ? "Many people are sending at this moment. It goes on by itself when it is your turn."
          : "Waiting for Tor: the connection was lost. It goes on by itself.",
      paused: "Paused. What has arrived stays there for two days, as long as this page is open.",
    };
    this.view.setState(state, sentences[state]);
  }

  /** Nothing can be sent any more. @param {UnsealedError} error */
  close(error) {
    this.isClosed = true;
    this.uploader?.cancel();
    this.chosen = [];
    this.view.close();
    this.view.setState("failed", error.message);
  }

  forget() {
    this.chosen = [];
    this.view.forget();
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

/** @param {unknown} error */
function explain(error) {
  const nothing = "Nothing of it was kept.";
  if (error instanceof FileChangedError) {
    return `The file “${error.file}” has changed, or was moved or removed, while it was being sent. ${nothing} Remove it from the list, choose it again and send again.`;
  }
  if (error instanceof RefusedError && error.status === 413) {
    return `This is more than this site can take at once. ${nothing} Send the files in parts.`;
  }
  if (error instanceof RefusedError) {
    return `The site did not take it. ${nothing} Copy your message, reload this page and send again: the site’s key may have changed since you opened it.`;
  }
  return `Something went wrong on this page, and not by your doing. ${nothing} Copy your message, reload this page and send again.`;
}

async function main() {
  const expected = readFragment(location.hash);
  if (expected) {
    // The link tells where it came from: it must not stay in the address bar.
    history.replaceState(null, "", location.pathname);
  }
  const template = /** @type {HTMLTemplateElement} */ (find("keys"));
  const texts = [...template.content.querySelectorAll("p")].map((line) => ({
    fingerprint: line.dataset.fingerprint ?? "",
    key: line.textContent ?? "",
  }));
  const entropy = crypto.getRandomValues(new Uint8Array(ENTROPY));
  const page = new Page(new View(encodeWords(entropy)), template.dataset);
  page.listen();
  whenLeft(() => page.forget());
  try {
    await checkBrowser();
    page.start(await readKeys(texts), await deriveReceipt(entropy));
  } catch (error) {
    page.close(error instanceof UnsealedError ? error : new UnsealedError("This page does not work here."));
    throw error;
  } finally {
    entropy.fill(0);
  }
  checkFragment(page, expected);
  window.addEventListener("hashchange", () => checkFragment(page, readFragment(location.hash)));
}

/**
 * Close the page if a key that it would seal to is not among those of the link.
 *
 * @param {Page} page
 * @param {string[] | null} expected
 */
function checkFragment(page, expected) {
  if (!expected) {
    return;
  }
  history.replaceState(null, "", location.pathname);
  try {
    checkExpected(page.keys, expected);
  } catch (error) {
    page.close(/** @type {UnsealedError} */ (error));
    return;
  }
  page.view.showKeyChecked();
}

main();
