// The mode that segments one picture: by pointing, by words and queries, all of a kind, or everything.

import { remember } from "./address.js";
import { ask, at, inSquare, insert, large, make, makeButton, pictureOf, say, sharp, stored, title } from "./common.js";
import { pngOf } from "./downloads.js";
import { COLORS, overlay } from "./masks.js";
import { onPointing } from "./pointing.js";
import { escaped, namesIn } from "./query.js";
import * as strokes from "./strokes.js";
import { drawThings, isAbsent } from "./things.js";
import { addMask, addUpload, askAbout, isUpload, uploadOf } from "./uploads.js";

let shown = null;  // the picture, as `pictureOf` takes it
let picture = null;  // its element
let task = "";  // what the address tells of the last question: "", "segment", "all" or "everything"
let selected = null;  // the object that was pointed at, as the service tells it
let turn = 0, isNew = true;

function open(image) {
  shown = image;
  const src = isUpload(image.name) ? image.src : sharp(image);
  picture = large(image, src, 70);
  picture.classList.add("asks");
  const isNegative = event => event.altKey || event.button === 2 || at("negative").getAttribute("aria-pressed") === "true";
  onPointing(picture, {
    click: (point, event) => pointed(strokes.add({ kind: isNegative(event) ? "not" : "point", points: [point] })),
    drag: box => pointed(strokes.add({ kind: "box", box })),
    stroke: (tool, points, event) => pointed(strokes.add({ kind: isNegative(event) ? "not-scribble" : tool, points })),
    drop: ([x, y], field, position) => insert(field, `[${escaped(image.name)}@${x},${y}]`, position),
    tool: () => document.querySelector("#tools input:checked").value,
    keys: true,
  });
  at("stage").replaceChildren(picture);
  clear();
  picture.scrollIntoView({ block: "nearest" });
}

function clear() {
  strokes.clear();
  turn++;
  task = "";
  draw([]);
  say("segment-said", shown ? "" : "open a picture, or choose one of the album");
}

// The masks of what was found, the strokes above them, and a line for each thing.
function draw(things) {
  selected = null;
  picture?.querySelectorAll("canvas, .mark, .drawn, svg").forEach(old => old.remove());
  things.filter(({ box }) => box !== null).forEach(({ segmentation, doubtful }, number) => {
    const canvas = overlay(segmentation, COLORS[number % COLORS.length]);
    canvas.classList.toggle("doubtful", doubtful === true);
    picture.append(canvas);
  });
  if (picture) strokes.draw(picture);
  drawThings(shown, things);
}

// Shows the things that `work` finds, unless something else has been asked since.
async function find(work, isRestored) {
  const mine = ++turn, start = performance.now();
  if (!isRestored) remember(told());
  say("segment-said", "segmenting ...");
  try {
    const [things, words] = await work();
    if (mine !== turn) return [];
    draw(things);
    say("segment-said", `${words}${Math.round(performance.now() - start)} ms`);
    return things;
  } catch (error) {
    if (mine !== turn) return [];
    draw([]);
    say("segment-said", error.message, true);
    return [];
  }
}

// Asks for the object that the strokes show.
async function pointed(changed = true, isRestored = false) {
  if (!changed) return;
  task = "";
  draw([]);
  if (!strokes.showsThing()) {
    turn++;
    say("segment-said", strokes.isEmpty() ? "" : "now click an object, or drag a box around it");
    return;
  }
  const [thing] = await find(async () => {
    const found = await askAbout("interact", strokes.body(), { subject: shown.name });
    return [[{ ...found, text: "selected object", present: null }], found.box === null ? "nothing found; " : "selected; "];
  }, isRestored);
  if (!thing || thing.box === null) return;
  selected = thing;
  const buttons = Object.assign(make("li"), { className: "actions" });
  buttons.append(makeButton("Find all like this", () => {
    at("phrase").value = selectedRegion();
    asked("all");
  }), makeButton("Use in the query", () => {
    insert(at("phrase"), selectedRegion());
    say("segment-said", "added to the query; open the picture to look into, then press Segment or Find all");
  }));
  at("things").append(buttons);
}

// The selected object as a region of a query: by its points or box, else by its mask.
function selectedRegion() {
  const place = strokes.place();
  return `[${escaped(shown.name)}${place === null ? `#${addMask(pngOf(selected.segmentation))}` : `@${place}`}]`;
}

