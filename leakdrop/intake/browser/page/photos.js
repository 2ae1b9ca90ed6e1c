/** What photos carry (JPEG, HEIC, AVIF, PNG, WebP, TIFF), read by ExifReader. `build.js` says which parts of it. */

import { load } from "exifreader";

/** @import { Finding, Topic } from "./carries.js" */

// Phones' photos are smaller. Of a larger one the beginning is read, where nearly all keep what they carry.
const LONGEST = 24 * 1024 * 1024;

/** Names of tags in EXIF, XMP, IPTC and PNG, by what they tell about. @type {[Topic, RegExp][]} */
const TOPICS = [
  ["place", /^(location|city|state|country|sub-?location|locationcreated|countryname|province\/?state)/i],
  ["person", /^(artist|author|xpauthor|creator$|copyright|rights|cameraownername|ownername|by-line|credit|contact|writer|personinimage)/i],
  ["device", /^(hostcomputer|(body)?serialnumber|bodyserialnumber|lensserialnumber)/i],
  ["time", /^(datetime|datetimeoriginal|datetimedigitized|createdate|date ?created|creation time)$/i],
  ["software", /^(software|creatortool|processingsoftware|historysoftwareagent|originating program)/i],
  ["person", /^(imagedescription|description|comment|usercomment|title|subject|xp\w+|object name|keywords|headline|caption.*)$/i],
];

/**
 * @param {File} file
 * @returns {Promise<Finding[]>}
 */
export async function readPhoto(file) {
  const bytes = await file.slice(0, LONGEST).arrayBuffer();
  let groups;
  try {
    groups = await load(bytes, { expanded: true, async: true });
  } catch (error) {
    if (error instanceof Error && error.name === "MetadataMissingError") {
      return [];
    }
    throw error;
  }
  const { gps, exif = {}, xmp = {}, iptc = {}, pngText = {} } = groups;
  const device = [exif.Make, exif.Model].map(describe).filter(Boolean).join(" ");
  return [
    ...(gps?.Latitude !== undefined && gps.Longitude !== undefined
      ? [place(gps.Latitude, gps.Longitude)]
      : []),
    ...readXmpPlace(xmp),
    ...(device ? [{ topic: /** @type {Topic} */ ("device"), text: device }] : []),
    ...[exif, xmp, iptc, pngText].flatMap((tags) => sortTags(tags)),
  ];
}

/**
 * A place as XMP writes it: `51,30.042N`, `51,30,2.5N`.
 *
 * @param {Record<string, unknown>} xmp
 * @returns {Finding[]}
 */
function readXmpPlace({ GPSLatitude, GPSLongitude }) {
  const texts = [GPSLatitude, GPSLongitude].map(describe);
  if (!texts.every(Boolean)) {
    return [];
  }
  const [latitude, longitude] = texts.map(readDegrees);
  const isRead = Number.isFinite(latitude) && Number.isFinite(longitude);
  return [isRead ? place(latitude, longitude) : { topic: "place", text: texts.join(" ") }];
}

/** @param {string} text */
function readDegrees(text) {
  const [, numbers, side] = /^([\d.,]+)([NSEW])$/i.exec(text.trim()) ?? [];
  if (!numbers) {
    return NaN;
  }
  const degrees = numbers.split(",").reduce((sum, part, i) => sum + Number(part) / 60 ** i, 0);
  return /[SW]/i.test(side) ? -degrees : degrees;
}

/**
 * @param {object} tags
 * @returns {Finding[]}
 */
function sortTags(tags) {
  return Object.entries(tags).flatMap(([name, tag]) => {
    const topic = TOPICS.find(([, names]) => names.test(name))?.[0];
    const text = name.startsWith("XP") ? readWindowsText(tag) : describe(tag);
    return topic && text ? [{ topic, text }] : [];
  });
}

/**
 * @param {unknown} tag
 * @returns {string}
 */
function describe(tag) {
  if (Array.isArray(tag)) {
    return tag.map(describe).filter(Boolean).join(", ");
  }
  const described = Object(tag).description;
  return typeof described === "string" ? described : "";
}

/** UTF-16 in bytes, as Windows writes it into EXIF. @param {unknown} tag */
function readWindowsText(tag) {
  const { value } = Object(tag);
  return Array.isArray(value) ? new TextDecoder("utf-16le").decode(Uint8Array.from(value)) : "";
}

/**
 * @param {number} latitude
 * @param {number} longitude
 * @returns {Finding}
 */
function place(latitude, longitude) {
  return { topic: "place", text: `${latitude.toFixed(5)}, ${longitude.toFixed(5)}` };
}
