/** An upload survives every break, or ends with a reason; what arrives always opens. */

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { FileChangedError } from "../../../leakdrop/intake/browser/envelope/errors.js";
import { CHUNK } from "../../../leakdrop/intake/browser/envelope/header.js";
import { openEnvelope } from "../../../leakdrop/intake/browser/envelope/opening.js";
import { RefusedError, StoppedError, Tus } from "../../../leakdrop/intake/browser/page/tus.js";
import { Uploader } from "../../../leakdrop/intake/browser/page/uploader.js";
import { Chance, file, keyPair, plan } from "../fixtures.js";
import { Harbour } from "./harbour.js";

/** @import { Progress } from "../../../leakdrop/intake/browser/page/uploader.js" */
/** @import { Trouble } from "./harbour.js" */

const key = await keyPair(1);
const bytes = crypto.getRandomValues(new Uint8Array(65_536));
const content = new Uint8Array(await new Blob(Array(48).fill(bytes)).arrayBuffer()); // 3 MiB: twelve chunks

/** @type {Harbour[]} */
const harbours = [];
afterEach(() => harbours.splice(0).forEach((harbour) => harbour.close()));

/** @param {(method: string, number: number) => Trouble} [trouble] */
async function openHarbour(trouble) {
  const harbour = await new Harbour(trouble).open();
  harbours.push(harbour);
  return harbour;
}

/**
 * @param {Harbour} harbour
 * @param {(progress: Progress, uploader: Uploader) => void} [tell]
 * @param {() => Promise<void>} [checkSources]
 */
function makeUploader(harbour, tell = () => {}, checkSources = async () => {}) {
  const tus = new Tus("/uploads", harbour.ask);
  /** @type {Uploader} */
  const uploader = new Uploader(
    tus,
    plan([key], [file(content, "talk.m4a")], "hello"),
    checkSources,
    (progress) => tell(progress, uploader),
    () => {},
    0.001,
  );
  return uploader;
}

/** @param {Harbour} harbour */
async function assertArrived(harbour) {
  const envelope = await openEnvelope(harbour.arrived, [key]);
  await envelope.check();
  assert.equal(envelope.index.message, "hello");
  assert.ok(Buffer.from(await envelope.readFile(0)).equals(content));
}

test("without trouble it arrives at once", async () => {
  const harbour = await openHarbour();
  await makeUploader(harbour).run();
  await assertArrived(harbour);
  assert.equal(harbour.count("POST"), 1);
  assert.equal(harbour.count("HEAD"), 0);
  assert.equal(harbour.count("DELETE"), 0);
});

test("a request that breaks in the middle of a chunk goes on with the same bytes", async () => {
  const harbour = await openHarbour((method, number) =>
    method === "PATCH" && number < 8 ? { cutAfter: CHUNK + 1000 } : {},
  );
  await makeUploader(harbour).run();
  await assertArrived(harbour);
  assert.equal(harbour.count("POST"), 1);
});

test("whatever breaks, wherever, it arrives", async () => {
  for (let seed = 0; seed < 12; seed += 1) {
    const chance = new Chance(seed);
    const harbour = await openHarbour((method, number) => {
      if (number > 25 || chance.below(2) === 0) {
        return {};
      }
      const status = [404, 409, 410, 500, 503, 507][chance.below(6)];
      return method === "PATCH"
        ? [{ cutAfter: chance.below(1_500_000) }, { loseAnswer: true }, { status }][chance.below(3)]
        : [{ status }, {}][chance.below(2)];
    });
    await makeUploader(harbour).run();
    await assertArrived(harbour);
  }
});

test("a server that lost acknowledged bytes gets a new envelope, and nothing of the old one", async () => {
  let patches = 0;
  const harbour = await openHarbour((method) => {
    patches += method === "PATCH" ? 1 : 0;
    return method === "PATCH" && patches === 2 ? { forgetTo: 100_000 } : {};
  });
  await makeUploader(harbour).run();
  await assertArrived(harbour);
  assert.equal(harbour.count("POST"), 2);
  assert.equal(harbour.count("DELETE"), 1);
});

test("bytes whose answers are lost are asked for, and not sent twice", async () => {
  const harbour = await openHarbour((method) => ({ loseAnswer: method === "PATCH" }));
  await makeUploader(harbour).run();
  await assertArrived(harbour);
  assert.equal(harbour.count("POST"), 1);
  assert.equal(harbour.count("HEAD"), harbour.count("PATCH"));
});

for (const status of [400, 403, 413, 415]) {
  test(`status ${status} ends it, and the upload is thrown away`, async () => {
    const harbour = await openHarbour((method) => (method === "PATCH" ? { status } : {}));
    await assert.rejects(makeUploader(harbour).run(), (error) => {
      return error instanceof RefusedError && error.status === status;
    });
    assert.equal(harbour.uploads.size, 0);
  });
}

test("a pause stops all requests, and going on finishes the same upload", async () => {
  const harbour = await openHarbour();
  /** @type {string[]} */
  const states = [];
  let paused = false;
  const uploader = makeUploader(harbour, ({ state, acknowledged }, self) => {
    states.push(state);
    if (acknowledged > 0 && !paused) {
      paused = true;
      self.pause();
      const before = harbour.methods.length;
      setTimeout(() => {
        assert.ok(harbour.methods.length <= before + 1);
        self.goOn();
      }, 300);
    }
  });
  await uploader.run();
  await assertArrived(harbour);
  assert.ok(states.includes("paused"));
  assert.equal(harbour.count("POST"), 1);
});

