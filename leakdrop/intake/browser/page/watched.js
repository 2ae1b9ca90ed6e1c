/**
 * Files that are watched while they are read: browsers do not notice when a chosen file is overwritten.
 *
 * A `WatchedFile` stands where a Blob is read in pieces. It keeps the SHA-256 of each piece that was read; before
 * the last part of an envelope leaves, the file is read once more, to its end, and compared. Then the file as a whole
 * was, at one moment, what was sealed: a part from before a change and a part from after it would make a recording
 * that never was.
 */

import { FileChangedError } from "../envelope/errors.js";
import { sha256 } from "../envelope/keys.js";
import { Reading } from "../envelope/sealing.js";

/** @import { Bytes } from "../envelope/header.js" */

/** How many bytes of a file were read, and their SHA-256 (32 bytes). @typedef {{ length: number, sum: Bytes }} Piece */

export class WatchedFile {
  /** @param {File} file */
  constructor(file) {
    this.file = file;
    this.size = file.size;
    /** @type {Piece[]} one behind the other */
    this.pieces = [];
    /** Of the piece that was read last. @type {Promise<void>} */
    this.summing = Promise.resolve();
  }

  /**
   * As a Blob does it, for what `seal` reads, which is one piece behind the other.
   *
   * @param {number} start
   * @param {number} end
   */
  slice(start, end) {
    return { arrayBuffer: () => this.read(start, end) };
  }

  /**
   * @param {number} start
   * @param {number} end
   */
  async read(start, end) {
    // A piece's sum is made of a copy, while the piece is sealed: one copy at a time.
    const [read] = await Promise.all([this.file.slice(start, end).arrayBuffer(), this.summing]);
    if (start === 0) {
      this.forget(); // a new reading, of what the file is now
    }
    const { pieces } = this;
    this.summing = sha256(new Uint8Array(read)).then((sum) => {
      pieces.push({ length: end - start, sum });
    });
    return read;
  }

  /** Nothing of the file stays here. */
  forget() {
    for (const { sum } of this.pieces) {
      sum.fill(0);
    }
    this.pieces = [];
  }

  /**
   * Throws FileChangedError if the file is no longer what was read. What is not compared by a moment, of
   * `performance.now()`, passes.
   *
   * @param {number} until
   */
  async check(until) {
    await this.summing;
    // Not by slices: only a stream of the whole file tells what came behind the size that it had.
    const again = new StreamReading(this.file.stream());
    try {
      if (!(await this.isSame(again, until))) {
        throw new FileChangedError(this.file.name);
      }
    } catch (cause) {
      throw cause instanceof DOMException ? new FileChangedError(this.file.name, cause) : cause;
    } finally {
      again.end();
    }
  }

  /** @param {StreamReading} again @param {number} until */
  async isSame(again, until) {
    const held = new Uint8Array(Math.max(0, ...this.pieces.map(({ length }) => length)));
    let comparing = Promise.resolve(true);
    for (const { length, sum } of this.pieces) {
      if (performance.now() > until) {
        return comparing;
      }
      const piece = held.subarray(0, length);
      const filled = await again.readInto(piece);
      if (filled < length || !(await comparing)) {
        return false;
      }
      comparing = sha256(piece).then((found) => found.every((byte, i) => byte === sum[i]));
    }
    return (await comparing) && (await again.readInto(new Uint8Array(1))) === 0;
  }
}

/** Reads a stream. */
class StreamReading extends Reading {
  /** @param {ReadableStream<Bytes>} stream */
  constructor(stream) {
    super();
    this.reader = stream.getReader();
  }

  async next() {
    const { done, value } = await this.reader.read();
    return done ? null : value;
  }

  end() {
    // One that has failed says so again here.
    this.reader.cancel().catch(() => {});
  }
}
