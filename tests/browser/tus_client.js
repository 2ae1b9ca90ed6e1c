/**
 * Uploads a file by tus-js-client, and goes on after whatever happens:
 *
 *     node tests/browser/tus_client.js FILE ENDPOINT PART_SIZE
 */

import { createReadStream } from "node:fs";
import { argv } from "node:process";
import { Upload } from "tus-js-client";

const [, , file, endpoint, partSize] = argv;

await new Promise((resolve, reject) => {
  new Upload(createReadStream(file), {
    endpoint,
    chunkSize: Number(partSize),
    retryDelays: new Array(100).fill(200),
    metadata: { filename: "talk.m4a" },
    onSuccess: resolve,
    onError: reject,
  }).start();
});
