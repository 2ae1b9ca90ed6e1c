/**
 * An envelope in parts, each sealed once: docs/envelope.md, "Sealing".
 *
 * Chunks are sealed when a part asks for them. A part is kept until the site has acknowledged its last
 * byte, and what is sent again are its bytes: a chunk that was sealed anew, behind an acknowledged half of the
 * old one, would be taken by any server and never open.
 */

import { CHUNK } from "../envelope/header.js";
import { giveUp } from "../envelope/sealing.js";

/** @import { Bytes } from "../envelope/header.js" */

// In chunks of 262,172 bytes: 256 KiB to a little below 4 MiB.
export const LARGEST_PART = 15;
const FIRST_PART = 4;
const SECONDS = 30;

/** Bytes of an envelope that are sealed and not yet acknowledged, beginning at `start`. */
export class Part {
  /**
   * @param {number} start
   * @param {Bytes} bytes
   */
  constructor(start, bytes) {
    this.start = start;
    this.bytes = bytes;
    this.end = start + bytes.length;
  }

  /** @param {number} offset in the envelope */
  holds(offset) {
    return this.start <= offset && offset <= this.end;
  }

  /** @param {number} offset in the envelope */
  from(offset) {
    return this.bytes.subarray(offset - this.start);
  }

  giveUp() {
    giveUp(this.bytes);
  }
}

/**
 * The next part, of so many chunks; the first one has the header, too. Null behind the last.
 *
 * @param {AsyncIterator<Bytes, void>} sealed what `seal` gives
 * @param {number} start where the part begins in the envelope
 * @param {number} chunks
 */
export async function takePart(sealed, start, chunks) {
  const taken = [];
  let length = 0;
  for (let number = start === 0 ? -1 : 0; number < chunks; number += 1) {
    const next = await sealed.next();
    if (next.done) {
      break;
    }
    taken.push(next.value);
    length += next.value.length;
  }
  return length > 0 ? new Part(start, join(taken, length)) : null;
}

/**
 * One array of many, which are given up.
 *
 * @param {readonly Bytes[]} taken
 * @param {number} length
 */
function join(taken, length) {
  const joined = new Uint8Array(length);
  let at = 0;
  for (const bytes of taken) {
    joined.set(bytes, at);
    at += bytes.length;
    giveUp(bytes);
  }
  return joined;
}

/** How many chunks the next part should have, so that one takes about 30 seconds. */
export class PartSize {
  constructor() {
    this.chunks = FIRST_PART;
  }

  /** A part went through at so many bytes per second. @param {number} speed */
  worked(speed) {
    const fitting = Math.floor((speed * SECONDS) / CHUNK);
    this.chunks = clamp(Math.min(fitting, 2 * this.chunks));
  }

  broke() {
    this.chunks = clamp(Math.floor(this.chunks / 2));
  }
}

/** @param {number} chunks */
function clamp(chunks) {
  return Math.max(1, Math.min(LARGEST_PART, chunks));
}
