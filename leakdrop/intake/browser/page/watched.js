/**
 * Files that are watched while they are read: browsers do not notice when a chosen file is overwritten.
 *
 * A `WatchedFile` stands where a Blob is read in pieces. It remembers a sample of each mebibyte that was
 * read; before the last part of an envelope leaves, the samples are read again. A part of a file that was
 * overwritten earlier and another part that was read later would make a recording that never was.
 */

import { FileChangedError } from "../envelope/errors.js";

const STEP = 1024 * 1024;
const SAMPLE = 1024;

export class WatchedFile {
  /** @param {File} file */
  constructor(file) {
    this.file = file;
    this.size = file.size;
    /** @type {Map<number, Uint8Array>} */
    this.samples = new Map();
    this.next = 0; // where the next sample is taken
  }

  /**
   * As a Blob does it, for what `seal` reads.
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
    const read = await this.file.slice(start, end).arrayBuffer();
    if (start === 0) {
      this.samples.clear(); // a new reading, of what the file is now
      this.next = 0;
    }
    if (start >= this.next) {
      this.samples.set(start, new Uint8Array(read.slice(0, SAMPLE)));
      this.next = start + STEP;
    }
    return read;
  }

  /** Nothing of the file stays here. */
  forget() {
    for (const sample of this.samples.values()) {
      sample.fill(0);
    }
    this.samples.clear();
  }

  /** Throws FileChangedError if the file is no longer what was read. */
  async check() {
    for (const [start, sample] of this.samples) {
      let now;
      try {
        now = new Uint8Array(await this.file.slice(start, start + sample.length).arrayBuffer());
      } catch (cause) {
        throw cause instanceof DOMException ? new FileChangedError(this.file.name, cause) : cause;
      }
      if (now.length !== sample.length || now.some((byte, i) => byte !== sample[i])) {
        throw new FileChangedError(this.file.name);
      }
    }
  }
}
