// Goes through the photos of an annotation file: keep, drop, correct by clicks. Every change is saved as it is made.

import { ask, at, large, make, say } from "../page/common.js";
import { COLORS } from "../page/masks.js";
import { addBox, addMark, onPointing } from "../page/pointing.js";
import { middle, paint } from "./painting.js";

let overview = null;  // what there is
let place = 0;  // of the photo among them
let photo = null;  // its objects, as the service tells them
let picture = null;  // its element
let selected = null;  // the id of the object that keys and clicks change
let strokes = [];  // the clicks on it: { point, isNegative } or { box }
let before = null;  // the version of the object before them; null for one that they have added
let series = 0;  // counts selections: what waits for an answer then belongs to an earlier one
let pending = Promise.resolve();  // clicks wait for the answer to those before them
let turn = 0;

const isNew = () => at("new").getAttribute("aria-pressed") === "true";
const press = (id, isOn) => at(id).setAttribute("aria-pressed", isOn);
const nameOf = category => overview.categories.find(one => one.id === category)?.name ?? "?";
const colorOf = category => COLORS[overview.categories.findIndex(one => one.id === category) % COLORS.length];
const object = () => photo.objects.find(one => one.id === selected);
const line = () => overview.photos[place];

// Asks the service for a change, and shows the photo as it is then, unless another one is looked at by now.
async function change(path, body) {
  const mine = ++turn, url = `photos/${line().id}${path}`;
  try {
    const told = await ask(url, body);
    overview.photos.find(one => one.id === told.id).is_reviewed = told.is_reviewed;
    if (mine !== turn) return null;
    photo = told;
    say("said", "");
    draw();
    return told;
  } catch (error) {
    if (mine === turn) say("said", error.message, true);
    return null;
  }
}

async function open(number) {
  place = Math.min(Math.max(number, 0), overview.photos.length - 1);
  const src = `photos/${line().id}/picture`;
  photo = { objects: [], counts: photo?.counts ?? {} };
  select(null);
  picture = large({ ...line(), src }, src, 75);
  onPointing(picture, {
    click: (point, event) => {
      const isNegative = event.altKey || event.button === 2 || at("negative").getAttribute("aria-pressed") === "true";
      add({ point, isNegative });
    },
    drag: box => add({ box }),
  });
  at("stage").replaceChildren(picture);
  if (!await change("")) return;
  select((photo.objects.find(one => one.state === "undecided") ?? photo.objects[0])?.id ?? null);
  if (!photo.objects.length) say("said", "nothing was found on this photo: n and a click add an object, Enter goes on");
  const next = overview.photos[place + 1];  // is fetched and encoded meanwhile
  if (next) Object.assign(new Image(), { src: `photos/${next.id}/picture` }), ask(`photos/${next.id}`).catch(() => {});
}

function select(id) {
  selected = id;
  series++;
  strokes = [];
  press("new", false);
  press("negative", false);
  draw();
  document.querySelector("#objects .selected")?.scrollIntoView({ block: "nearest" });
}

function draw() {
  at("photos").replaceChildren(...overview.photos.map((one, number) =>
    new Option(`${one.is_reviewed ? "✓ " : ""}${number + 1}. ${one.name}`, number, false, number === place)));
  const done = overview.photos.filter(one => one.is_reviewed).length;
  const counts = ["undecided", "kept", "corrected", "added", "dropped"].filter(state => photo.counts[state])
    .map(state => `${photo.counts[state]} ${state}`);
  at("progress").textContent = `${done} of ${overview.photos.length} photos reviewed; objects: ${counts.join(", ") || "none"}`;
  at("objects").replaceChildren(...photo.objects.map(item));
  if (object()) at("category").value = object().category;
  if (!picture) return;
  picture.querySelectorAll("canvas, .mark, .drawn, .number").forEach(old => old.remove());
  const seen = photo.objects.filter(one => one.segmentation && (one.state !== "dropped" || one.id === selected));
  const layers = seen.map(one => ({ id: one.id, segmentation: one.segmentation, color: colorOf(one.category),
    isSelected: one.id === selected }));
  if (layers.length) picture.append(paint(layers));
  for (const one of seen) {
    const number = photo.objects.indexOf(one) + 1;
    addMark(picture, number, middle(one), "number");
  }
  for (const { box, point, isNegative } of strokes) {
    if (box) addBox(picture, box);
    else addMark(picture, isNegative ? "−" : "+", point, isNegative ? "mark not" : "mark");
  }
}

function item(one, number) {
  const row = make("li"), name = make("button"), color = make("i");
  row.className = `${one.state}${one.id === selected ? " selected" : ""}`;
  color.style.background = colorOf(one.category);
  name.className = "name";
  name.setAttribute("aria-current", one.id === selected);
  const score = one.score === null ? "" : ` · ${one.score.toFixed(2)}`;
  name.append(color, `${number + 1} ${nameOf(one.category)}${score}`, make("small", one.state));
  name.addEventListener("click", () => select(one.id));
  const keep = make("button", "Keep"), drop = make("button", "Drop");
  keep.setAttribute("aria-label", `Keep object ${number + 1}`);
  drop.setAttribute("aria-label", `Drop object ${number + 1}`);
  keep.addEventListener("click", () => { select(one.id); decide("kept"); });
  drop.addEventListener("click", () => { select(one.id); decide("dropped"); });
  for (const button of [name, keep, drop]) button.type = "button";
  row.append(name, keep, drop);
  return row;
}

