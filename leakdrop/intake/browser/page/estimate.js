/** How long sending will take: a guess at Tor's usual speed, and then what was measured. */

// Bytes per second over an onion service: good days and bad ones.
const USUAL = 200_000;
const SPREAD = 3;
// After so many seconds of sending, what was measured counts for as much as the guess.
const WEIGHT = 20;
// Older measurements fade: Tor's speed changes within minutes.
const FADE = 180;

export class Estimate {
  constructor() {
    this.bytes = 0;
    this.seconds = 0;
  }

  /**
   * So many bytes were acknowledged, after so many seconds of sending.
   *
   * @param {number} bytes
   * @param {number} seconds
   */
  add(bytes, seconds) {
    const kept = Math.max(0, 1 - seconds / FADE);
    this.bytes = this.bytes * kept + bytes;
    this.seconds = this.seconds * kept + seconds;
  }

  /** The speed to expect, in bytes per second. */
  get speed() {
    const measured = this.seconds > 0 ? Math.max(1, this.bytes / this.seconds) : USUAL;
    return measured ** (1 - this.doubt) * USUAL ** this.doubt;
  }

  /** How much of the estimate is still the guess: from 1 down to 0.1. */
  get doubt() {
    return WEIGHT / (WEIGHT + this.seconds);
  }

  /**
   * How many seconds so many bytes may take: from, to. What was measured makes the range narrower.
   *
   * @param {number} bytes
   * @returns {[number, number]}
   */
  range(bytes) {
    const spread = 1 + (SPREAD - 1) * this.doubt;
    const seconds = bytes / this.speed;
    return [seconds / spread, seconds * spread];
  }
}

/**
 * A range of seconds as people say it.
 *
 * @param {[number, number]} range
 */
export function sayTime([least, most]) {
  if (most < 60) {
    return "less than a minute";
  }
  const [from, to] = [say(least), say(most)];
  return from === to ? `about ${to}` : least < 60 ? `up to ${to}` : `${from} to ${to}`;
}

/** @param {number} seconds */
function say(seconds) {
  const minutes = Math.max(1, Math.round(seconds / 60));
  if (minutes < 60) {
    return minutes === 1 ? "1 minute" : `${minutes} minutes`;
  }
  const hours = Math.round(minutes / 30) / 2;
  return hours === 1 ? "1 hour" : `${hours} hours`;
}

/**
 * A number of bytes as people say it.
 *
 * @param {number} bytes
 */
export function saySize(bytes) {
  /** @type {[number, string][]} */
  const units = [
    [1e9, "GB"],
    [1e6, "MB"],
    [1e3, "KB"],
  ];
  for (const [size, unit] of units) {
    if (bytes >= size) {
      const count = bytes / size;
      return `${count >= 100 ? Math.round(count) : Math.round(count * 10) / 10} ${unit}`;
    }
  }
  return bytes === 1 ? "1 byte" : `${bytes} bytes`;
}
