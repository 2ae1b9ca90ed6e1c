/**
 * What a photo or a recording carries beside what one sees and hears: place, device, people, times, software.
 *
 * Two libraries read it, here on the device: ExifReader for photos, music-metadata for recordings. This module
 * chooses one by a file's first bytes and puts what it finds in plain words. It changes nothing, and the
 * libraries may miss something, so nothing here says that a file is clean.
 */

import { readPhoto } from "./photos.js";
import { readRecording } from "./recordings.js";

/** What can be found, by what it tells about. @typedef {"place" | "person" | "device" | "time" | "software"} Topic */

/** @typedef {{ topic: Topic, text: string }} Finding */

/** `readable` says whether this kind of file can be read here at all. @typedef {{ readable: boolean, findings: Finding[] }} Carried */

/** @type {Topic[]} */
const ORDER = ["place", "person", "device", "time", "software"];
const LONGEST_TEXT = 100;

/**
 * What a file carries, as far as it can be read here. Never throws: a file that confuses a library is one
 * that cannot be read here.
 *
 * @param {File} file
 * @returns {Promise<Carried>}
 */
export async function readCarried(file) {
  try {
    const head = new Uint8Array(await file.slice(0, 12).arrayBuffer());
    const read = chooseReader(String.fromCharCode(...head));
    if (!read) {
      return { readable: false, findings: [] };
    }
    return { readable: true, findings: tidy(await read(file)) };
  } catch {
    // Whatever a library throws on a damaged file, the answer is the same.
    return { readable: false, findings: [] };
  }
}

/** @param {string} head a file's first 12 bytes */
function chooseReader(head) {
  if (/^(\xff\xd8\xff|\x89PNG|RIFF....WEBP|II\*\0|MM\0\*|....ftyp(hei|hev|mif1|msf1|avif))/s.test(head)) {
    return readPhoto;
  }
  return /^(ID3|....(ftyp|moov|mdat|wide|free|skip))/s.test(head) ? readRecording : null;
}

/**
 * Without repetitions, in the order of what matters most, and short.
 *
 * @param {Finding[]} findings
 */
function tidy(findings) {
  const seen = new Map();
  for (const { topic, text } of findings) {
    // A name that somebody else chose may hold anything: no control characters, no change of direction.
    const plain = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ").trim();
    if (plain) {
      const short = plain.length > LONGEST_TEXT ? `${plain.slice(0, LONGEST_TEXT)}…` : plain;
      seen.set(`${topic}: ${short}`, { topic, text: short });
    }
  }
  return [...seen.values()].sort((a, b) => ORDER.indexOf(a.topic) - ORDER.indexOf(b.topic));
}
