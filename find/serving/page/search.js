// The mode that searches the album.

import { remember } from "./address.js";
import { ask, at, inSquare, make, makeButton, pictureOf, plain, say, stored, title } from "./common.js";
import * as fields from "./fields.js";
import { folded, hitFigure } from "./hits.js";
import { COLORS, overlay } from "./masks.js";
import { addBox, addMark, onPointing } from "./pointing.js";
import { namesIn, regionsOf, thingsOf } from "./query.js";
import { addUpload, askAbout, isUpload } from "./uploads.js";
import { openViewer } from "./viewer.js";

const seen = new Map();  // images of the album that were pointed at: name -> what `frame` takes
const taken = new Map();  // what the model takes for a region: its name and place -> its mask, once it has answered
const painted = new WeakMap();  // an element of a picture -> its masks' canvases, which typing only shows and hides
let turn = 0, segment = () => {};

export const onSegment = action => segment = action;

// The regions of all queries, numbered through.
function regions() {
  let before = 0;
  return fields.queries().flatMap(query => {
    const found = regionsOf(query).map(region => ({ ...region, number: region.number + before }));
    before += thingsOf(query).length;
    return found;
  });
}

const keyOf = ({ name, points, boxes }) => JSON.stringify([name, points, boxes]);

function paintedOver(picture, key, segmentation, color) {
  if (!painted.has(picture)) painted.set(picture, new Map());
  const canvases = painted.get(picture), name = key + color;
  if (!canvases.has(name)) canvases.set(name, overlay(segmentation, color));
  return canvases.get(name);
}

// Numbers and masks in the pictures where the query's regions are.
function mark() {
  document.querySelectorAll("#search .mark, #search .drawn, #search canvas").forEach(old => old.remove());
  for (const region of regions()) {
    const { number, name, points, boxes } = region;
    for (const picture of document.querySelectorAll("#search .asks")) {
      if (picture.dataset.name !== name) continue;
      const key = keyOf(region), mask = taken.get(key);
      if (mask) picture.append(paintedOver(picture, key, mask, COLORS[(number - 1) % COLORS.length]));
      boxes.forEach(box => addBox(picture, box));
      const middles = boxes.map(([x0, y0, x1, y1]) => [(x0 + x1) / 2, (y0 + y1) / 2]);
      [...points, ...middles].forEach(point => addMark(picture, number, point));
    }
  }
}

// Asks which objects the query's regions are, and shows them.
async function look() {
  const asked = regions().filter(one => one.points.length + one.boxes.length === 1 || one.points.length && !one.boxes.length);
  for (const region of asked.filter(one => !taken.has(keyOf(one)))) {
    const { name, points, boxes } = region;
    taken.set(keyOf(region), null);
    try {
      const answer = await askAbout("interact", { points, box: boxes[0] ?? null }, { subject: name });
      taken.set(keyOf(region), answer.segmentation);
    } catch (error) {
      taken.delete(keyOf(region));
      say("said", error.message, true);
      return;
    }
    mark();
  }
}

// Adds what is at a place of a picture to the query.
function join(picture, place) {
  if (!isUpload(picture.name)) seen.set(picture.name, { ...picture, src: plain(picture.src) });
  fields.addRegion(picture.name, place);
  mark();
  look();
}

// A picture whole in a square; what is pointed at in it joins the query. Queries cannot refer to a film's frames: `open`
// shows these.
function frame(shown, caption, open) {
  const picture = pictureOf(shown), isFrame = shown.seconds !== null;
  picture.title = isFrame ? "play the film from here" : "click an object or drag a box to add it to the query";
  picture.firstChild.loading = "lazy";
  if (isFrame) {
    picture.classList.add("film");
    picture.addEventListener("click", open);
  } else {
    picture.classList.add("asks");
    const joined = place => join(shown, place);
    onPointing(picture, { click: joined, drag: joined });
  }
  const figure = make("figure");
  figure.append(inSquare(picture), make("figcaption"));
  figure.lastChild.append(...caption);
  return figure;
}

