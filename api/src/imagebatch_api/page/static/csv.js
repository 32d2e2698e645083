// Reads CSV as it streams: records of cells, with the line each begins in. The server is the judge; this is for a look.

const LONGEST = 1024 * 1024; // as the server has it
const DELIMITERS = [",", ";", "\t"];

/** The delimiter that splits a header into most cells. */
export function delimiterOf(header) {
  const counts = DELIMITERS.map((one) => header.split(one).length);
  return DELIMITERS[counts.indexOf(Math.max(...counts))];
}

/** Takes text in pieces; gives the records that are complete. A quoted cell may hold line ends. */
export class Records {
  #rest = "";
  #line = 1;
  #delimiter = null;

  /** Records of `text` and what was left before; with `isLast` also one without a line end. */
  push(text, isLast = false) {
    this.#rest += text;
    const found = [];
    let from = 0;
    let next;
    while ((next = this.#endOf(from, isLast)) !== null) {
      const raw = this.#rest.slice(from, next.end);
      const record = this.#record(raw);
      this.#line += lines(raw + this.#rest.slice(next.end, next.next));
      from = next.next;
      if (record) found.push(record);
    }
    this.#rest = this.#rest.slice(from);
    if (this.#rest.length > LONGEST) {
      throw new Error(`the record of line ${this.#line} is over 1 MiB, probably by a quote that is never closed`);
    }
    return found;
  }

  /** Where the record that begins at `from` ends, and where the next begins; null when that is not here yet. */
  #endOf(from, isLast) {
    const text = this.#rest;
    let isQuoted = false;
    for (let at = from; at < text.length; at += 1) {
      const code = text.charCodeAt(at);
      if (code === 34) isQuoted = !isQuoted;
      else if (!isQuoted && code === 10) return { end: at, next: at + 1 };
      else if (!isQuoted && code === 13) {
        if (at + 1 === text.length && !isLast) return null; // its \n may come
        return { end: at, next: text.charCodeAt(at + 1) === 10 ? at + 2 : at + 1 };
      }
    }
    return isLast && from < text.length ? { end: text.length, next: text.length } : null;
  }

  #record(raw) {
    if (!raw.trim() || (this.#delimiter === null && /^"?sep=[,;\t]"?\s*$/i.test(raw))) return null;
    this.#delimiter ??= delimiterOf(raw);
    const cells = cellsOf(raw, this.#delimiter);
    return cells.some((cell) => cell.trim()) ? { line: this.#line, cells } : null;
  }
}

function lines(text) {
  return text.match(/\r\n|\n|\r/g)?.length ?? 0;
}

function cellsOf(raw, delimiter) {
  if (!raw.includes('"')) return raw.split(delimiter);
  const cells = [];
  let cell = "";
  let isQuoted = false;
  for (let at = 0; at < raw.length; at += 1) {
    const char = raw[at];
    if (isQuoted && char === '"' && raw[at + 1] === '"') {
      cell += '"';
      at += 1;
    } else if (char === '"') isQuoted = !isQuoted;
    else if (char === delimiter && !isQuoted) {
      cells.push(cell);
      cell = "";
    } else cell += char;
  }
  return [...cells, cell];
}
