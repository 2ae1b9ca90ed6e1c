/**
 * Builds what the pages load, into leakdrop/intake/static/. Run by build.py, which packs it.
 *
 * The same sources and the same lock file give the same bytes, so that anybody can build them again and
 * compare. Of the libraries, only what the pages ask for is built in: the first visit goes over Tor, and must
 * stay small.
 */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { wordlist } from "@scure/bip39/wordlists/english.js";
import { build } from "esbuild";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const TOP = join(HERE, "../../..");

// ExifReader's own switches for smaller builds: what tells of people, places, devices and times stays.
const PHOTO_PARTS = new Set(["EXIF", "IPTC", "XMP", "TIFF", "JPEG", "PNG", "HEIC", "AVIF", "WEBP"]);

/** The tags that `photos.js` shows, and the ones that lead to them, by their numbers in EXIF 2.32 and IPTC-IIM 4.2. */
const TAG_NAMES = {
  "tag-names-0th-ifd": {
    0x010e: "ImageDescription",
    0x010f: "Make",
    0x0110: "Model",
    0x0131: "Software",
    0x0132: "DateTime",
    0x013b: "Artist",
    0x013c: "HostComputer",
    0x02bc: "ApplicationNotes",
    0x8298: "Copyright",
    0x83bb: "IPTC-NAA",
    0x8769: "Exif IFD Pointer",
    0x8825: "GPS Info IFD Pointer",
    0x9c9b: "XPTitle",
    0x9c9c: "XPComment",
    0x9c9d: "XPAuthor",
    0x9c9e: "XPKeywords",
    0x9c9f: "XPSubject",
  },
  "tag-names-exif-ifd": {
    0x9003: "DateTimeOriginal",
    0x9004: "DateTimeDigitized",
    0xa430: "CameraOwnerName",
    0xa431: "BodySerialNumber",
    0xa435: "LensSerialNumber",
  },
  "tag-names-gps-ifd": {
    0x0001: "GPSLatitudeRef",
    0x0002: "GPSLatitude",
    0x0003: "GPSLongitudeRef",
    0x0004: "GPSLongitude",
    0x001d: "GPSDateStamp",
  },
  "tag-names-interoperability-ifd": {},
  "iptc-tag-names": {
    iptc: {
      0x0205: "Object Name",
      0x0219: { name: "Keywords", repeatable: true },
      0x0237: "Date Created",
      0x0241: "Originating Program",
      0x0250: { name: "By-line", repeatable: true },
      0x025a: "City",
      0x025c: "Sub-location",
      0x025f: "Province/State",
      0x0265: "Country",
      0x0269: "Headline",
      0x026e: "Credit",
      0x0274: "Copyright Notice",
      0x0276: "Contact",
      0x0278: "Caption/Abstract",
      0x027a: "Writer/Editor",
    },
  },
  "xmp-tag-names": {},
};

/** Modules of which nothing is used here, and what stands in their place: reading files and addresses, filters, thumbnails, names of genres, numbers of 16 and 80 bits. */
const REPLACED = {
  "exifreader/src/load-auto": "export const validateAutoOptions = 0, makeLoadAuto = () => 0;",
  "exifreader/src/file-loaders":
    "export const isFilePathOrURL = () => false, isBrowserFileObject = isFilePathOrURL, loadFile = 0, loadFileObject = 0;",
  "exifreader/src/tag-filter": `
    const yes = () => true;
    export const NOOP_TAG_FILTER = {
      isActive: false, shouldReturnGroup: yes, shouldParseGroup: yes, shouldReturnTag: yes, shouldParseTag: yes,
    };
    export const createTagFilter = () => NOOP_TAG_FILTER;`,
  "exifreader/src/composite": "export default { get: () => undefined };",
  "exifreader/src/thumbnail": "export default { get: () => undefined };",
  "music-metadata/lib/id3v1/ID3v1Parser": "export const Genres = [];",
  "debug/src/browser": "export default () => () => {};",
  "ieee754/index": "export const read = 0, write = 0;",
  // Every browser has these.
  "@borewit/text-codec/lib/index": `
    export const textDecode = (bytes, encoding = "utf-8") => new TextDecoder(encoding).decode(bytes), textEncode = 0;`,
};

/** @typedef {[RegExp, string]} Cut what is looked for, and stands there once; and what is put in its place */

/** A method of a class. @param {string} name @returns {Cut} */
const method = (name) => [new RegExp(`^ {4}(async )?${name}\\(.*\\{\n[^]*?^ {4}\\}\n`, "m"), ""];

