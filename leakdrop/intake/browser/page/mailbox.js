/**
 * What the page for replies asks of the site. Only the token leaves the browser, in requests of one shape; the
 * answer has one size for all that have few replies or none.
 */

import { MAX_ANSWER, decodeAnswer } from "../envelope/receipt.js";
import { encodeBase64url } from "../envelope/index.js";

/** @import { Bytes } from "../envelope/header.js" */

const PATIENCE = 60; // seconds without a byte

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

export class Mailbox {
  /**
   * @param {string} path
   * @param {Bytes} token
   */
  constructor(path, token) {
    this.path = path;
    this.token = encodeBase64url(token);
  }

  /**
   * The envelopes that wait, as they are.
   *
   * Throws UnreachedError, UnansweredError, AnswerError.
   *
   * @param {(part: number) => void} progress hears which part of the answer has come, from 0 to 1
   */
  async ask(progress) {
    return decodeAnswer(await post(this.path, { token: this.token }, progress));
  }

  /**
   * Delete a reply, if it is there.
   *
   * Throws UnreachedError, UnansweredError.
   *
   * @param {string} reply the SHA-256 of its envelope, in hex
   */
  async delete(reply) {
    await post(`${this.path}/delete`, { token: this.token, reply }, () => {});
  }
}

/**
 * The body of the answer to a form.
 *
 * @param {string} path
 * @param {Record<string, string>} fields
 * @param {(part: number) => void} progress
 */
async function post(path, fields, progress) {
  const silence = new Silence();
  try {
    const response = await fetch(path, {
      method: "POST",
      body: new URLSearchParams(fields),
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

/** Gives a request up after a minute without a byte. */
class Silence {
  constructor() {
    this.controller = new AbortController();
    this.hear();
  }

  get signal() {
    return this.controller.signal;
  }

  hear() {
    this.end();
    this.timer = setTimeout(() => this.controller.abort(), PATIENCE * 1000);
  }

  end() {
    clearTimeout(this.timer);
  }
}
