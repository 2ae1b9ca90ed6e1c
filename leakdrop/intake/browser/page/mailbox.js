/**
 * What the page for replies asks of the site. Only the token leaves the browser, in requests of one shape; the
 * answer has one size for all that have few replies or none.
 */

import { clean as wipe } from "@noble/hashes/utils.js";

import { encodeBase64url } from "../envelope/index.js";
import { MAX_ANSWER, decodeAnswer, deriveReceipt } from "../envelope/receipt.js";
import { openReply } from "./reply.js";

/** @import { Bytes } from "../envelope/header.js" */
/** @import { Reply } from "./reply.js" */

const PATIENCE = 60; // seconds without a byte
const NOTHING = new Uint8Array(0);

/** The site could not be reached, or the connection broke. */
export class UnreachedError extends Error {}

/** The site does not answer this, or not now. */
export class UnansweredError extends Error {
  /** @param {number} status */
  constructor(status) {
    super(`not answered: ${status}`);
    this.status = status;
  }
}

/** The token of a receipt, for as long as it is needed. The key that opens replies is never kept. */
export class Mailbox {
  /** @param {string} path where the site is asked */
  constructor(path) {
    this.path = path;
    this.token = NOTHING;
    this.left = new AbortController();
  }

  /**
   * The replies that wait, opened.
   *
   * Throws UnreachedError, UnansweredError, AnswerError; then the token is forgotten.
   *
   * @param {Bytes} entropy is emptied
   * @param {(part: number) => void} progress hears which part of the answer has come, from 0 to 1
   * @returns {Promise<Reply[]>}
   */
  async read(entropy, progress) {
    const { token, keyPair } = await deriveReceipt(entropy);
    this.token = token;
    try {
      const replies = [];
      for (const envelope of decodeAnswer(await this.post("", {}, progress))) {
        replies.push(await openReply(envelope, keyPair));
      }
      return replies;
    } catch (error) {
      this.forget();
      throw error;
    } finally {
      keyPair.forget();
    }
  }

  /**
   * Delete a reply, if it is there.
   *
   * Throws UnreachedError, UnansweredError.
   *
   * @param {string} reply the SHA-256 of its envelope, in hex
   */
  async delete(reply) {
    await this.post("/delete", { reply }, () => {});
  }

  /** What is being asked is given up, and nothing more can be. */
  forget() {
    this.left.abort();
    wipe(this.token);
  }

  /**
   * The body of the answer to a form, in which the token stands first.
   *
   * @param {string} action
   * @param {Record<string, string>} fields
   * @param {(part: number) => void} progress
   */
  post(action, fields, progress) {
    const body = new URLSearchParams({ token: encodeBase64url(this.token), ...fields });
    return post(this.path + action, body, this.left.signal, progress);
  }
}

/**
 * The body of the answer to a form.
 *
 * @param {string} path
 * @param {URLSearchParams} body
 * @param {AbortSignal} left
 * @param {(part: number) => void} progress
 */
async function post(path, body, left, progress) {
  const silence = new Silence(left);
  try {
    const response = await fetch(path, {
      method: "POST",
      body,
      mode: "same-origin",
      credentials: "omit",
      redirect: "error",
      cache: "no-store",
      signal: silence.signal,
    });
    if (!response.ok || !response.body) {
      throw new UnansweredError(response.status);
    }
    const length = Number(response.headers.get("Content-Length")) || Infinity;
    return await read(response.body.getReader(), (received) => {
      silence.hear();
      progress(Math.min(received / length, 1));
    });
  } catch (error) {
    // What fetch and its reader throw when the connection fails, or is given up.
    if (error instanceof TypeError || error instanceof DOMException) {
      throw new UnreachedError();
    }
    throw error;
  } finally {
    silence.end();
  }
}

/**
 * All that comes, up to one byte more than the longest answer.
 *
 * @param {ReadableStreamDefaultReader<Bytes>} reader
 * @param {(received: number) => void} hear
 */
async function read(reader, hear) {
  const pieces = [];
  let received = 0;
  while (received <= MAX_ANSWER) {
    const { done, value } = await reader.read();
    if (done) {
      return new Uint8Array(await new Blob(pieces).arrayBuffer());
    }
    pieces.push(value);
    received += value.length;
    hear(received);
  }
  await reader.cancel();
  throw new UnreachedError();
}

/** Gives a request up after a minute without a byte, or when the page is left. */
class Silence {
  /** @param {AbortSignal} left */
  constructor(left) {
    this.controller = new AbortController();
    this.left = left;
    this.giveUp = () => this.controller.abort();
    left.addEventListener("abort", this.giveUp);
    if (left.aborted) {
      this.giveUp();
    }
    this.hear();
  }

  get signal() {
    return this.controller.signal;
  }

  end() {
    clearTimeout(this.timer);
    this.left.removeEventListener("abort", this.giveUp);
  }

  hear() {
    clearTimeout(this.timer);
    this.timer = setTimeout(this.giveUp, PATIENCE * 1000);
  }
}
