/** What is said when sending ends before all has arrived: no more than the page knows. */

import { FileChangedError } from "../envelope/errors.js";
import { RefusedError, StoppedError } from "./tus.js";

/** @import { Remains } from "./uploader.js" */

/**
 * What the page knows. `hasNewWords`: it had shown twelve words, which were made for this. `hasLink`: it was
 * opened by a link with a list of keys, which it would no longer compare when it is only reloaded.
 *
 * @typedef {{ remains: Remains, hasNewWords: boolean, hasLink: boolean }} Known
 */

/**
 * @param {unknown} error
 * @param {Known} known
 */
export function explainEnd(error, known) {
  return [sayWhy(error), sayRemains(known.remains), sayNext(error, known), known.hasNewWords ? sayWords(known) : ""]
    .filter(Boolean)
    .join(" ");
}

/** @param {unknown} error */
function sayWhy(error) {
  if (error instanceof StoppedError) {
    return "You stopped it.";
  }
  if (error instanceof FileChangedError) {
    return `The file “${error.file}” has changed, or was moved or removed, while it was being sent.`;
  }
  if (error instanceof RefusedError) {
    return error.status === 413 ? "This is more than this site can take at once." : "The site did not take it.";
  }
  return "Something went wrong on this page, and not by your doing.";
}

/** @param {Remains} remains */
export function sayRemains(remains) {
  return {
    nothing: "Nothing of it was kept.",
    part:
      "But the site could not be told to throw away what it had. That is not all of it, so the reviewers do not " +
      "get it, and the site forgets it within three days.",
    unknown:
      "But the last of it had already left, and the site could not be asked whether all has arrived. If it has, " +
      "the reviewers get it; if not, the site forgets it within three days.",
  }[remains];
}

/**
 * @param {unknown} error
 * @param {Known} known
 */
function sayNext(error, { hasLink }) {
  if (error instanceof StoppedError) {
    return "";
  }
  if (error instanceof FileChangedError) {
    return "Remove it from the list, choose it again and send again.";
  }
  if (error instanceof RefusedError && error.status === 413) {
    return "Send the files in parts.";
  }
  const anew = `Copy your message, ${hasLink ? "open your link again" : "reload this page"} and send again`;
  return error instanceof RefusedError
    ? `${anew}: the site’s key may have changed since you opened it.`
    : `${anew}.`;
}

/** @param {Known} known */
function sayWords({ remains }) {
  return remains === "unknown"
    ? "If you copied the twelve words, keep them: they hold if all has arrived."
    : "If you copied the twelve words, they do not hold yet. Sent again from this page, it gets the same words. " +
        "If you reload or close it, cross them out: you get new ones.";
}
