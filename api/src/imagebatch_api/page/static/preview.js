// Shows a file before it is uploaded: its first rows, what its columns hold, its images and hosts.

import { columnsField, complaint, matched, ROLES } from "./columns.js";
import { byId, count, el, plural, problemList, size } from "./dom.js";
import { first, survey, SHOWN_WARNINGS } from "./survey.js";

const SHOWN_HOSTS = 4;

/** The preview of one file. `fields` says how it is to be uploaded. */
export class Preview {
  #file = null;
  #found = null;
  #match = null;
  #isChanged = false;
  #counting = new AbortController();

  constructor(where, form) {
    this.where = where;
    this.form = form;
  }

  /** Show a file, with the encoding and columns that the form says. */
  async show(file) {
    this.#counting.abort();
    this.#file = file;
    this.#isChanged = false;
    this.#found = await first(file, this.form.encoding.value);
    if (file !== this.#file) return; // another was chosen meanwhile
    if (this.#found) this.#match = matched(this.#found.headers, this.form.columns.value, this.form.preset.value);
    this.where.replaceChildren(...(this.#found ? this.#parts() : [el("p", {}, "No row can be read at the beginning of this file.")]));
    this.where.hidden = false;
    if (this.#found) this.#recount();
  }

  /** The fields `columns` and `preset` where they are needed: what the user changed, or the server could not find. */
  get fields() {
    if (!this.#found) return {};
    const { headers } = this.#found;
    if (this.#isChanged) return { columns: columnsField(headers, this.#match.roles), preset: "" };
    return this.form.columns.value ? {} : { preset: this.#match.preset };
  }

  #parts() {
    const title = el("h2", { id: "preview-title" }, this.#file.name || "The file");
    const notes = [size(this.#file.size), `read as ${this.#found.encoding}`];
    this.summary = el("p", { className: "summary", role: "status" });
    this.trouble = el("div", { className: "trouble" });
    return [title, el("p", { className: "note" }, notes.join(" · ")), this.summary, this.#table(), this.trouble];
  }

  #table() {
    const { headers, rows } = this.#found;
    const heads = headers.map((name, at) => el("th", { scope: "col" }, el("span", {}, name.trim() || "–"), this.#select(name, at)));
    const body = rows.map(({ cells }) => el("tr", {}, ...headers.map((_, at) => el("td", {}, cells[at] ?? ""))));
    const table = el("table", {}, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...body));
    this.#mark(table);
    return el("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "The first rows" }, table);
  }

  #select(name, at) {
    const options = Object.entries(ROLES).map(([value, label]) => el("option", { value }, label));
    const select = el("select", { "aria-label": `What “${name.trim()}” holds` }, ...options);
    select.value = this.#match.roles[at];
    select.addEventListener("change", () => this.#change(at, select.value));
    return select;
  }

  /** One column may hold the serial numbers, one the names, several the links. */
  #change(at, role) {
    const { roles } = this.#match;
    if (role && role !== "links") roles.forEach((other, place) => (roles[place] = other === role ? "" : other));
    roles[at] = role;
    this.#isChanged = true;
    const table = this.where.querySelector("table");
    table.querySelectorAll("select").forEach((select, place) => (select.value = roles[place]));
    this.#mark(table);
    this.#recount();
  }

  #mark(table) {
    for (const row of table.rows) {
      [...row.cells].forEach((cell, at) => cell.classList.toggle("used", Boolean(this.#match.roles[at])));
    }
  }

  #recount() {
    this.#counting.abort();
    this.#counting = new AbortController();
    const { headers, encoding } = this.#found;
    const { roles } = this.#match;
    const missing = complaint(roles);
    byId("send").disabled = Boolean(missing);
    this.trouble.replaceChildren(...(missing ? [el("p", { className: "notice bad" }, missing)] : []));
    if (missing) return this.summary.replaceChildren();
    const told = (found, isDone, part) => this.#tell(found, isDone, part);
    survey(this.#file, encoding, headers, roles, this.#counting.signal, told).catch((error) => {
      this.trouble.replaceChildren(el("p", { className: "notice bad" }, `The file can't be read: ${error.message}`));
    });
  }

  #tell(found, isDone, part) {
    const hosts = [...found.hosts].sort((one, other) => other[1] - one[1]);
    const names = hosts.slice(0, SHOWN_HOSTS).map(([host, images]) => `${host} (${count(images)})`);
    const more = hosts.length > SHOWN_HOSTS ? [`and ${count(hosts.length - SHOWN_HOSTS)} more`] : [];
    const from = hosts.length ? `from ${[...names, ...more].join(", ")}` : "";
    const sums = el("b", {}, `${plural(found.rows, "row")}, ${plural(found.images, "image")}`);
    this.summary.replaceChildren(sums, ` ${from}`, isDone ? "" : ` – ${Math.round(part * 100)}% looked through`);
    if (found.warned) this.trouble.replaceChildren(warnings(found));
  }
}

function warnings(found) {
  const more = found.warned - found.warnings.length;
  const rest = more > 0 ? [el("p", {}, `And ${plural(more, "other line")} beyond the first ${SHOWN_WARNINGS}.`)] : [];
  const title = el("p", {}, el("b", {}, "Look at these first"));
  return el("div", { className: "notice warn" }, title, problemList(found.warnings), ...rest);
}
