/** A tus server in this process that breaks as it is told, and requests to it as the page makes them. */

import { createServer } from "node:http";

import { NotNowError, StoppedError } from "../../../leakdrop/intake/browser/page/tus.js";

/** @import { Ask } from "../../../leakdrop/intake/browser/page/tus.js" */
/** @import { IncomingMessage, ServerResponse } from "node:http" */

/**
 * What goes wrong with one request: it breaks after so many bytes of its body, gets another status, loses its
 * answer, or finds that the server has fewer bytes than it had acknowledged.
 *
 * @typedef {{ cutAfter?: number, status?: number, loseAnswer?: boolean, forgetTo?: number }} Trouble
 */

export class Harbour {
  /** @param {(method: string, number: number) => Trouble} [trouble] by method and number among all requests */
  constructor(trouble = () => ({})) {
    this.trouble = trouble;
    /** @type {Map<string, { length: number, bytes: Buffer<ArrayBuffer> }>} */
    this.uploads = new Map();
    /** @type {string[]} */
    this.methods = [];
    // Whoever stops a request ends its answer, too.
    this.server = createServer((request, response) => this.answer(request, response).catch(() => response.destroy()));
  }

  async open() {
    await new Promise((resolve) => this.server.listen(0, "127.0.0.1", () => resolve(null)));
    const address = this.server.address();
    this.port = typeof address === "object" && address ? address.port : 0;
    return this;
  }

  close() {
    this.server.closeAllConnections();
    this.server.close();
  }

  /** The only upload that is whole. */
  get arrived() {
    const whole = [...this.uploads.values()].filter(({ length, bytes }) => bytes.length === length);
    if (whole.length !== 1) {
      throw new Error(`${whole.length} uploads are whole`);
    }
    return new Blob([whole[0].bytes]);
  }

  get arrivedCount() {
    return [...this.uploads.values()].filter(({ length, bytes }) => bytes.length === length).length;
  }

  /** @param {string} method */
  count(method) {
    return this.methods.filter((other) => other === method).length;
  }

  /**
   * @param {IncomingMessage} request
   * @param {ServerResponse} response
   */
  async answer(request, response) {
    const { method = "", url = "" } = request;
    const { cutAfter, status, loseAnswer, forgetTo } = this.trouble(method, this.methods.length);
    this.methods.push(method);
    if (status) {
      request.resume();
      response.writeHead(status).end();
      return;
    }
    const upload = this.uploads.get(url);
    if (upload && forgetTo !== undefined) {
      upload.bytes = upload.bytes.subarray(0, forgetTo);
    }
    if (method === "POST") {
      const path = `/uploads/${this.uploads.size}`;
      this.uploads.set(path, { length: Number(request.headers["upload-length"]), bytes: Buffer.alloc(0) });
      response.writeHead(201, { Location: path }).end();
    } else if (!upload) {
      response.writeHead(404).end();
    } else if (method === "DELETE" && upload.bytes.length === upload.length) {
      response.writeHead(409).end(); // it has arrived already
    } else if (method === "DELETE") {
      this.uploads.delete(url);
      response.writeHead(204).end();
    } else if (method === "HEAD") {
      response.writeHead(200, { "Upload-Offset": upload.bytes.length }).end();
    } else if (Number(request.headers["upload-offset"]) !== upload.bytes.length) {
      request.resume();
      response.writeHead(409).end();
    } else {
      const start = upload.bytes.length;
      for await (const piece of request) {
        const room = (cutAfter ?? Infinity) - (upload.bytes.length - start);
        upload.bytes = Buffer.concat([upload.bytes, piece.subarray(0, room)]);
        if (piece.length > room) {
          request.socket.destroy();
          return;
        }
      }
      if (loseAnswer) {
        request.socket.destroy();
      } else {
        response.writeHead(204, { "Upload-Offset": upload.bytes.length }).end();
      }
    }
  }

  /** @type {Ask} */
  ask = async ({ method, path, headers, body, signal, sent = () => {} }) => {
    try {
      const address = `http://127.0.0.1:${this.port}${path}`;
      const response = await fetch(address, { method, headers, body, signal });
      await response.arrayBuffer();
      sent(body?.length ?? 0);
      return { status: response.status, header: (name) => response.headers.get(name) };
    } catch {
      throw signal.aborted ? new StoppedError() : new NotNowError();
    }
  };
}
