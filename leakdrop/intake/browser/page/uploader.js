/**
 * Seals a submission and hands it over, through lost circuits, for as long as it takes. Knows no page.
 *
 * One part after another is sealed, sent, and kept until the site has acknowledged its last byte. After a
 * break the site is asked for its offset, and the rest of the same bytes is sent. If that offset lies outside
 * of the part that is held, the upload is thrown away and a new envelope begun, under a new file key.
 */

import { seal } from "../envelope/sealing.js";
import { PartSize, takePart } from "./parts.js";
import { NotNowError, StoppedError, UnknownUploadError } from "./tus.js";

/** @import { SealingPlan } from "../envelope/sealing.js" */
/** @import { Part } from "./parts.js" */
/** @import { Tus } from "./tus.js" */

/** @typedef {"sealing" | "sending" | "waiting" | "paused"} State */

/**
 * What is heard of an upload: what it does, how many bytes the site has, and how many have left so far.
 * `full` says that the site has no room for now, `busy` that it has too much to do.
 *
 * @typedef {{ state: State, acknowledged: number, sent: number, full: boolean, busy: boolean }} Progress
 */

const FIRST_PAUSE = 1;
const LONGEST_PAUSE = 60;
const PATIENCE = 60;
const LONGEST_PATIENCE = 600;

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
    this.progress = { state: "sealing", acknowledged: 0, sent: 0, full: false, busy: false };
    /** @type {string | null} */
    this.upload = null;
    this.failures = 0; // since the last byte that was acknowledged
    this.patience = PATIENCE;
    this.stopping = new AbortController(); // of what is under way
    this.cancelled = false;
    /** @type {PromiseWithResolvers | null} */
    this.pausing = null;
  }

  /**
   * Until all has arrived.
   *
   * Throws StoppedError after `cancel`, RefusedError, FileChangedError, or what else breaks sealing; then the
   * site was asked to throw away what it has.
   */
  async run() {
    try {
      while (!(await this.sendEnvelope())) {
        this.report({ state: "sealing", acknowledged: 0, sent: 0 });
      }
    } catch (error) {
      await this.throwAway();
      throw error;
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
      await this.throwAway();
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
    this.report({ state: "sending", acknowledged: offset, sent: offset, full: false, busy: false });
    const began = performance.now();
    const reached = await this.tus.append(this.path, offset, part.from(offset), {
      ...limits,
      sent: (bytes) => this.report({ sent: Math.min(offset + bytes, part.end) }),
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
          if (!error.full && !error.busy) {
            this.size.broke();
          }
          this.patience = Math.min(error.silent ? 2 * this.patience : this.patience, LONGEST_PATIENCE);
          await this.rest(error);
        } else if (!(error instanceof StoppedError) || this.cancelled) {
          throw error;
        }
      }
    }
  }

  /** A pause after a failure, longer each time. @param {{ full?: boolean, busy?: boolean }} [why] */
  async rest({ full = false, busy = false } = {}) {
    const longest = Math.min(this.firstPause * 2 ** this.failures, LONGEST_PAUSE);
    this.failures += 1;
    if (!this.pausing) {
      this.report({ state: "waiting", full, busy });
      // Many sources that lost one server at once must not come back at once.
      await sleep(longest * (0.5 + 0.5 * chance()), this.stopping.signal);
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

  /** Ask the site to forget what it has; if it cannot be reached, it forgets by itself after two days. */
  async throwAway() {
    const { upload } = this;
    this.upload = null;
    if (!upload) {
      return;
    }
    try {
      await this.tus.end(upload, { signal: new AbortController().signal, patience: PATIENCE });
    } catch (error) {
      // What has to be told is why it ended, and not that the site could not be told.
      if (!(error instanceof NotNowError || error instanceof UnknownUploadError)) {
        throw error;
      }
    }
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