// Decides on the selected object, and goes on to the next that is undecided.
async function decide(decision) {
  if (!object()) return say("said", "no object is selected", true);
  const decided = selected;
  if (!await change(`/objects/${decided}`, { decision })) return;
  if (decision === "undecided" || selected !== decided) return select(selected);
  const from = photo.objects.findIndex(one => one.id === decided);
  const next = [...photo.objects.slice(from + 1), ...photo.objects.slice(0, from)].find(one => one.state === "undecided");
  select(next ? next.id : decided);
  if (!next) say("said", "nothing on this photo is undecided; Enter goes to the next");
}

async function finish() {
  if (!await change("/finish", {})) return;
  const after = [...overview.photos.keys()].map(number => (place + 1 + number) % overview.photos.length);
  const next = after.find(number => !overview.photos[number].is_reviewed);
  if (next === undefined) say("said", "all photos are reviewed; the file is complete");
  else await open(next);
}

function add(stroke) {
  if (!isNew() && !object()) return say("said", "select an object to correct it, or choose “New object” to add one", true);
  if (stroke.isNegative && !strokes.some(one => !one.isNegative)) {
    return say("said", "first click what belongs to the object", true);
  }
  if (stroke.box) strokes = strokes.filter(one => !one.box);  // there is one box at a time
  if (!strokes.length) before = isNew() ? null : object().version;
  strokes.push(stroke);
  afterPending(segment);
}

function afterPending(work) {
  const mine = series;
  pending = pending.then(() => mine === series ? work() : null);
}

// Has what the clicks show drawn: of the selected object, or as a new one.
async function segment() {
  const shown = {
    points: strokes.filter(one => one.point && !one.isNegative).map(one => one.point),
    negatives: strokes.filter(one => one.isNegative).map(one => one.point),
    box: strokes.find(one => one.box)?.box ?? null,
  };
  draw();
  if (!isNew()) return change(`/objects/${selected}/mask`, shown);
  const mine = series;
  const told = await change("/objects", { ...shown, category: Number(at("category").value) });
  if (!told || mine !== series) return;
  selected = told.object;  // further clicks correct it
  press("new", false);
  draw();
}

function undo() {
  if (!strokes.length) return;
  strokes.pop();
  if (strokes.some(one => !one.isNegative)) return segment();
  strokes = [];
  if (!object()) return draw();
  if (before === null) return change(`/objects/${selected}`, { decision: "dropped" });
  return change(`/objects/${selected}/restore`, { version: before });
}

function step(by) {
  const number = photo.objects.findIndex(one => one.id === selected);
  const next = photo.objects[number + by];
  if (next) select(next.id);
}

function startNew() {
  const isOn = !isNew();
  if (isOn) select(null);
  press("new", isOn);
  say("said", isOn ? `click the new object, a ${nameOf(Number(at("category").value))}, or drag a box around it` : "");
}

function toggleNegative() {
  press("negative", at("negative").getAttribute("aria-pressed") !== "true");
}

function rename(category) {
  at("category").value = category;
  if (object()) change(`/objects/${selected}`, { category });
}

const KEYS = {
  ArrowLeft: () => open(place - 1),
  ArrowRight: () => open(place + 1),
  ArrowUp: () => step(-1),
  ArrowDown: () => step(1),
  Enter: finish,
  k: () => decide("kept"),
  d: () => decide("dropped"),
  u: () => decide("undecided"),
  n: startNew,
  x: toggleNegative,
  z: () => afterPending(undo),
};

document.addEventListener("keydown", event => {
  const isTyping = event.target.matches("select, input, summary") || event.key === "Enter" && event.target.matches("button");
  if (!photo || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  const category = overview.categories[Number(event.key) - 1];
  const action = KEYS[event.key] ?? (category && /^[1-9]$/.test(event.key) ? () => rename(category.id) : null);
  if (!action) return;
  event.preventDefault();
  action();
});
at("previous").addEventListener("click", () => open(place - 1));
at("next").addEventListener("click", () => open(place + 1));
at("photos").addEventListener("change", () => open(Number(at("photos").value)));
at("finish").addEventListener("click", finish);
at("new").addEventListener("click", startNew);
at("negative").addEventListener("click", toggleNegative);
at("undo").addEventListener("click", () => afterPending(undo));
document.querySelector("summary").addEventListener("click", event => {
  if (event.detail) event.target.blur();  // a pointer's click; the next Enter then is for the photo
});
at("category").addEventListener("change", () => rename(Number(at("category").value)));

try {
  overview = await ask("photos");
  at("file").textContent = overview.file;
  at("category").replaceChildren(...overview.categories.map((one, number) =>
    new Option(number < 9 ? `${number + 1} ${one.name}` : one.name, one.id)));
  const first = overview.photos.findIndex(one => !one.is_reviewed);
  await open(first < 0 ? 0 : first);
  if (overview.missing.length) say("said", `${overview.missing.length} photos of the file are missing: ${overview.missing[0]}`, true);
} catch (error) {
  say("said", error.message, true);
}
