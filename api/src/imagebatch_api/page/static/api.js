// Requests to the server, with the token where it asks for one.

const KEY = "imagebatch-token";

/** The token of this tab; it is gone when the tab is closed, and no other site's page can read it. */
export const token = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

/** What the server refused: `problems` are its lines of what is wrong. */
export class Refused extends Error {
  constructor(status, document) {
    super(document.detail || document.title || `HTTP ${status}`);
    this.status = status;
    this.problems = document.errors?.length ? document.errors : [{ message: this.message }];
  }
}

/** Ask, and raise `Refused` for what is no success. */
export async function ask(path, options = {}) {
  const presented = token.get() ? { Authorization: `Bearer ${token.get()}` } : {};
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: { ...options.headers, ...presented } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, { detail: "The server can't be reached. Nothing is lost; try again in a moment." });
  }
  if (answer.ok) return answer;
  throw new Refused(answer.status, await problemOf(answer));
}

/** What is wrong: as a program is told, or as the server's page says it. */
async function problemOf(answer) {
  const kind = answer.headers.get("content-type") ?? "";
  if (kind.startsWith("application/problem+json")) return answer.json();
  if (!kind.startsWith("text/html")) return {};
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  return { detail: page.querySelector("main .notice")?.textContent.trim() };
}

/** The main part of a page, as the server renders it for us. */
export async function mainOf(path) {
  const answer = await ask(path, { headers: { Accept: "text/html" } });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  return { main: page.querySelector("main"), title: page.title };
}

/** Save a file that a plain link could not show a token for. */
export async function save(path, name) {
  const blob = await (await ask(path)).blob();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}
