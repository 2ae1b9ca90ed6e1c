/**
 * The page for replies: twelve words in, what the reviewers answered out.
 *
 * All that follows from the words is derived here, and replies are opened here: only the token leaves the
 * browser. Nothing is written on the device unless the source saves a file. No field stands in the document
 * before the page has checked itself.
 */

import { AnswerError } from "../envelope/errors.js";
import { checkBrowser } from "./checks.js";
import { fillPlace, find, whenLeft } from "./dom.js";
import { Mailbox, UnansweredError, UnreachedError } from "./mailbox.js";
import { ReplyList } from "./replylist.js";
import { safeName } from "./reply.js";
import { WordsField } from "./wordsfield.js";

/** @import { Reply } from "./reply.js" */

/** @typedef {"idle" | "asking" | "done" | "failed"} State */

class Replies {
  constructor() {
    this.words = new WordsField("words");
    this.status = find("status");
    this.progress = /** @type {HTMLProgressElement} */ (find("progress"));
    this.list = new ReplyList(find("list"), {
      save: (reply, number) => this.save(reply, number),
      remove: (reply) => this.remove(reply),
    });
    /** @type {Mailbox | null} */
    this.mailbox = null;
    this.isAsking = false;
  }

  start() {
    find("ask").addEventListener("click", () => this.ask());
    find("finish").addEventListener("click", () => this.finish());
    this.words.whenEntered(() => this.ask());
    this.setState("idle", "");
  }

  /** @param {State} state @param {string} sentence */
  setState(state, sentence) {
    this.status.dataset.state = state;
    this.status.textContent = sentence;
    find("working").hidden = state !== "asking";
    find("asking").hidden = state === "asking" || state === "done";
    find("answer").hidden = state !== "done";
  }

  async ask() {
    const entropy = this.isAsking ? null : this.words.read();
    if (!entropy) {
      return;
    }
    this.isAsking = true;
    this.setState("asking", "Asking for replies.");
    this.progress.removeAttribute("value");
    const mailbox = new Mailbox(this.status.dataset.path ?? "");
    this.mailbox = mailbox;
    try {
      const replies = await mailbox.read(entropy, (part) => {
        this.progress.value = part;
      });
      if (this.mailbox === mailbox) {
        this.show(replies);
      }
    } catch (error) {
      this.setState("failed", explain(error));
      find("ask").focus();
      rethrowMistake(error);
    } finally {
      this.isAsking = false;
    }
  }

  /** @param {Reply[]} replies */
  show(replies) {
    this.words.forget();
    this.list.show(replies);
    this.setState("done", sayCount(replies.length));
    find("answer-title").focus();
  }

  /**
   * Offer a file of a reply for saving, as bytes that no program opens by itself.
   *
   * @param {Reply} reply
   * @param {number} number
   */
  async save({ envelope }, number) {
    if (!envelope) {
      return;
    }
    const type = "application/octet-stream";
    const address = URL.createObjectURL(new Blob([await envelope.readFile(number)], { type }));
    const link = document.createElement("a");
    link.href = address;
    link.download = safeName(envelope.index.files[number].name);
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000); // the browser may still ask where to save it
  }

  /** Whether it was deleted. @param {Reply} reply */
  async remove(reply) {
    try {
      await this.mailbox?.delete(reply.sha256);
      this.status.textContent = "The reply was deleted.";
      return true;
    } catch (error) {
      this.status.textContent = `${explain(error)} ${sayDeleted(error)}`;
      rethrowMistake(error);
      return false;
    }
  }

  /** Nothing of what was read stays on the page. */
  finish() {
    this.forget();
    this.setState("idle", "The page is empty. Close Tor Browser when you are finished.");
    find("words").focus();
  }

  forget() {
    this.words.forget();
    this.mailbox?.forget();
    this.mailbox = null;
    this.list.show([]);
  }
}

/** @param {number} count */
function sayCount(count) {
  if (count === 0) {
    return "There is no reply yet.";
  }
  return count === 1 ? "There is one reply." : `There are ${count} replies.`;
}

/** @param {unknown} error */
function explain(error) {
  if (error instanceof UnreachedError) {
    return "The site could not be reached, or the connection broke. Try again.";
  }
  if (error instanceof AnswerError) {
    return "The answer did not come whole. Try again.";
  }
  if (error instanceof UnansweredError) {
    return error.status === 503 || error.status === 429
      ? "Many people are asking at this moment. Wait some minutes, and try again."
      : "The site did not answer. Try again later.";
  }
  return "Something went wrong on this page, and not by your doing. Reload it and try again.";
}

/** What a question to delete has come to. @param {unknown} error */
function sayDeleted(error) {
  // With any other status, and with none, the site may have deleted it before its answer went wrong.
  const isRefused = error instanceof UnansweredError && (error.status === 503 || (error.status >= 400 && error.status < 500));
  return isRefused
    ? "The reply was not deleted."
    : "The reply may or may not be deleted: press “Delete” again, or look again later.";
}

/** @param {unknown} error */
function rethrowMistake(error) {
  if (!(error instanceof UnreachedError || error instanceof AnswerError || error instanceof UnansweredError)) {
    throw error;
  }
}

async function main() {
  try {
    await checkBrowser();
  } catch (error) {
    fillPlace("not-here");
    throw error;
  }
  fillPlace("reading");
  const page = new Replies();
  page.start();
  whenLeft(() => page.forget());
}

main();
