// Looks through a file in the browser, piece by piece: rows, images, hosts and what will likely fail. Nothing is sent.

import { Records } from "./csv.js";

export const SHOWN_ROWS = 6;
export const SHOWN_WARNINGS = 5;
const HEAD_BYTES = 256 * 1024;
const MAX_HOSTS = 10000;
const ADDRESS = /^(https?:|\/\/|www\.)/i;
const NEXT_LINK = /[\s,;|]+(?=https?:|\/\/|www\.)/i;

/** The encoding to read a file in: the chosen one, its mark's, UTF-8 where it is that, or Western Europe's. */
async function encodingOf(file, chosen) {
  const head = new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer());
  if (chosen === "utf-16" || !chosen) {
    if (head[0] === 0xff && head[1] === 0xfe) return "utf-16le";
    if (head[0] === 0xfe && head[1] === 0xff) return "utf-16be";
  }
  if (chosen) return chosen === "utf-16" ? "utf-16le" : chosen;
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(head, { stream: file.size > HEAD_BYTES });
    return "utf-8";
  } catch {
    return "windows-1252";
  }
}

/** The header and the first rows; null for an empty file. Reads the file's beginning only. */
export async function first(file, encoding) {
  const name = await encodingOf(file, encoding);
  const text = new TextDecoder(name).decode(await file.slice(0, HEAD_BYTES).arrayBuffer());
  const records = new Records().push(text, file.size <= HEAD_BYTES);
  if (!records.length) return null;
  return { encoding: name, headers: records[0].cells, rows: records.slice(1, SHOWN_ROWS + 1) };
}

/** Goes through the whole file; calls `told` with the counts so far. Ends when `signal` is aborted. */
export async function survey(file, encoding, headers, roles, signal, told) {
  const found = new Survey(headers, roles);
  const records = new Records();
  const reader = file.stream().pipeThrough(new TextDecoderStream(encoding)).getReader();
  let isHeader = true;
  let read = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (signal.aborted) return void reader.cancel();
    const batch = records.push(value ?? "", done);
    for (const record of isHeader ? batch.slice(1) : batch) found.add(record);
    if (batch.length) isHeader = false;
    read += value?.length ?? 0;
    told(found, done, file.size ? Math.min(read / file.size, 1) : 1);
    if (done) return;
    await new Promise((resolve) => setTimeout(resolve)); // let the page answer to its user
  }
}

class Survey {
  rows = 0;
  images = 0;
  hosts = new Map();
  warnings = [];
  warned = 0;

  constructor(headers, roles) {
    this.width = headers.length;
    this.places = roles.flatMap((role, at) => (role === "links" ? [at] : []));
  }

  add({ line, cells }) {
    this.rows += 1;
    while (cells.length > this.width && !cells.at(-1).trim()) cells.pop();
    if (cells.length > this.width) this.#join(cells);
    if (cells.length > this.width) {
      this.#warn(line, `${cells.length} cells where the header has ${this.width}; put links that belong together in quotes`);
    }
    for (const at of this.places) this.#links(line, cells[at] ?? "");
  }

  /** Links of the last column that stand without quotes belong together, as the server has it. */
  #join(cells) {
    const last = this.width - 1;
    const more = cells.slice(this.width);
    if (!this.places.includes(last) || !more.every((cell) => ADDRESS.test(cell.trim()))) return;
    cells.splice(last, cells.length, cells.slice(last).join(","));
  }

  #links(line, cell) {
    for (const entry of cell.split(NEXT_LINK)) {
      const text = entry.trim().replace(/[\s,;|]+$/, "");
      if (text) this.#link(line, text);
    }
  }

  #link(line, text) {
    this.images += 1;
    const address = ADDRESS.test(text) ? text.replace(/^(\/\/)?(?!https?:)/i, "https://") : "";
    const host = URL.canParse(address) ? new URL(address).host : "";
    if (!host) this.#warn(line, `“${text.slice(0, 60)}” is no link to a picture`);
    else if (this.hosts.has(host) || this.hosts.size < MAX_HOSTS) this.hosts.set(host, (this.hosts.get(host) ?? 0) + 1);
  }

  #warn(line, message) {
    this.warned += 1;
    if (this.warnings.length < SHOWN_WARNINGS) this.warnings.push({ line, message });
  }
}
