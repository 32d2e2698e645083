// One picture large: the source on the left of a divider, the result on its right. The divider is a range input, so
// that mouse, finger and arrow keys all move it.

import { byId, el } from "./dom.js";

export function startCompare() {
  byId("grid")?.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-compare]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    open(link);
  });
}

function open(link) {
  const dialog = el("dialog", { className: "compare", "aria-label": `Compare: ${link.dataset.name}` });
  let shown = link;
  const step = (by) => {
    const next = shown.parentElement[by > 0 ? "nextElementSibling" : "previousElementSibling"]?.querySelector("a");
    if (next) dialog.replaceChildren(...parts((shown = next), step, dialog));
  };
  dialog.append(...parts(link, step, dialog));
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    dialog.remove();
    shown.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  dialog.querySelector("input").focus();
}

function parts(link, step, dialog) {
  const { name, about, source, result } = link.dataset;
  const close = el("button", { type: "button", className: "quiet", onclick: () => dialog.close() }, "Close");
  const before = el("button", { type: "button", className: "quiet", onclick: () => step(-1) }, "Previous");
  const after = el("button", { type: "button", className: "quiet", onclick: () => step(1) }, "Next");
  const head = el("header", {}, el("h2", {}, name), el("p", { className: "note" }, about), before, after, close);
  return [head, stage(link, picture(source, "Source"), picture(result, "Result"))];
}

function stage(link, before, after) {
  const slider = el("input", { type: "range", min: "0", max: "100", value: "50", step: "1", "aria-label": "Divider between source and result" });
  const frame = el("div", { className: "stage" }, after, before, el("span", { className: "divider" }), slider);
  const move = () => {
    frame.style.setProperty("--at", `${slider.value}%`);
    slider.setAttribute("aria-valuetext", `${slider.value}% source`);
  };
  slider.addEventListener("input", move);
  move();
  const failed = el("p", { className: "notice warn", hidden: true }, "The source can't be shown: its host or this browser refuses it.");
  before.addEventListener("error", () => (failed.hidden = false) || frame.classList.add("single"));
  const { in: source, out, saved } = link.dataset;
  const sizes = el("p", { className: "legend" }, el("span", {}, `Source ${source}`), el("b", {}, saved), el("span", {}, `Result ${out}`));
  return el("div", { className: "body" }, frame, sizes, failed);
}

function picture(link, label) {
  const address = /^https?:/i.test(link) ? link : `https://${link.replace(/^\/\//, "")}`;
  const made = el("img", { alt: label, className: label.toLowerCase(), draggable: false });
  made.referrerPolicy = "no-referrer";
  made.src = address;
  return made;
}