function figuresOf(groups, figure) {
  const actions = { join, segment: picture => segment(picture) };
  return groups.map((group, number) => {
    const openAt = moment => openViewer(groups, number, moment, actions);
    return figure(group, (shown, caption) => frame(shown, caption, () => openAt(group.hit)), openAt);
  });
}

// Shows what `work` gives, unless something else has been asked since; under an error nothing is shown.
async function show(work) {
  const mine = ++turn;
  let figures = [], words, read = "", wrong = false;
  try {
    [figures, words, read] = await work();
  } catch (error) {
    [words, wrong] = [error.message, true];
  }
  if (mine !== turn) return;
  at("hits").replaceChildren(...figures);
  showRead(read);
  const names = new Set(regions().map(({ name }) => name));
  at("asked").replaceChildren(...[...names].filter(name => seen.has(name)).map(name => frame(seen.get(name), [name])));
  say("said", words, wrong);
  mark();
  if (!wrong) look();
}

// What of a plain sentence was taken for a thing, to be corrected as a query with braces.
function showRead(read) {
  at("read").hidden = !read;
  if (!read) return;
  const parts = [];
  let from = 0;
  for (const [number, { start, end, phrase }] of thingsOf(read).entries()) {
    if (phrase === undefined) continue;
    const chip = make("mark", phrase);
    chip.style.setProperty("--chip", COLORS[number % COLORS.length]);
    parts.push(read.slice(from, start), chip);
    from = end;
  }
  at("read").replaceChildren("Entities found: ", ...parts, read.slice(from), " ", makeButton("Correct", () => {
    at("query").value = read;
    at("query").focus();
  }));
}

async function begin() {
  const { total, images: some } = await ask("images?count=12");
  const many = total === 1 ? "1 image" : `${total} images`;
  const words = some.length < total ? `${many} are in the album; ${some.length} of them:` : `${many} in the album:`;
  const groups = some.map(image => ({ hit: image, moments: [image] }));
  const figures = figuresOf(groups, ({ hit }, framed, openAt) => {
    const open = makeButton(title(hit), () => openAt(hit));
    open.className = "open";
    return framed(stored(hit), [open]);
  });
  return [figures, words, ""];
}

async function search() {
  const body = fields.body(), start = performance.now();
  const found = await askAbout("search", body, { named: namesIn(fields.queries()) });
  const groups = folded(found.hits), figures = figuresOf(groups, hitFigure);
  const doubt = found.unknown_words.length ? `; unknown words, so results are a guess: ${found.unknown_words.join(", ")}` : "";
  const none = body.min_relevance !== null ? `nothing found with a relevance of at least ${body.min_relevance}` :
    body.where !== null ? "no image fits the filters" : "nothing found";
  const films = found.hits.length - groups.length, moments = films ? ` with ${found.hits.length} moments` : "";
  const many = groups.length === 1 ? "1 image" : groups.length ? `${groups.length} images` : none;
  return [figures, `${many}${moments} in ${Math.round(performance.now() - start)} ms${doubt}`,
    found.read_as[0] === body.query ? "" : found.read_as[0]];
}

function run() {
  const isAsked = at("query").value.trim() !== "";
  if (isAsked) say("said", "searching ...");
  show(() => isAsked ? search() : begin());
}

export function restore(address) {
  fields.restore(address);
  run();
}

export const told = () => fields.entries();

at("file").addEventListener("change", async () => {
  for (const file of at("file").files) {
    try {
      const picture = await addUpload(file);
      if (!at("mine").querySelector(`[data-name="${picture.name}"]`)) at("mine").append(frame(picture, [picture.name]));
    } catch (error) {
      say("said", error.message, true);
    }
  }
  at("file").value = "";
  mark();
});

at("form").addEventListener("input", mark);
at("form").addEventListener("submit", event => {
  event.preventDefault();
  remember(fields.entries());
  run();
});

// Arrows go from hit to hit.
at("hits").addEventListener("keydown", event => {
  if (!event.target.matches(".open")) return;
  const all = [...document.querySelectorAll("#hits .open")], here = all.indexOf(event.target);
  const columns = getComputedStyle(at("hits")).gridTemplateColumns.split(" ").length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
  if (!step) return;
  event.preventDefault();
  all[here + step]?.focus();
});
