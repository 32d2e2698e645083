// Receive webhooks of ImageBatch with Node's standard library alone (20 or newer):
//
// WEBHOOK_SECRET=whsec_... node receiver.mjs
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import process from "node:process";

const KEY = Buffer.from((process.env.WEBHOOK_SECRET ?? "").replace(/^whsec_/, ""), "base64");
const HOST = process.env.HOST ?? "127.0.0.1";
const PORT = Number(process.env.PORT ?? "9000");
const MAX_BODY_BYTES = 64 * 1024;
const TOLERANCE_S = 300;
const REMEMBERED_IDS = 10_000;

const seen = new Set();

if (KEY.length === 0) {
  console.error("WEBHOOK_SECRET is not set");
  process.exit(2);
}

// Whether a message is signed with our secret, a few minutes ago at most. One of its signatures must fit.
function isOurs(id, timestamp, signatures, body) {
  if (!/^\d+$/.test(timestamp) || Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE_S) {
    return false;
  }
  const hmac = createHmac("sha256", KEY).update(`${id}.${timestamp}.`).update(body);
  const expected = Buffer.from(`v1,${hmac.digest("base64")}`);
  return signatures
    .split(" ")
    .map((each) => Buffer.from(each))
    .some((each) => each.length === expected.length && timingSafeEqual(each, expected));
}

// Whether an id is new. A shop keeps ids in its database, in one transaction with its work.
function isNew(id) {
  if (seen.has(id)) {
    return false;
  }
  seen.add(id);
  if (seen.size > REMEMBERED_IDS) {
    seen.delete(seen.values().next().value);
  }
  return true;
}

// The body, or null when it is too long: then it is read to its end, so that the answer arrives, but not kept.
async function read(request) {
  const chunks = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length <= MAX_BODY_BYTES) {
      chunks.push(chunk);
    }
  }
  return length <= MAX_BODY_BYTES ? Buffer.concat(chunks) : null;
}

// The status to answer with. Work is left to others: the sender waits 20 seconds, then it sends again.
async function receive(request) {
  if (request.method !== "POST") {
    return 405;
  }
  if (Number(request.headers["content-length"] ?? "0") > MAX_BODY_BYTES) {
    return 413;
  }
  const body = await read(request);
  if (body === null) {
    return 413;
  }
  const id = request.headers["webhook-id"] ?? "";
  const timestamp = request.headers["webhook-timestamp"] ?? "";
  const signatures = request.headers["webhook-signature"] ?? "";
  if (id === "" || !isOurs(id, timestamp, signatures, body)) {
    return 401;
  }
  const event = JSON.parse(body.toString("utf8"));
  if (isNew(id)) {
    setImmediate(doWork, id, event);
  }
  return 204;
}

// What a shop does with an event: here it is printed. `output_csv` is null when a batch has no output.
function doWork(id, event) {
  console.log(id, event.status, event.output_csv);
}

const server = createServer(async (request, response) => {
  try {
    const status = await receive(request);
    response.writeHead(status, { connection: "close" }).end();
  } catch {
    request.destroy(); // it ended early
  }
});
server.headersTimeout = 10_000;
server.requestTimeout = 10_000;
server.listen(PORT, HOST, () => console.log(`listening on ${HOST}:${server.address().port}`));
