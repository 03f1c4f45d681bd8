// A query with its things as chips: their words can be corrected, things taken out, and plain words made things.

import { at, make, makeButton } from "./common.js";
import { COLORS } from "./masks.js";
import { bracedWords, thingsOf, unescaped } from "./query.js";

let apply = () => {}, cropOf = () => null;
let wanted = null;  // number of the chip that gets the focus when the corrected query has been read

// `apply(text)` asks a corrected query; `cropOf(thing, side)` gives an element that shows a region, or null.
export function onCorrecting(actions) {
  ({ apply, cropOf } = actions);
}

// `unwanted` are queries that the sentence excludes.
export function showChips(text, unwanted = []) {
  const things = thingsOf(text), parts = [];
  at("read").hidden = !things.length && !unwanted.length;
  let from = 0;
  things.forEach((thing, number) => {
    parts.push(...plainWords(text, from, thing.start), chip(text, thing, number, things.length));
    from = thing.end;
  });
  parts.push(...plainWords(text, from, text.length));
  at("read").replaceChildren(...parts, ...unwanted.map(query => {
    const words = Object.assign(make("span", `without ${query.replace(/[{}]/g, "")}`), { className: "words" });
    const box = Object.assign(make("span"), { className: "chip without" });
    box.append(words);
    return box;
  }));
  if (wanted !== null) at("read").querySelectorAll(".chip")[wanted]?.querySelector("button").focus();
  wanted = null;
}

function replaced(text, { start, end }, words, number) {
  wanted = number;
  const before = text.slice(0, start), after = text.slice(end);  // spaces in names of pictures stay as they are
  apply((words ? `${before}${words}${after}` : `${before.trimEnd()} ${after.trimStart()}`).trim());
}

function chip(text, thing, number, count) {
  const box = Object.assign(make("span"), { className: "chip" }), isPhrase = thing.phrase !== undefined;
  box.style.setProperty("--chip", COLORS[number % COLORS.length]);
  const words = isPhrase ? unescaped(thing.phrase) : thing.name;
  if (isPhrase) {
    const button = makeButton(words, () => correct(box, button, words, corrected =>
      replaced(text, thing, bracedWords(corrected), number)));
    Object.assign(button, { className: "words", title: "correct its words" });
    box.append(button);
  } else {
    const crop = cropOf(thing, 28);
    box.append(...(crop ? [crop] : []), Object.assign(make("span", words), { className: "words" }));
  }
  if (isPhrase && count === 1) return box;  // the model would take the same words again
  const off = makeButton("×", () => replaced(text, thing, isPhrase ? thing.phrase : "", Math.max(0, number - 1)));
  off.title = isPhrase ? "this is no thing" : "remove";
  off.setAttribute("aria-label", isPhrase ? `“${words}” is no thing` : `Remove the region of ${words}`);
  box.append(off);
  return box;
}

// Lets the words of a chip be typed anew: Enter takes them, Escape leaves them.
function correct(box, button, words, take) {
  const field = Object.assign(make("input"), { value: words, size: Math.max(4, words.length), autocomplete: "off" });
  field.setAttribute("aria-label", `Correct “${words}”`);
  let isOpen = true;
  const close = taken => {
    if (!isOpen) return;
    isOpen = false;
    field.replaceWith(button);
    if (taken && field.value.trim() && field.value.trim() !== words) take(field.value.trim());
  };
  field.addEventListener("keydown", event => {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault();
    close(event.key === "Enter");
    button.focus();
  });
  field.addEventListener("input", event => {
    event.stopPropagation();
    field.size = Math.max(4, field.value.length);
  });
  field.addEventListener("blur", () => close(true));
  button.replaceWith(field);
  field.select();
}

// The words between things; each becomes a thing when it is clicked, without dots and commas around it.
function plainWords(text, start, end) {
  return [...text.slice(start, end).matchAll(/\S+/g)].map(({ 0: word, index }) => {
    if (!/[\p{L}\p{N}]/u.test(word)) return make("span", unescaped(word));
    const place = { start: start + index, end: start + index + word.length };
    const number = thingsOf(text.slice(0, place.start)).length;
    const [, before, thing, after] = word.match(/^([^\p{L}\p{N}]*)(.*?)([^\p{L}\p{N}]*)$/u);
    const button = makeButton(unescaped(word), () => replaced(text, place, `${before}{${thing}}${after}`, number));
    Object.assign(button, { className: "word", title: "make this a thing" });
    return button;
  });
}
