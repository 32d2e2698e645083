// The view of one batch: follows it while it runs, and does what its buttons say.

import { ask, mainOf, save, token } from "./api.js";
import { startCompare } from "./compare.js";
import { byId, count, el, say, size } from "./dom.js";
import { events } from "./sse.js";

const AGAIN_MS = 3000;
const RATE_MS = 10000;
const PICTURES_MS = 1500;
const LATER_MS = 2000;

export function startBatch() {
  const main = byId("main");
  main.querySelectorAll("form[data-action]").forEach((form) => form.addEventListener("submit", act));
  main.querySelectorAll("[data-download]").forEach((link) => link.addEventListener("click", download));
  startCompare();
  startMore();
  followWebhooks();
  if (main.dataset.status === "pending") follow(main);
}

/** The page as it is now in place of this one; the focus stays where it can. */
async function refresh() {
  const { main, title } = await mainOf(location.href);
  const focused = document.activeElement?.closest("form")?.dataset.action;
  byId("main").replaceWith(document.adoptNode(main));
  document.title = title;
  if (focused) (document.querySelector(`form[data-action="${CSS.escape(focused)}"] button`) ?? byId("main")).focus();
  startBatch();
}

async function act(event) {
  event.preventDefault();
  const button = event.target.querySelector("button");
  button.disabled = true;
  try {
    await ask(event.target.dataset.action, { method: "POST" });
    await refresh();
  } catch (error) {
    button.disabled = false;
    say(byId("said"), error.message);
  }
}

function download(event) {
  if (!token.get()) return; // the link does it
  event.preventDefault();
  const link = event.currentTarget;
  save(link.getAttribute("href"), link.dataset.download).catch((error) => say(byId("said"), error.message));
}

// -- while it runs ---------------------------------------------------------------------------------------

/** Follow the events to the batch's end. When they break off, ask again; a page that is gone follows nothing. */
async function follow(main) {
  const view = new Live(main);
  while (main.isConnected) {
    try {
      for await (const status of statuses(main.dataset.id)) {
        if (!main.isConnected) return;
        const isSuspended = status.reason === "Suspended";
        if (status.status !== "pending" || isSuspended !== ("suspended" in main.dataset)) return await refresh();
        view.show(status);
      }
    } catch (error) {
      if (error.status === 401 || error.status === 404) return say(byId("said"), error.message);
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

/** The status at each change; where no stream of them is to be had, once. */
async function* statuses(id) {
  const path = `/batches/${encodeURIComponent(id)}`;
  try {
    const answer = await ask(`${path}/events`);
    for await (const data of events(answer.body)) yield JSON.parse(data);
  } catch (error) {
    if (error.status === 401 || error.status === 404) throw error;
    yield await (await ask(path)).json();
  }
}

class Live {
  #samples = [];
  #shownAt = -Infinity;

  constructor(main) {
    this.main = main;
  }

  show(status) {
    const done = status.images.succeeded + status.images.failed;
    const state = this.main.querySelector("#live .state");
    state.textContent = status.waiting ? "Waiting" : status.phase;
    state.className = `state ${status.waiting ? "waits" : status.phase.toLowerCase()}`;
    this.#set("message", status.waiting ?? status.message);
    this.#set("done", count(done));
    this.#set("failed", count(status.images.failed));
    this.#set("saved", size(status.bytes.in - status.bytes.out));
    this.#set("rate", this.#rate(done));
    this.#set("sizes", `${size(status.bytes.in)} → ${size(status.bytes.out)}`);
    this.main.querySelector("[data-number=progress]").value = status.progress;
    this.#pictures();
  }

  #set(name, text) {
    const place = this.main.querySelector(`[data-number=${name}]`);
    if (text && place.textContent !== text) place.textContent = text;
  }

  /** Images a second, of the last seconds; "" where these are too few to say. */
  #rate(done) {
    const now = performance.now();
    this.#samples = [...this.#samples.filter((one) => now - one.at < RATE_MS), { at: now, done }];
    const { at, done: before } = this.#samples[0];
    return now - at > 500 ? ((done - before) / ((now - at) / 1000)).toFixed(1) : "";
  }

  /** The newest pictures, as the server finds them; those that are shown stay as they are. */
  async #pictures() {
    const now = performance.now();
    if (now - this.#shownAt < PICTURES_MS) return;
    this.#shownAt = now;
    try {
      const { main } = await mainOf(location.href);
      const [old, fresh] = [byId("recent"), main.querySelector("#recent")];
      if (!old || !fresh || !this.main.isConnected) return;
      const known = new Map([...old.children].map((item) => [item.querySelector("img")?.src, item]));
      old.replaceChildren(...[...fresh.children].map((item) => known.get(item.querySelector("img")?.src) ?? document.adoptNode(item)));
    } catch (error) {
      if (error.status === undefined) throw error; // else the next one tells
    }
  }
}

// -- at its end ------------------------------------------------------------------------------------------

/** "More pictures" adds them below; without a script it leads to a page of them. */
function startMore() {
  byId("more")?.addEventListener("click", async (event) => {
    event.preventDefault();
    const link = event.currentTarget;
    try {
      const { main } = await mainOf(link.href);
      const added = [...main.querySelectorAll("#grid > li")].map((item) => document.adoptNode(item));
      byId("grid").append(...added);
      added[0]?.querySelector("a").focus();
      const next = main.querySelector("#more");
      if (next) link.href = next.href;
      else link.parentElement.remove();
    } catch (error) {
      say(byId("said"), error.message);
    }
  });
}

/** The webhooks' table anew while one is on its way. */
function followWebhooks() {
  const waiting = document.querySelector("#webhooks .state.pending");
  if (waiting) setTimeout(() => waiting.isConnected && refreshWebhooks(), LATER_MS);
}

async function refreshWebhooks() {
  const { main } = await mainOf(location.href);
  const [old, fresh] = [byId("webhooks"), main.querySelector("#webhooks")];
  if (old && fresh) old.replaceWith(document.adoptNode(fresh));
  followWebhooks();
}
