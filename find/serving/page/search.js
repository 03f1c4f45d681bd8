// The mode that searches the album.

import { remember } from "./address.js";
import { ask, at, inSquare, make, makeButton, pictureOf, plain, say, stored, title } from "./common.js";
import * as fields from "./fields.js";
import { onCorrecting, showChips } from "./chips.js";
import { grouped, hitFigure } from "./hits.js";
import { COLORS, overlay } from "./masks.js";
import { addBox, addMark, cropAround, onPointing } from "./pointing.js";
import { namesIn, placeIn, regionsOf, thingsOf } from "./query.js";
import { addUpload, askAbout, isUpload, uploadOf } from "./uploads.js";
import { openViewer } from "./viewer.js";

const seen = new Map();  // images of the album that were pointed at: name -> what `frame` takes
const taken = new Map();  // what the model takes for a region: its name and place -> its mask, once it has answered
const painted = new WeakMap();  // an element of a picture -> its masks' canvases, which typing only shows and hides
let last = { text: "", read: "", unwanted: [] };  // the last sentence, as the model has read it, and what it excludes
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

// Puts the query as it was read, corrected perhaps, into its field; what the sentence excludes becomes chips.
function takeRead(text) {
  if (at("query").value === last.text) last.unwanted.forEach(query => fields.addJoined("without", query));
  last.unwanted = [];
  at("query").value = text;
}

// Adds what is at a place of a picture to the query: to the field that was used last, or to this one at a position.
function join(picture, place, field, position) {
  if (!isUpload(picture.name)) seen.set(picture.name, { ...picture, src: plain(picture.src) });
  const query = at("query");
  if ((field ?? fields.active) === query && query.value === last.text && last.read && last.read !== last.text) {
    const isWhole = last.read.replace(/[{}]/g, "") === last.text;  // not without "show me" or "without a dog"
    position = isWhole ? placeIn(last.read, position ?? query.selectionStart) : last.read.length;
    takeRead(last.read);  // the model finds no things beside a region
  }
  fields.addRegion(picture.name, place, field, position);
  typed();
  look();
}

// Gets the album's pictures that the query's regions are of, which a shared address names only.
async function meet() {
  const names = [...new Set(regions().map(({ name }) => name))].filter(name => !seen.has(name) && !isUpload(name));
  for (const name of names) {
    try {
      const { images } = await ask(`images?count=1&name=${encodeURIComponent(name)}`);
      if (images[0].seconds === null) seen.set(name, stored(images[0]));
    } catch {
      // the search tells what is wrong with it
    }
  }
}

// A region of the query, small; null while its place or picture is not known.
function cropOf({ name, points, boxes }, side) {
  const picture = isUpload(name) ? uploadOf(name) : seen.get(name);
  const place = points[0] ?? boxes.map(([x0, y0, x1, y1]) => [(x0 + x1) / 2, (y0 + y1) / 2])[0];
  return picture && place ? cropAround(picture.src, picture, place, side) : null;
}

// A picture whole in a square; what is pointed at in it joins the query. Queries cannot refer to a film's frames: `open`
// shows these.
function frame(shown, caption, open) {
  const picture = pictureOf(shown), isFrame = shown.seconds !== null;
  picture.title = isFrame ? "play the film from here" : "click an object, drag a box, or drag an object to the sentence";
  picture.firstChild.loading = "lazy";
  if (isFrame) {
    picture.classList.add("film");
    picture.addEventListener("click", open);
  } else {
    picture.classList.add("asks");
    const joined = place => join(shown, place);
    onPointing(picture, { click: joined, drag: joined, drop: (place, field, position) => join(shown, place, field, position) });
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
async function show(work, text) {
  const mine = ++turn;
  let figures = [], words, read = "", none = "", unwanted = [], wrong = false;
  try {
    [figures, words, read, none, unwanted] = await work();
    await meet();
  } catch (error) {
    [words, wrong] = [error.message, true];
  }
  if (mine !== turn) return;
  at("hits").replaceChildren(...figures);
  last = { text, read, unwanted };
  showChips(read, unwanted);
  const names = new Set(regions().map(({ name }) => name));
  at("asked").replaceChildren(...[...names].filter(name => seen.has(name)).map(name => frame(seen.get(name), [name])));
  say("said", words, wrong);
  at("none").hidden = !none;
  at("none").querySelector("p").textContent = none;
  at("nearest").hidden = at("relevance").value === "";
  mark();
  if (!wrong) look();
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
  return [figures, words, "", "", []];
}

async function search() {
  const body = fields.body(), start = performance.now();
  const found = await askAbout("search", body, { named: namesIn(fields.queries()) });
  const groups = grouped(found.hits), figures = figuresOf(groups, hitFigure);
  const unknown = found.unknown_words.length ? `; unknown words, so results are a guess: ${found.unknown_words.join(", ")}` : "";
  const doubt = groups.length && groups.every(group => group.isDoubtful) ?
    "; it is probably in none of them: these are the nearest" : "";
  const notes = found.notes.filter(note => !found.unwanted.some(query => note === `without ${query}`)).map(note => `; ${note}`).join("");
  const took = `${Math.round(performance.now() - start)} ms`;
  const many = groups.length === 1 ? "1 image" : `${groups.length} images`;
  const none = groups.length ? "" : body.min_relevance !== null ?
    `No image${body.where === null ? "" : " that fits the filters"} has a relevance of ${body.min_relevance} or more.` :
    body.where !== null ? "No image fits the filters." : "No image is left to be searched.";
  return [figures, `${groups.length ? many : "nothing found"} in ${took}${notes}${doubt}${unknown}`, found.read_as[0], none,
    found.unwanted];
}

function run() {
  const isAsked = at("query").value.trim() !== "";
  if (!isAsked) at("none").hidden = true;
  if (isAsked) say("said", "searching ...");
  show(() => isAsked ? search() : begin(), at("query").value);
}

export function restore(address) {
  fields.restore(address);
  run();
}

export const told = () => fields.entries();

export async function addFiles(files) {
  for (const file of files) {
    try {
      const picture = await addUpload(file);
      if (!at("mine").querySelector(`[data-name="${picture.name}"]`)) at("mine").append(frame(picture, [picture.name]));
    } catch (error) {
      say("said", error.message, true);
    }
  }
  mark();
}

at("file").addEventListener("change", async () => {
  await addFiles(at("file").files);
  at("file").value = "";
});

// The chips of a query that marks its things itself; those of a sentence are known when it has been searched.
function typed() {
  showChips(thingsOf(at("query").value).length ? at("query").value : "");
  mark();
}

onCorrecting({
  apply(text) {
    takeRead(text);
    at("form").requestSubmit();
  },
  cropOf,
});
at("nearest").addEventListener("click", () => {
  at("relevance").value = "";
  at("form").requestSubmit();
});
at("form").addEventListener("input", typed);
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
