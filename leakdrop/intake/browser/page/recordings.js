/**
 * What recordings carry (M4A, MP4, MOV, 3GP, and the ID3 tags of MP3), read by music-metadata.
 *
 * Its parsers are called as they are, without what chooses between them for twenty formats: that alone
 * would double what every visitor loads.
 */

import { StringType } from "token-types";
import { fromBlob } from "strtok3";

import { ID3v2Parser } from "../../../../node_modules/music-metadata/lib/id3v2/ID3v2Parser.js";
import { MP4Parser } from "../../../../node_modules/music-metadata/lib/mp4/MP4Parser.js";

/** @import { INativeMetadataCollector } from "../../../../node_modules/music-metadata/lib/common/MetadataCollector.js" */
/** @import { Finding, Topic } from "./carries.js" */

// ISO 6709, as phones write it: +51.5007-000.1246+010.000/
const PLACE = /[+-]\d{2}(\.\d+)?[+-]\d{3}(\.\d+)?/;
const DATE = /^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}|$)/;
const LONGEST_TEXT = 4096;
// MP4 counts from 1904, ID3 does not count: a phone that does not know the time writes the start.
const EARLIEST = Date.UTC(1980, 0);

/** Names of tags by what they tell about. @type {[Topic, RegExp][]} */
const TOPICS = [
  ["place", /^(©xyz|loci)/],
  ["person", /^(©(ART|aut|nam|cmt|wrt|prd|des|swr_by|inf)|aART|auth|cprt|titl|perf|desc|own|T(IT2|PE1|PE2|COM|CON|XXX|OWN)|COMM)/i],
  ["device", /^(©(mak|mod|gpt)|manu|modl)/],
  ["time", /^(©day|date|TDRC|TYER|TDAT|TRDA|TDTG)/],
  ["software", /^(©(too|swr|enc)|TSSE|TENC|com\.android)/],
];

/** Reads one group of texts more than the library's: what phones write straight into an MP4's user data. */
class PhoneParser extends MP4Parser {
  /**
   * @param {Parameters<MP4Parser["handleAtom"]>[0]} atom
   * @param {number} remaining
   */
  async handleAtom(atom, remaining) {
    const { name } = atom.header;
    const isText = atom.parent?.header.name === "udta" && /^(©|loci|auth|manu|modl)/.test(name);
    if (isText && remaining <= LONGEST_TEXT) {
      const text = await this.tokenizer.readToken(new StringType(remaining, "utf-8"));
      // Before the text stand its length and its language, which are no letters.
      await this.metadata.addTag("iTunes", name, name === "loci" ? "yes" : text.slice(4));
      return;
    }
    await super.handleAtom(atom, remaining);
  }
}

/**
 * Gathers what a parser finds.
 *
 * @implements {INativeMetadataCollector}
 */
class Collector {
  constructor() {
    this.format = { tagTypes: [], trackInfo: [] };
    this.native = {};
    this.quality = { warnings: [] };
    /** @type {Finding[]} */
    this.findings = [];
  }

  hasAny() {
    return this.findings.length > 0;
  }

  /**
   * @param {string} key
   * @param {unknown} value
   */
  setFormat(key, value) {
    if (key === "creationTime" && value instanceof Date && value.getTime() > EARLIEST) {
      this.findings.push({ topic: "time", text: `${value.toISOString().slice(0, 16).replace("T", " ")} UTC` });
    }
  }

  /**
   * @param {string} _type
   * @param {string} name
   * @param {unknown} value
   */
  async addTag(_type, name, value) {
    const text = typeof value === "string" ? value : textOf(value);
    if (name === "loci") {
      this.findings.push({ topic: "place", text: "where it was recorded" });
    } else if (text) {
      this.findings.push({ topic: findTopic(name, text), text: readPlace(text) ?? text });
    }
  }

  registerTagType() {}
  addWarning() {}
  addStreamInfo() {}
  setAudioOnly() {}
}

/**
 * @param {string} name
 * @param {string} text
 * @returns {Topic}
 */
function findTopic(name, text) {
  const topic = TOPICS.find(([, names]) => names.test(name))?.[0];
  // An iPhone numbers its tags, and the library gives the numbers.
  return topic ?? (PLACE.test(text) ? "place" : DATE.test(text) ? "time" : "device");
}

/** @param {string} text */
function readPlace(text) {
  const found = PLACE.exec(text)?.[0];
  return found
    ?.split(/(?!^)(?=[+-])/)
    .map(Number)
    .join(", ");
}

/** A text within what ID3 frames hold. @param {unknown} value */
function textOf(value) {
  const text = Array.isArray(value) ? value[0] : Object(value).text;
  return typeof text === "string" ? text : "";
}

/**
 * @param {File} file
 * @returns {Promise<Finding[]>}
 */
export async function readRecording(file) {
  const collector = new Collector();
  const tokenizer = fromBlob(file);
  const isMp3 = (await file.slice(0, 3).text()) === "ID3";
  if (isMp3) {
    await new ID3v2Parser().parse(collector, tokenizer, { skipCovers: true });
  } else {
    await new PhoneParser(collector, tokenizer, { skipCovers: true }).parse();
  }
  return collector.findings;
}
