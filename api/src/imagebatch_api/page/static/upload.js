// The view that uploads: a file is dropped or chosen, looked at, checked if wished, and sent.

import { ask, token } from "./api.js";
import { byId, el, plural, problemList, say } from "./dom.js";
import { Preview } from "./preview.js";

const FIRST = ["encoding", "preset", "columns", "inPlace"]; // needed while the file is read

export function startUpload() {
  const form = byId("upload");
  const preview = new Preview(byId("preview"), form);
  form.prepend(form.querySelector(".file")); // without a script the options must come before the file
  byId("send").disabled = document.body.hasAttribute("data-asks-token") && !token.get();
  acceptDrops(form, preview);
  for (const name of ["encoding", "preset", "columns"]) {
    form[name].addEventListener("change", () => form.file.files[0] && choose(form.file.files[0], preview));
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form, preview);
  });
  byId("check").addEventListener("click", () => check(form, preview));
}

function acceptDrops(form, preview) {
  const drop = byId("drop");
  form.file.addEventListener("change", () => form.file.files[0] && choose(form.file.files[0], preview));
  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length !== 1) return say(byId("said"), "Drop one CSV file.");
    form.file.files = event.dataTransfer.files;
    choose(form.file.files[0], preview);
  });
}

async function choose(file, preview) {
  say(byId("said"), []);
  byId("drop").classList.add("chosen");
  for (const id of ["check", "check-help"]) byId(id).hidden = false;
  try {
    await preview.show(file);
  } catch (error) {
    say(byId("said"), `The file can't be read: ${error.message}`);
  }
}

/** The form's fields that are given, those that the file is read by before the file. */
function body(form, preview) {
  const given = new FormData(form);
  for (const [name, value] of Object.entries(preview.fields)) given.set(name, value);
  const names = [...FIRST, ...[...given.keys()].filter((name) => !FIRST.includes(name) && name !== "file")];
  const made = new FormData();
  for (const name of names) if (given.get(name)) made.append(name, given.get(name));
  made.append("file", form.file.files[0]);
  return made;
}

async function send(form, preview) {
  await busy("Uploading …", async () => {
    const answer = await ask("/upload", { method: "POST", body: body(form, preview) });
    location.assign(`/page/batches/${encodeURIComponent((await answer.json()).request_id)}`);
    return true;
  });
}

async function check(form, preview) {
  if (!form.reportValidity()) return;
  await busy("Checking …", async () => {
    const answer = await ask("/upload?dry_run=true", { method: "POST", body: body(form, preview) });
    const found = await answer.json();
    const sums = `${plural(found.rows, "row")}, ${plural(found.images, "image")} from ${plural(found.hosts.length, "host")}.`;
    const title = el("p", {}, el("b", {}, "The server reads it: "), sums, found.warnings.length ? "" : " Nothing to warn of.");
    say(byId("said"), [title, ...(found.warnings.length ? [problemList(found.warnings)] : [])], false);
  });
}

/** Do something with the buttons off, for good where it leads away; what is refused is shown. */
async function busy(text, work) {
  const buttons = [byId("send"), byId("check")].filter((button) => !button.disabled);
  buttons.forEach((button) => (button.disabled = true));
  say(byId("said"), text, false);
  let leads = false;
  try {
    leads = await work();
  } catch (error) {
    const title = el("p", {}, el("b", {}, "This was not uploaded"));
    const list = problemList(error.problems ?? [{ message: error.message }]);
    const isEncoding = error.problems?.some((one) => one.code === "not_utf8");
    say(byId("said"), [title, list, ...(isEncoding ? ["Choose the file's encoding among the options."] : [])]);
  } finally {
    if (!leads) buttons.forEach((button) => (button.disabled = false));
  }
}
