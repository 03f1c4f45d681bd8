// The mode that searches the album.

import { addBox, addMark, ask, at, inSquare, make, onPointing, pictureOf, read, say, stored, title } from "./common.js";
import { COLORS, overlay } from "./masks.js";

const images = new Map();  // the pictures that were added: name -> data URL
const seen = new Map();  // those of the album that were pointed at: name -> what `frame` takes
const taken = new Map();  // what the model takes for a region: its name and place -> its mask, once it has answered
const painted = new WeakMap();  // an element of a picture -> its masks' canvases, which typing only shows and hides
// Of a query: an escaped character, a phrase, or a region with its picture's name and place.
const PART = /\\.|\{((?:\\.|[^\\}])*)\}|\[((?:\\.|[^\\\]@#])*)(?:@([^\]]*)|#[^\]]*)\]/gsu;
let turn = 0;

// The regions of the query by the number of their thing, counted as the query names them.
function regions() {
  const things = [...at("query").value.matchAll(PART)].filter(([text]) => !text.startsWith("\\"));
  return things.flatMap(([, , name, where], number) => name === undefined ? [] :
    [{ number: number + 1, name: name.replace(/\\(.)/gsu, "$1"), ...placesOf(where ?? "") }]);
}

// Points and boxes of "x,y;x,y" or "x0,y0,x1,y1"; what is no number yet is left out while it is typed.
function placesOf(text) {
  const places = text.split(";").map(one => one.split(",").map(Number)).filter(one => one.every(Number.isFinite));
  return { points: places.filter(one => one.length === 2), boxes: places.filter(one => one.length === 4) };
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
    const picture = images.has(name) ? { image: images.get(name) } : { name };
    taken.set(keyOf(region), null);
    try {
      const answer = await ask("interact", { ...picture, points, box: boxes[0] ?? null });
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
function join(picture, where) {
  if (!images.has(picture.name)) seen.set(picture.name, { ...picture, src: picture.src.split("&")[0] });  // without what was found
  const escaped = picture.name.replace(/[\\{}[\]@#]/g, "\\$&");  // as a query wants it
  at("query").value = `${at("query").value.trimEnd()} [${escaped}@${where.join(",")}]`.trimStart();
  at("query").focus({ preventScroll: true });
  mark();
  look();
}

// A picture whole in a square; what is pointed at in one that `asks` joins the query, which knows it by its name.
function frame(shown, ...caption) {
  const picture = pictureOf(shown);
  picture.title = shown.asks ? "click an object or drag a box to add it to the query" : "a video frame; queries cannot refer to it";
  picture.firstChild.loading = "lazy";
  if (shown.asks) {
    picture.classList.add("asks");
    const joined = where => join(shown, where);
    onPointing(picture, { click: joined, drag: joined });
  }
  const figure = make("figure");
  figure.append(inSquare(picture), make("figcaption"));
  figure.lastChild.append(...caption);
  return figure;
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
  at("asked").replaceChildren(...[...names].filter(name => seen.has(name)).map(name => frame(seen.get(name), name)));
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
  for (const found of read.matchAll(PART)) {
    if (found[1] === undefined) continue;
    parts.push(read.slice(from, found.index), make("mark", found[1]));
    from = found.index + found[0].length;
  }
  const correct = Object.assign(make("button", "Correct"), { type: "button" });
  correct.addEventListener("click", () => {
    at("query").value = read;
    at("query").focus();
  });
  at("read").replaceChildren("Entities found: ", ...parts, read.slice(from), " ", correct);
}

async function begin() {
  const { total, images: some } = await ask("images?count=12");
  const many = total === 1 ? "1 image" : `${total} images`;
  const words = some.length < total ? `${many} are in the album; ${some.length} of them:` : `${many} in the album:`;
  return [some.map(image => frame(stored(image), title(image))), words, ""];
}

async function search(query) {
  const used = Object.fromEntries(regions().filter(({ name }) => images.has(name)).map(({ name }) => [name, images.get(name)]));
  const least = at("relevance").value === "" ? null : Number(at("relevance").value);
  const start = performance.now();
  const found = await ask("search", { query, images: used, k: 24, min_relevance: least });
  const figures = found.hits.map(hit => {
    const between = new Map(hit.connections.filter(one => one.entities.length === 2).map(one => [one.entities[0], one]));
    const terms = hit.entities.flatMap((entity, number) => {
      const words = between.get(number);
      const term = `${entity.text} ${entity.term.toFixed(2)}`;
      return words ? [term, `${words.text} ${words.fit.toFixed(2)}`] : [term];
    });
    if (hit.image_term !== null) terms.unshift(`sentence ${hit.image_term.toFixed(2)}`);
    if (hit.relevance !== null) terms.unshift(`relevance ${hit.relevance.toFixed(2)}`);
    return frame(stored(hit), make("b", `${hit.rank}. ${hit.score.toFixed(3)} `), title(hit), make("br"), terms.join(" · "));
  });
  const doubt = found.unknown_words.length ? `; unknown words, so results are a guess: ${found.unknown_words.join(", ")}` : "";
  const many = figures.length === 1 ? "1 image" : figures.length ? `${figures.length} images` :
    least === null ? "nothing found" : `nothing found with a relevance of at least ${least}`;
  const took = `${many} in ${Math.round(performance.now() - start)} ms${doubt}`;
  return [figures, took, found.read_as[0] === query ? "" : found.read_as[0]];
}

// A file's name without what a query would read as syntax, and never that of an image of the album, which has a dot.
function nameOf(file) {
  const stem = file.name.replace(/\.[^.]*$/, "").replace(/[^\p{L}\p{N}_-]+/gu, "-").replace(/^-+|-+$/g, "") || "picture";
  let name = stem;
  for (let number = 2; images.has(name); number++) name = `${stem}-${number}`;
  return name;
}

at("file").addEventListener("change", async () => {
  for (const file of at("file").files) {
    try {
      const { url, width, height } = await read(file);
      const name = nameOf(file);
      images.set(name, url);
      at("mine").append(frame({ src: url, name, width, height, asks: true }, name));
    } catch (error) {
      say("said", error.message, true);
    }
  }
  at("file").value = "";
  mark();
});

at("query").addEventListener("input", mark);
at("form").addEventListener("submit", event => {
  event.preventDefault();
  const query = at("query").value;
  if (query.trim()) say("said", "searching ...");
  show(() => query.trim() ? search(query) : begin());
});

at("query").value = new URLSearchParams(location.search).get("q") ?? "";  // a search that can be linked to
at("form").requestSubmit();
