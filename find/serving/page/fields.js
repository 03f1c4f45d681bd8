// The form of a search: the query, those joined to it, filters; and how requests and the address tell them.

import { at, insert, make, makeButton } from "./common.js";
import { escaped } from "./query.js";

const KINDS = ["and", "without"];
export let active = at("query");  // the query field that regions join

at("query").addEventListener("focus", () => active = at("query"));

const fields = kind => [...document.querySelectorAll(`#joined input[data-kind=${kind}]`)];
const texts = kind => fields(kind).map(field => field.value.trim()).filter(Boolean);

// A chip with a field for a further query, which images must match as well or must not match.
export function addJoined(kind, value = "") {
  const chip = Object.assign(make("span"), { className: `chip ${kind}` }), label = make("label", kind);
  const field = Object.assign(make("input"), { value, autocomplete: "off", size: 14 });
  Object.assign(field.dataset, { kind, regions: "" });
  field.addEventListener("focus", () => active = field);
  label.append(field);
  const remove = makeButton("×", () => {
    if (active === field) active = at("query");
    chip.remove();
    at("query").dispatchEvent(new Event("input", { bubbles: true }));
    at(`add-${kind}`).focus();
  });
  remove.setAttribute("aria-label", `Remove this “${kind}”`);
  chip.append(label, remove);
  at("joined").append(chip);
  return field;
}

// All queries in their order, for their regions.
export const queries = () => [at("query").value, ...texts("and"), ...texts("without")];

// Adds a region to the field that was used last, at its cursor; or to another one, at a position.
export function addRegion(name, place, field = active, position = null) {
  insert(field, `[${escaped(name)}@${place.join(",")}]`, position);
}

const quoted = text => `'${text.replaceAll("'", "''")}'`;

// The SQL condition of the filters, or null.
function where() {
  const parts = [], path = at("path").value.trim(), until = at("until").value;
  if (path) parts.push(`contains(lower(path), ${quoted(path.toLowerCase())})`);
  if (at("from").value) parts.push(`time >= timestamp '${at("from").value} 00:00:00'`);
  if (until) parts.push(`time <= timestamp '${until} 23:59:59'`);
  return parts.length ? parts.join(" AND ") : null;
}

export const least = () => at("relevance").value === "" ? null : Number(at("relevance").value);

export const body = () => ({ query: at("query").value, and: texts("and"), without: texts("without"), k: 48, fold: true,
  min_relevance: least(), where: where() });

// As the address has it.
export const entries = () => [["q", at("query").value.trim()], ...texts("and").map(text => ["and", text]),
  ...texts("without").map(text => ["without", text]), ["relevance", at("relevance").value], ["path", at("path").value],
  ["from", at("from").value], ["until", at("until").value]];

export function restore(address) {
  at("query").value = address.get("q") ?? "";
  for (const id of ["relevance", "path", "from", "until"]) at(id).value = address.get(id) ?? "";
  at("joined").replaceChildren();
  active = at("query");
  for (const kind of KINDS) address.getAll(kind).forEach(text => addJoined(kind, text));
  if (["relevance", "path", "from", "until"].some(name => address.has(name))) at("more").open = true;
}

for (const kind of KINDS) at(`add-${kind}`).addEventListener("click", () => addJoined(kind).focus());