test("cancel throws away what has arrived, also while it waits", async () => {
  for (const waiting of [false, true]) {
    let cancelled = false;
    const harbour = await openHarbour((method) =>
      waiting && method === "PATCH" ? { cutAfter: 400_000 } : {},
    );
    const uploader = makeUploader(harbour, ({ state, acknowledged }, self) => {
      if (!cancelled && (waiting ? state === "waiting" : acknowledged > 0)) {
        cancelled = true;
        self.cancel();
      }
    });
    await assert.rejects(uploader.run(), StoppedError);
    assert.equal(harbour.uploads.size, 0);
  }
});

test("sources that changed are found before the last part leaves", async () => {
  const harbour = await openHarbour();
  const uploader = makeUploader(
    harbour,
    () => {},
    () => Promise.reject(new FileChangedError("talk.m4a")),
  );
  await assert.rejects(uploader.run(), FileChangedError);
  assert.ok(harbour.count("PATCH") > 0);
  assert.equal(harbour.uploads.size, 0);
});

test("an answer that names another address is not followed", async () => {
  const harbour = await openHarbour();
  const tus = new Tus("/uploads", async (request) => ({
    ...(await harbour.ask(request)),
    header: () => "http://elsewhere.example/uploads/1",
  }));
  const limits = { signal: new AbortController().signal, patience: 1 };
  await assert.rejects(tus.create(263_446, limits), { message: "not now" });
});

for (const [status, given] of /** @type {const} */ ([[429, "often"], [503, "busy"], [507, "full"]])) {
  test(`after ${status} it waits, says why (${given}), and goes on with parts of the same size`, async () => {
    const harbour = await openHarbour((method, number) =>
      (method === "POST" && number < 3) || (method === "PATCH" && number === 5) ? { status } : {},
    );
    const reasons = new Set();
    const uploader = makeUploader(harbour, ({ state, why }) => {
      if (state === "waiting") {
        reasons.add(why);
      }
    });
    let broken = 0;
    uploader.size.broke = () => (broken += 1);
    await uploader.run();
    await assertArrived(harbour);
    assert.deepEqual([...reasons], [given]);
    assert.equal(broken, 0);
    assert.equal(harbour.count("POST"), 4);
  });
}

/**
 * How an upload ends that is cancelled when a request comes.
 *
 * @param {Harbour} harbour
 * @param {(method: string) => boolean} isMoment
 */
async function cancelAt(harbour, isMoment) {
  const uploader = makeUploader(harbour);
  const { trouble } = harbour;
  harbour.trouble = (method, number) => {
    if (isMoment(method)) {
      uploader.cancel();
    }
    return trouble(method, number);
  };
  const error = await uploader.run().catch((thrown) => thrown);
  return { error, remains: uploader.remains };
}

test("what had arrived before it was cancelled is not said to be thrown away", async () => {
  // The answer to the last bytes is lost, and the source cancels while the site is asked for its offset.
  const harbour = await openHarbour((method) => ({ loseAnswer: method === "PATCH" }));
  const { error } = await cancelAt(harbour, (method) => method === "HEAD" && harbour.arrivedCount === 1);
  assert.equal(error, undefined);
  await assertArrived(harbour);
  assert.equal(harbour.count("DELETE"), 1);
});

test("a refusal of what had arrived before does not hide that it has arrived", async () => {
  const harbour = await openHarbour((method) =>
    method === "HEAD" && harbour.arrivedCount === 1 && harbour.count("DELETE") === 0
      ? { status: 400 }
      : { loseAnswer: method === "PATCH" },
  );
  await makeUploader(harbour).run();
  await assertArrived(harbour);
});

test("a part that the site could not be told to forget is not said to be thrown away", async () => {
  const harbour = await openHarbour((method) => (["DELETE", "HEAD"].includes(method) ? { status: 503 } : {}));
  const { error, remains } = await cancelAt(harbour, (method) => method === "PATCH");
  assert.ok(error instanceof StoppedError);
  assert.equal(remains, "part");
  assert.equal(harbour.count("DELETE"), 2);
});

test("if the last bytes had left and the site says nothing more, nothing is claimed", async () => {
  for (const status of [404, 410, 503]) {
    const harbour = await openHarbour((method) =>
      method === "PATCH" ? { loseAnswer: true } : harbour.arrivedCount === 1 ? { status } : {},
    );
    const { error, remains } = await cancelAt(harbour, (method) => method === "HEAD" && harbour.arrivedCount === 1);
    assert.ok(error instanceof StoppedError);
    assert.equal(remains, "unknown");
  }
});

test("what the site threw away, or never had, is nothing", async () => {
  for (const status of [204, 404, 410]) {
    const harbour = await openHarbour((method) => (["DELETE", "HEAD"].includes(method) ? { status } : {}));
    const { error, remains } = await cancelAt(harbour, (method) => method === "PATCH");
    assert.ok(error instanceof StoppedError);
    assert.equal(remains, "nothing");
  }
});

test("a site without room is asked again after five to fifteen minutes", async () => {
  const harbour = await openHarbour((_, number) => (number === 0 ? { status: 507 } : {}));
  const began = performance.now();
  await makeUploader(harbour).run();
  assert.ok(performance.now() - began > 290); // a first pause of a millisecond stands for one second
});
