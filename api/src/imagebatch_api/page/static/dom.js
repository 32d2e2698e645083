// Small things that the views share: elements, numbers, what is said to the user.

export const byId = (id) => document.getElementById(id);

/** An element with properties, and children that are nodes or text. */
export function el(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

export const count = (number) => number.toLocaleString("en");

export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** Bytes as people read them; the server's `size` writes the same. */
export function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let at = 0;
  while (Math.abs(value) >= 999.5 && at < units.length - 1) {
    value /= 1000;
    at += 1;
  }
  return `${at === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)} ${units[at]}`;
}

/** Say something in an alert's element; nothing hides it. */
export function say(where, children, isBad = true) {
  where.classList.toggle("bad", isBad);
  where.replaceChildren(...[children].flat());
  where.hidden = where.childNodes.length === 0;
}

/** What is wrong, as a list of lines. */
export function problemList(problems) {
  const items = problems.map((one) =>
    el("li", {}, ...(one.line ? [el("b", {}, `Line ${one.line}: `)] : []), one.message),
  );
  return el("ul", {}, ...items);
}
