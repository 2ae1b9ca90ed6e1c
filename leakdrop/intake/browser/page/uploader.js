/**
 * Seals a submission and hands it over, through lost circuits, for as long as it takes. Knows no page.
 *
 * One part after another is sealed, sent, and kept until the site has acknowledged its last byte. After a
 * break the site is asked for its offset, and the rest of the same bytes is sent. If that offset lies outside
 * of the part that is held, the upload is thrown away and a new envelope begun, under a new file key.
 *
 * Whether an upload that ends could be thrown away is asked, and never taken for granted: what has arrived whole
 * is kept by the site whatever is wished here afterwards.
 */

import { seal } from "../envelope/sealing.js";
import { PartSize, takePart } from "./parts.js";
import { NotNowError, RefusedError, StoppedError, UnknownUploadError } from "./tus.js";

/** @import { SealingPlan } from "../envelope/sealing.js" */
/** @import { Part } from "./parts.js" */
/** @import { Tus, Why } from "./tus.js" */

/** @typedef {"sealing" | "sending" | "waiting" | "paused"} State */

/**
 * What is heard of an upload: what it does, how many bytes the site has, how many have left so far, and why it
 * waits, if it does.
 *
 * @typedef {{ state: State, acknowledged: number, sent: number, why: Why }} Progress
 */

/**
 * What the site has of an upload that was given up: nothing; a part, because the site could not be told; or
 * all of it, perhaps, because the last part had left and the site could not be asked.
 *
 * @typedef {"nothing" | "part" | "unknown"} Remains
 */

const FIRST_PAUSE = 1;
const LONGEST_PAUSE = 60;
const PATIENCE = 60;
const LONGEST_PATIENCE = 600;
// Room comes back when the reviewers have fetched something, and each try counts for the limits of the circuit.
const PAUSE_WHEN_FULL = 600;
// Whoever stops waits for the end: so often the site is asked to forget, so long for each answer.
const TRIES_TO_END = 2;
const PATIENCE_AT_END = 30;

/** The site has not the bytes that it should have, or more: a new envelope has to be made. */
class StartOverError extends Error {}

export class Uploader {
  /**
   * @param {Tus} tus
   * @param {SealingPlan} plan
   * @param {() => Promise<void>} checkSources throws FileChangedError if a file is not what was read
   * @param {(progress: Progress) => void} tell
   * @param {(bytes: number, seconds: number) => void} measured hears how long acknowledged bytes took
   * @param {number} [firstPause] in seconds, after a first failure
   */
  constructor(tus, plan, checkSources, tell, measured, firstPause = FIRST_PAUSE) {
    this.tus = tus;
    this.plan = plan;
    this.checkSources = checkSources;
    this.tell = tell;
    this.measured = measured;
    this.firstPause = firstPause;
    this.size = new PartSize();
    /** @type {Progress} */
    this.progress = { state: "sealing", acknowledged: 0, sent: 0, why: "lost" };
    /** @type {string | null} */
    this.upload = null;
    /** The last part of this envelope. @type {"unsent" | "open" | "refused"} */
    this.last = "unsent";
    /** @type {Remains} of all that was given up so far */
    this.remains = "nothing";
    this.failures = 0; // since the last byte that was acknowledged
    this.patience = PATIENCE;
    this.stopping = new AbortController(); // of what is under way
    this.cancelled = false;
    /** @type {PromiseWithResolvers | null} */
    this.pausing = null;
  }

  /**
   * Until all has arrived, which may also be after `cancel`.
   *
   * Throws StoppedError after `cancel`, RefusedError, FileChangedError, or what else breaks sealing; then the
   * site was asked to throw away what it has, and `remains` says what is known of that.
   */
  async run() {
    try {
      while (!(await this.sendEnvelope())) {
        this.report({ state: "sealing", acknowledged: 0, sent: 0 });
      }
    } catch (error) {
      if (!(await this.throwAway())) {
        throw error;
      }
    }
  }

  /** Stop sending until `goOn`. What has arrived stays. */
  pause() {
    if (!this.pausing && !this.cancelled) {
      this.pausing = withResolvers();
      this.report({ state: "paused" });
      this.stopping.abort();
    }
  }

  goOn() {
    this.pausing?.resolve();
    this.pausing = null;
  }

  /** Stop for good. */
  cancel() {
    this.cancelled = true;
    this.stopping.abort();
    this.goOn();
  }

  /** One envelope; whether it has arrived, or another one has to be made. */
  async sendEnvelope() {
    const sealed = seal(this.plan);
    this.last = "unsent";
    try {
      this.upload = await this.keepTrying((limits) => this.tus.create(this.plan.length, limits));
      let part = await takePart(sealed, 0, this.size.chunks);
      while (part) {
        // The next part is sealed while this one is sent. What goes wrong there is told when it is its turn.
        const next = takePart(sealed, part.end, this.size.chunks);
        next.catch(() => {});
        if (part.end === this.plan.length) {
          await this.checkSources();
        }
        await this.sendPart(part);
        part.giveUp();
        part = await next;
      }
      return true;
    } catch (error) {
      if (!(error instanceof StartOverError || error instanceof UnknownUploadError)) {
        throw error;
      }
      if (await this.throwAway()) {
        return true;
      }
      await this.rest();
      return false;
    } finally {
      await sealed.return();
    }
  }

  /**
   * Until the site has acknowledged the part's last byte.
   *
   * @param {Part} part
   */
  async sendPart(part) {
    let offset = part.start;
    let isKnown = true;
    while (offset < part.end) {
      offset = await this.keepTrying(async (limits) => {
        if (!isKnown) {
          offset = this.acknowledge(await this.tus.offset(this.path, limits), part);
          isKnown = true;
        }
        if (offset === part.end) {
          return offset;
        }
        this.last = part.end === this.plan.length ? "open" : "unsent";
        isKnown = false; // until it is answered
        const reached = await this.append(part, offset, limits);
        isKnown = true;
        return reached;
      });
    }
  }

