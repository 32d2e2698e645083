// Begins on every page: the token, then the view that the page has.

import { mainOf, token } from "./api.js";
import { startBatch } from "./batch.js";
import { byId, el } from "./dom.js";
import { startUpload } from "./upload.js";

const VIEWS = { upload: startUpload, batch: startBatch };

function start() {
  const view = byId("main").dataset.view;
  VIEWS[view]?.();
}

/** The page anew with our token: a browser that opens a page can't be told to send it. */
async function openSignedIn() {
  try {
    const { main, title } = await mainOf(location.href);
    byId("main").replaceWith(document.adoptNode(main));
    document.title = title;
    start();
  } catch (error) {
    if (error.status === 401) token.forget();
    byId("main").append(el("p", { className: "notice bad", role: "alert" }, error.message));
    showSign();
  }
}

function showSign() {
  const form = byId("sign");
  const isIn = Boolean(token.get());
  byId("token").hidden = isIn;
  form.querySelector("label").textContent = isIn ? "Token in use" : "Token";
  form.querySelector("button").textContent = isIn ? "Forget it" : "Use";
}

function sign(event) {
  event.preventDefault();
  const field = byId("token");
  if (token.get()) token.forget();
  else token.set(field.value.trim());
  field.value = "";
  location.reload();
}

if (byId("sign")) {
  byId("sign").addEventListener("submit", sign);
  showSign();
}
if (byId("main").dataset.view === "signed-out" && token.get()) openSignedIn();
else start();
document.documentElement.dataset.started = "true";