/** What is cut out of modules that are used. @type {Record<string, Cut[]>} */
const CUT = {
  // A faster way to public keys, by another curve: 16 KB. Without it the ladder of RFC 7748 does all.
  "@noble/curves/ed25519": [[/^ {8}scalarMultBase: \(k\) => \{\n[^]*?^ {8}\},\n/m, ""]],
  // Codecs, lengths, bit rates and chapters, which the pages do not show.
  "music-metadata/lib/mp4/MP4Parser": [
    [/^ {8}\/\/ Post process metadata\n[^]*?(?=^ {4}\}\n)/m, ""],
    ...["getTrackInfo", "parseChapterTrack", "findSampleOffset", "getChunkDuration", "getSamplesPerChunk"].map(method),
  ],
};

// The pages never show why an envelope does not open: its kind says that to the code.
const ERRORS = /browser\/envelope\/errors\.js$/;
const SENTENCES = /^export const SENTENCES = [^]*?^\}\);\n/m;
// A library's notes for those who work on it; as whole lines, they are no branch of anything.
const NOTES = /^ *debug\(.*\);( \/\/.*)?\n/gm;

const WORD_LIST = "@scure/bip39/wordlists/english";

/**
 * The words as text, each without the letters that it shares with the one before it, behind their number: 2 KB
 * less over Tor.
 *
 * @param {readonly string[]} words
 */
function packWords(words) {
  const packed = words.map((word, i) => {
    const before = words[i - 1] ?? "";
    let shared = 0;
    while (shared < word.length && word[shared] === before[shared]) {
      shared += 1;
    }
    return shared + word.slice(shared);
  });
  return packed.join("");
}

/** @param {string} packed */
function unpackWords(packed) {
  let word = "";
  return packed.match(/\d\D*/g)?.map((rest) => (word = word.slice(0, Number(rest[0])) + rest.slice(1)));
}

/**
 * @param {string} source
 * @param {Cut} what
 */
function cut(source, [pattern, rest]) {
  if (!pattern.test(source)) {
    throw new Error(`nothing to cut: ${pattern}`);
  }
  return source.replace(pattern, rest);
}

/** @type {import("esbuild").Plugin} */
const trim = {
  name: "trim",
  setup({ onLoad }) {
    onLoad({ filter: ERRORS }, async ({ path }) => {
      const source = await readFile(path, "utf8");
      return { contents: cut(source, [SENTENCES, "export const SENTENCES = {};\n"]) };
    });
    onLoad({ filter: /node_modules/ }, async ({ path }) => {
      const name = path.replaceAll("\\", "/").replace(/.*\/node_modules\//, "").replace(/\.js$/, "");
      const replaced = Object.entries(REPLACED).find(([key]) => key === name);
      if (replaced) {
        return { contents: replaced[1] };
      }
      if (name === WORD_LIST) {
        const packed = packWords(wordlist);
        if (unpackWords(packed)?.join() !== wordlist.join()) {
          throw new Error("the word list does not come out as it went in");
        }
        return { contents: `export const wordlist = (${unpackWords})(${JSON.stringify(packed)});` };
      }
      const names = Object.entries(TAG_NAMES).find(([key]) => name.endsWith(`/${key}`));
      if (names) {
        return { contents: `export default ${JSON.stringify(names[1])};` };
      }
      const whole = await readFile(path, "utf8");
      const source = (Object.hasOwn(CUT, name) ? CUT[name] : []).reduce(cut, whole);
      if (name.startsWith("music-metadata/lib/")) {
        return { contents: source.replace(NOTES, "") };
      }
      if (!name.startsWith("exifreader/src/")) {
        return { contents: source };
      }
      return {
        contents: source.replace(/\bConstants\.USE_([A-Z_]+)/g, (_, part) => String(PHOTO_PARTS.has(part))),
      };
    });
  },
};

await build({
  absWorkingDir: TOP,
  entryPoints: {
    app: join(HERE, "page/page.js"),
    replies: join(HERE, "page/replies.js"),
    style: join(HERE, "style.css"),
  },
  outdir: join(TOP, "leakdrop/intake/static"),
  bundle: true,
  minify: true,
  format: "iife",
  target: "firefox115", // Tor Browser on machines that newer Firefox no longer runs on
  legalComments: "none",
  external: ["data:*"],
  plugins: [trim],
  logLevel: "warning",
});
