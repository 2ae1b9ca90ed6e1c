/** What photos carry (JPEG, HEIC, AVIF, PNG, WebP, TIFF), read by ExifReader. `build.js` says which parts of it. */

import { load } from "exifreader";

/** @import { Finding, Topic } from "./carries.js" */

// Phones' photos are smaller. Of a larger one the beginning is read, where nearly all keep what they carry.
const LONGEST = 24 * 1024 * 1024;

/** Names of tags in EXIF, XMP and PNG, by what they tell about. @type {[Topic, RegExp][]} */
const TOPICS = [
  ["place", /^(location|city|state|country|sublocation|locationcreated|countryname|provincestate)/i],
  ["person", /^(artist|author|creator$|copyright|rights|cameraownername|ownername|by-line|credit|personinimage)/i],
  ["device", /^(hostcomputer|(body)?serialnumber|bodyserialnumber|lensserialnumber)/i],
  ["time", /^(datetime|datetimeoriginal|datetimedigitized|createdate|datecreated|creation time)$/i],
  ["software", /^(software|creatortool|processingsoftware|historysoftwareagent)/i],
  ["person", /^(imagedescription|description|comment|usercomment|title|subject)$/i],
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
  const { gps, exif = {}, xmp = {}, pngText = {} } = groups;
  const device = [exif.Make, exif.Model].map(describe).filter(Boolean).join(" ");
  return [
    ...(gps?.Latitude !== undefined && gps.Longitude !== undefined
      ? [place(gps.Latitude, gps.Longitude)]
      : []),
    ...(device ? [{ topic: /** @type {Topic} */ ("device"), text: device }] : []),
    ...[exif, xmp, pngText].flatMap((tags) => sortTags(tags)),
  ];
}

/**
 * @param {object} tags
 * @returns {Finding[]}
 */
function sortTags(tags) {
  return Object.entries(tags).flatMap(([name, tag]) => {
    const topic = TOPICS.find(([, names]) => names.test(name))?.[0];
    const text = describe(tag);
    return topic && text ? [{ topic, text }] : [];
  });
}

/**
 * @param {unknown} tag
 * @returns {string}
 */
function describe(tag) {
  const described = Object(tag).description;
  return typeof described === "string" ? described : "";
}

/**
 * @param {number} latitude
 * @param {number} longitude
 * @returns {Finding}
 */
function place(latitude, longitude) {
  return { topic: "place", text: `${latitude.toFixed(5)}, ${longitude.toFixed(5)}` };
}
