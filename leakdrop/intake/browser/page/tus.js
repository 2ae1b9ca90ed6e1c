/**
 * The requests of tus 1.0 (core, creation, termination: https://tus.io/protocols/resumable-upload), one
 * function each, and what their answers mean. Nothing here tries anything twice.
 */

/** @import { Bytes } from "../envelope/header.js" */

const TUS = { "Tus-Resumable": "1.0.0" };
const MEDIA_TYPE = "application/offset+octet-stream";

/**
 * Why something has to wait: the connection is lost, the site has no room or too much to do, or this source's
 * circuit has asked too often.
 *
 * @typedef {"lost" | "full" | "busy" | "often"} Why
 */

/** It did not work this time, and may another time. `silent`: the patience was over. */
export class NotNowError extends Error {
  /** @param {Why} [why] */
  constructor(why = "lost", silent = false) {
    super("not now");
    this.why = why;
    this.silent = silent;
  }
}

/** @type {Record<number, Why>} */
const WHY = { 429: "often", 503: "busy", 507: "full" };

/** The site does not know this upload, or no longer. */
export class UnknownUploadError extends Error {}

/** The site does not take this, and will not at another try. */
export class RefusedError extends Error {
  /** @param {number} status */
  constructor(status) {
    super(`refused: ${status}`);
    this.status = status;
  }
}

/** It was stopped from here. */
export class StoppedError extends Error {}

/**
 * How a request is made. `patience` is how many seconds may pass without a byte; `sent` hears how many bytes
 * have left so far.
 *
 * @typedef {{
 *   method: string,
 *   path: string,
 *   headers: Record<string, string>,
 *   body?: Bytes,
 *   signal: AbortSignal,
 *   patience: number,
 *   sent?: (bytes: number) => void,
 * }} Request
 */

/** @typedef {{ status: number, header: (name: string) => string | null }} Answer */

/** @typedef {(request: Request) => Promise<Answer>} Ask throws NotNowError or StoppedError */

/** What every request is given: when to stop, and how long to wait. @typedef {{ signal: AbortSignal, patience: number }} Limits */

export class Tus {
  /**
   * @param {string} path where uploads are created
   * @param {Ask} ask
   */
  constructor(path, ask) {
    this.path = path;
    this.ask = ask;
  }

  /**
   * A new upload of so many bytes; its path.
   *
   * @param {number} length
   * @param {Limits} limits
   */
  async create(length, limits) {
    const headers = { ...TUS, "Upload-Length": String(length) };
    const answer = check(await this.ask({ method: "POST", path: this.path, headers, ...limits }));
    const created = answer.header("Location") ?? "";
    // Envelopes go to this site and nowhere else, whatever an answer says.
    if (!created.startsWith(`${this.path}/`) || !/^[\w-]+$/.test(created.slice(this.path.length + 1))) {
      throw new NotNowError();
    }
    return created;
  }

  /**
   * How many bytes the site has.
   *
   * @param {string} upload
   * @param {Limits} limits
   */
  async offset(upload, limits) {
    const answer = check(await this.ask({ method: "HEAD", path: upload, headers: TUS, ...limits }));
    return readOffset(answer);
  }

  /**
   * Append bytes at an offset; how many the site then has.
   *
   * @param {string} upload
   * @param {number} offset
   * @param {Bytes} body
   * @param {Limits & { sent: (bytes: number) => void }} limits
   */
  async append(upload, offset, body, limits) {
    const headers = { ...TUS, "Upload-Offset": String(offset), "Content-Type": MEDIA_TYPE };
    const answer = check(await this.ask({ method: "PATCH", path: upload, headers, body, ...limits }));
    return readOffset(answer);
  }

  /**
   * Throw an upload away, with all that the site has of it.
   *
   * @param {string} upload
   * @param {Limits} limits
   */
  async end(upload, limits) {
    check(await this.ask({ method: "DELETE", path: upload, headers: TUS, ...limits }));
  }
}

/** @param {Answer} answer */
function check(answer) {
  const { status } = answer;
  if (status >= 200 && status < 300) {
    return answer;
  }
  if (status === 404 || status === 410) {
    throw new UnknownUploadError();
  }
  // 409: the site has other bytes than was thought here, and the offset has to be asked for.
  if (status >= 500 || status < 200 || [408, 409, 423, 425, 429].includes(status)) {
    throw new NotNowError(WHY[status]);
  }
  throw new RefusedError(status);
}

/** @param {Answer} answer */
function readOffset(answer) {
  const offset = answer.header("Upload-Offset") ?? "";
  if (!/^\d{1,16}$/.test(offset)) {
    throw new NotNowError();
  }
  return Number(offset);
}

/**
 * A request by XMLHttpRequest: fetch does not tell how much has been sent.
 *
 * @type {Ask}
 */
export function ask({ method, path, headers, body, signal, patience, sent = () => {} }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    /** @type {ReturnType<typeof setTimeout>} */
    let silence;
    const hear = () => {
      clearTimeout(silence);
      silence = setTimeout(() => {
        finish(() => reject(new NotNowError("lost", true)));
        request.abort();
      }, patience * 1000);
    };
    const stop = () => {
      finish(() => reject(new StoppedError()));
      request.abort();
    };
    /** @param {() => void} tell */
    const finish = (tell) => {
      clearTimeout(silence);
      signal.removeEventListener("abort", stop);
      tell();
    };
    request.upload.onprogress = (event) => {
      hear();
      sent(event.loaded);
    };
    request.onload = () =>
      finish(() => resolve({ status: request.status, header: (name) => request.getResponseHeader(name) }));
    request.onerror = () => finish(() => reject(new NotNowError()));
    if (signal.aborted) {
      reject(new StoppedError());
      return;
    }
    signal.addEventListener("abort", stop);
    hear();
    request.open(method, path);
    for (const [name, value] of Object.entries(headers)) {
      request.setRequestHeader(name, value);
    }
    request.send(body);
  });
}