  /**
   * @param {Part} part
   * @param {number} offset
   * @param {{ signal: AbortSignal, patience: number }} limits
   */
  async append(part, offset, limits) {
    this.report({ state: "sending", acknowledged: offset, sent: offset, why: "lost" });
    const began = performance.now();
    const sending = this.tus.append(this.path, offset, part.from(offset), {
      ...limits,
      sent: (bytes) => this.report({ sent: Math.min(offset + bytes, part.end) }),
    });
    const reached = await sending.catch((error) => {
      if (error instanceof RefusedError) {
        this.last = "refused"; // so it has not arrived
      }
      throw error;
    });
    this.acknowledge(reached, part);
    const seconds = Math.max((performance.now() - began) / 1000, 0.02);
    this.measured(reached - offset, seconds);
    this.size.worked((reached - offset) / seconds);
    return reached;
  }

  /**
   * The site says that it has all bytes before `offset`.
   *
   * @param {number} offset
   * @param {Part} part the one that is held
   */
  acknowledge(offset, part) {
    if (!part.holds(offset)) {
      throw new StartOverError();
    }
    if (offset > this.progress.acknowledged) {
      this.failures = 0;
      this.patience = PATIENCE;
    }
    this.report({ acknowledged: offset, sent: offset });
    return offset;
  }

  /**
   * Try until it works, with growing pauses.
   *
   * @template T
   * @param {(limits: { signal: AbortSignal, patience: number }) => Promise<T>} attempt
   * @returns {Promise<T>}
   */
  async keepTrying(attempt) {
    for (;;) {
      await this.whilePaused();
      try {
        return await attempt({ signal: this.stopping.signal, patience: this.patience });
      } catch (error) {
        if (error instanceof NotNowError) {
          // A site that says “not now” has not broken anything.
          if (error.why === "lost") {
            this.size.broke();
          }
          this.patience = Math.min(error.silent ? 2 * this.patience : this.patience, LONGEST_PATIENCE);
          await this.rest(error.why);
        } else if (!(error instanceof StoppedError) || this.cancelled) {
          throw error;
        }
      }
    }
  }

  /** A pause after a failure, longer each time. @param {Why} [why] */
  async rest(why = "lost") {
    // Many sources that lost one server at once must not come back at once.
    const pause =
      why === "full"
        ? this.firstPause * PAUSE_WHEN_FULL * (0.5 + chance())
        : Math.min(this.firstPause * 2 ** this.failures, LONGEST_PAUSE) * (0.5 + 0.5 * chance());
    this.failures += 1;
    if (!this.pausing) {
      this.report({ state: "waiting", why });
      await sleep(pause, this.stopping.signal);
    }
  }

  async whilePaused() {
    while (this.pausing && !this.cancelled) {
      await this.pausing.promise;
    }
    if (this.cancelled) {
      throw new StoppedError();
    }
    if (this.stopping.signal.aborted) {
      this.stopping = new AbortController();
      this.report({ state: this.upload ? "sending" : "sealing" });
    }
  }

  /**
   * Ask the site to forget what it has; whether all of it had arrived before. If the site cannot be reached, it
   * forgets a part by itself, within three days.
   */
  async throwAway() {
    const { upload } = this;
    this.upload = null;
    const left = upload ? await this.end(upload) : "nothing";
    if (left !== "nothing" && left !== "all" && this.remains !== "unknown") {
      this.remains = left;
    }
    return left === "all";
  }

  /**
   * @param {string} upload
   * @returns {Promise<Remains | "all">}
   */
  async end(upload) {
    const limits = { signal: new AbortController().signal, patience: PATIENCE_AT_END };
    let offset;
    for (let tries = 0; tries < TRIES_TO_END; tries += 1) {
      await sleep(tries * this.firstPause, limits.signal);
      const ended = await answerOf(this.tus.end(upload, limits));
      if (!(ended instanceof Error)) {
        return "nothing";
      }
      offset = await answerOf(this.tus.offset(upload, limits));
      if (offset === this.plan.length && this.last !== "unsent") {
        return "all";
      }
      if (offset instanceof UnknownUploadError && this.last !== "open") {
        return "nothing";
      }
    }
    return this.last === "open" && offset instanceof Error ? "unknown" : "part";
  }

  get path() {
    if (!this.upload) {
      throw new StartOverError();
    }
    return this.upload;
  }

  /** @param {Partial<Progress>} change */
  report(change) {
    const state = this.pausing ? "paused" : change.state;
    this.progress = { ...this.progress, ...change, ...(state && { state }) };
    this.tell(this.progress);
  }
}

/**
 * What the site answers, or the error that stands for an answer or for none.
 *
 * @template T
 * @param {Promise<T>} asked
 * @returns {Promise<T | NotNowError | RefusedError | UnknownUploadError>}
 */
async function answerOf(asked) {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof NotNowError || error instanceof RefusedError || error instanceof UnknownUploadError) {
      return error;
    }
    throw error;
  }
}

/**
 * @param {number} seconds
 * @param {AbortSignal} signal ends it early
 * @returns {Promise<void>}
 */
function sleep(seconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** From 0 up to, not including, 1. */
function chance() {
  return crypto.getRandomValues(new Uint32Array(1))[0] / 2 ** 32;
}

/** @typedef {{ promise: Promise<void>, resolve: () => void }} PromiseWithResolvers */

/** @returns {PromiseWithResolvers} */
function withResolvers() {
  /** @type {() => void} */
  let resolve = () => {};
  /** @type {Promise<void>} */
  const promise = new Promise((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
