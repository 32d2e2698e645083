// Which columns hold what: matched by the names that the server knows, changed by the user.

import { byId } from "./dom.js";

export const ROLES = { "": "Passed through", serial: "Serial number", name: "Product name", links: "Image links" };

const key = (name) => name.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");

/** The role of each header, "" for none; and the preset that these are of, if one. What the user typed goes first. */
export function matched(headers, typed, preset) {
  const known = JSON.parse(byId("known-columns").textContent);
  if (typed) return { preset: "", roles: asTyped(headers, typed) };
  if (preset) return { preset, roles: ofPreset(headers, known.presets[preset]) ?? headers.map(() => "") };
  const roles = bySynonyms(headers, known.synonyms);
  if (roles) return { preset: "", roles };
  for (const [name, alternatives] of Object.entries(known.presets)) {
    const found = ofPreset(headers, alternatives);
    if (found) return { preset: name, roles: found };
  }
  return { preset: "", roles: guessed(headers, known.synonyms) };
}

/** The roles by the field `columns`: serial=SKU,name=Title,links=Front+Back. */
function asTyped(headers, text) {
  const [, ...parts] = text.split(/(?:^|,)\s*(serial|name|links)\s*=/);
  const roles = headers.map(() => "");
  for (let at = 0; at < parts.length; at += 2) {
    for (const name of parts[at] === "links" ? parts[at + 1].split("+") : [parts[at + 1]]) {
      const place = headers.findIndex((header) => key(header) === key(name));
      if (place >= 0) roles[place] = parts[at];
    }
  }
  return roles;
}

/** As the server finds them: one column for each role; null where one is missing or two could be meant. */
function bySynonyms(headers, synonyms) {
  const roles = guessed(headers, synonyms);
  const isWhole = ["serial", "name", "links"].every((role) => roles.filter((one) => one === role).length === 1);
  return isWhole ? roles : null;
}

function guessed(headers, synonyms) {
  return headers.map((name) => Object.keys(synonyms).find((role) => synonyms[role].includes(key(name))) ?? "");
}

function ofPreset(headers, alternatives) {
  for (const wanted of alternatives) {
    const roles = headers.map((name) => {
      if (wanted.links.some((one) => key(one) === key(name))) return "links";
      if (wanted.serial && key(wanted.serial) === key(name)) return "serial";
      return key(wanted.name) === key(name) ? "name" : "";
    });
    const has = (role) => roles.includes(role);
    const links = roles.filter((role) => role === "links").length;
    if (links === wanted.links.length && has("name") && (has("serial") || !wanted.serial)) return roles;
  }
  return null;
}

/** What is wrong with the roles, in words; "" when nothing is. */
export function complaint(roles) {
  if (!roles.includes("links")) return "Say which column holds the image links.";
  return "";
}

/** The field `columns` for these roles. */
export function columnsField(headers, roles) {
  const named = (role) => headers.filter((_, at) => roles[at] === role);
  const parts = ["serial", "name"].flatMap((role) => named(role).map((name) => `${role}=${name.trim()}`));
  return [...parts, `links=${named("links").map((name) => name.trim()).join("+")}`].join(",");
}