const TASKS = {
  async segment(query, about) {
    const found = await askAbout("segment", { query }, about);
    const absent = found.entities.filter(isAbsent).map(({ text }) => text);
    const doubt = absent.length ? `probably not there: ${absent.join(", ")}; ` : `${found.entities.length} found; `;
    return [found.entities, `${found.read_as === query ? "" : `read as ${found.read_as}; `}${doubt}`];
  },
  async all(query, about) {
    const found = await askAbout("find-all", { query, threshold: Number(at("threshold").value) }, about);
    const count = found.instances.length;
    const unknown = found.unknown_words.length ? `unknown words: ${found.unknown_words.join(", ")}; ` : "";
    return [found.instances, `${count ? `${count} found` : "nothing found"}; ${unknown}`];
  },
  async everything(query, about) {
    const classes = at("classes").value.split(",").map(name => name.trim()).filter(Boolean);
    const found = await askAbout("panoptic", { classes: classes.length ? classes : null }, { subject: about.subject });
    const unknown = found.unknown_words.length ? `unknown words: ${found.unknown_words.join(", ")}; ` : "";
    return [found.segments, `${found.segments.length} segments; ${unknown}`];
  },
};

function asked(which, isRestored = false) {
  const query = at("phrase").value.trim();
  if (!shown) return say("segment-said", "open a picture, or choose one of the album, first", true);
  if (!query && which !== "everything") return say("segment-said", "type what to segment, such as: a red dog", true);
  strokes.clear();
  task = which;
  find(() => TASKS[which](query, { subject: shown.name, named: namesIn([query]) }), isRestored);
}

// As the address has it.
export function told() {
  return [["mode", "segment"], ["picture", shown?.name], ["task", task], ["phrase", at("phrase").value.trim()],
    ["threshold", task === "all" ? at("threshold").value : ""],
    ["classes", task === "everything" ? at("classes").value.trim() : ""], ...strokes.entries()];
}

export async function restore(address) {
  await begin();
  at("phrase").value = address.get("phrase") ?? "";
  if (address.has("threshold")) at("threshold").value = address.get("threshold");
  if (address.has("classes")) at("classes").value = address.get("classes");
  if (address.get("task") === "everything") at("everything").open = true;
  const name = address.get("picture");
  if (!name) return;
  try {
    open(isUpload(name) ? uploadOf(name) : await albumImage(name));
  } catch (error) {
    say("segment-said", error.message, true);
    return;
  }
  if (Object.hasOwn(TASKS, address.get("task") ?? "")) asked(address.get("task"), true);
  else pointed(strokes.read(address), true);
}

// An image of the album by its name; its picture tells its size.
async function albumImage(name) {
  const src = `images/${name.split("/").map(encodeURIComponent).join("/")}?frame=0`;
  const { images } = await ask(`images?count=1&name=${encodeURIComponent(name)}`);
  return { ...stored(images[0]), src };
}

export function openPicture(image) {
  begin();
  open(image);
  remember(told());
}

at("phrase-form").addEventListener("submit", event => {
  event.preventDefault();
  asked("segment");
});
at("find-all").addEventListener("click", () => asked("all"));
at("divide").addEventListener("click", () => asked("everything"));
at("negative").addEventListener("click", () => {
  at("negative").setAttribute("aria-pressed", at("negative").getAttribute("aria-pressed") !== "true");
});
at("undo").addEventListener("click", () => pointed(strokes.undo()));
at("clear").addEventListener("click", clear);
export async function addFiles([file]) {
  try {
    open(await addUpload(file));
    remember(told());
  } catch (error) {
    say("segment-said", error.message, true);
  }
}

at("open").addEventListener("change", async () => {
  await addFiles(at("open").files);
  at("open").value = "";
});

// The album's pictures to choose from, when the mode is entered for the first time.
export async function begin() {
  if (!isNew) return;
  isNew = false;
  if (!shown) clear();
  try {
    const { images } = await ask("images?count=12");
    at("choices").replaceChildren(...images.filter(image => image.seconds === null).map(choice));
  } catch (error) {
    say("segment-said", error.message, true);
  }
}

function choice(image) {
  const button = makeButton("", () => openPicture(stored(image)));
  button.className = "choice";
  const figure = make("figure");
  figure.append(inSquare(pictureOf(stored(image))), make("figcaption", title(image)));
  figure.querySelector("img").alt = "";  // its name stands below
  button.append(figure);
  return button;
}
