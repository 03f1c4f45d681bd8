// The mode that segments one picture, by clicks, a box or words.

import { addBox, addMark, ask, at, inSquare, make, onPointing, pictureOf, read, say, stored, title } from "./common.js";
import { COLORS, overlay, savePng } from "./masks.js";

let shown = null;  // the picture: what `pictureOf` takes, with `asked`, how requests name it
let picture = null;  // its element
let strokes = [];  // { point, isNegative } or { box }, in their order
let turn = 0;

function open(image, asked) {
  shown = { ...image, asked };
  picture = pictureOf(shown);
  picture.classList.add("asks");
  picture.style.width = `min(100%, ${(70 * image.width / image.height).toFixed(2)}vh)`;
  picture.style.aspectRatio = `${image.width} / ${image.height}`;
  onPointing(picture, {
    click: (point, event) => {
      const isNegative = event.altKey || event.button === 2 || at("negative").getAttribute("aria-pressed") === "true";
      add({ point, isNegative });
    },
    drag: box => add({ box }),
  });
  at("stage").replaceChildren(picture);
  clear();
  picture.scrollIntoView({ block: "nearest" });
}

function add(stroke) {
  if (stroke.box) strokes = strokes.filter(one => !one.box);  // there is one box at a time
  strokes.push(stroke);
  point();
}

function clear() {
  strokes = [];
  turn++;
  draw([]);
  say("segment-said", shown ? "" : "open a picture, or choose one of the album");
}

// The masks of what was found, the strokes above them, and a line for each thing.
function draw(things) {
  picture?.querySelectorAll("canvas, .mark, .drawn").forEach(old => old.remove());
  things.forEach(({ segmentation }, number) => picture.append(overlay(segmentation, COLORS[number % COLORS.length])));
  for (const { box, point, isNegative } of strokes) {
    if (box) addBox(picture, box);
    else addMark(picture, isNegative ? "−" : "+", point, isNegative ? "mark not" : "mark");
  }
  at("things").replaceChildren(...things.map(line));
}

function line(thing, number) {
  const item = make("li"), color = make("i");
  color.style.background = COLORS[number % COLORS.length];
  const present = thing.present === null ? "" : `, present with probability ${thing.present.toFixed(2)}`;
  const told = thing.box === null ? "nothing found" : `score ${thing.score.toFixed(2)}${present}`;
  item.append(color, `${thing.text}: ${told}${thing.doubtful ? " (doubtful)" : ""}`);
  if (thing.box !== null) {
    const save = Object.assign(make("button", "Download mask"), { type: "button" });
    save.setAttribute("aria-label", `Download the mask of ${thing.text}`);
    const stem = shown.name.replace(/.*\//, "").replace(/\.[^.]*$/, "");
    save.addEventListener("click", () => savePng(thing.segmentation, `${stem}-mask-${number + 1}.png`));
    item.append(save);
  }
  return item;
}

// Shows the things that `work` finds, unless something else has been asked since.
async function find(work) {
  const mine = ++turn, start = performance.now();
  say("segment-said", "segmenting ...");
  try {
    const [things, words] = await work();
    if (mine !== turn) return;
    draw(things);
    say("segment-said", `${words}${Math.round(performance.now() - start)} ms`);
  } catch (error) {
    if (mine !== turn) return;
    draw([]);
    say("segment-said", error.message, true);
  }
}

function point() {
  const points = strokes.filter(one => one.point && !one.isNegative).map(one => one.point);
  const negatives = strokes.filter(one => one.isNegative).map(one => one.point);
  const box = strokes.find(one => one.box)?.box ?? null;
  draw([]);
  if (!points.length && !box) {
    turn++;
    say("segment-said", strokes.length ? "now click an object, or drag a box around it" : "");
    return;
  }
  find(async () => {
    const found = await ask("interact", { ...shown.asked, points, box, negatives });
    return [[{ ...found, text: "selected object", present: null }], ""];
  });
}

at("phrase-form").addEventListener("submit", event => {
  event.preventDefault();
  const query = at("phrase").value.trim();
  if (!shown) return say("segment-said", "open a picture, or choose one of the album, first", true);
  if (!query) return say("segment-said", "type what to segment, such as: a red dog", true);
  strokes = [];
  find(async () => {
    const found = await ask("segment", { ...shown.asked, query });
    return [found.entities, found.read_as === query ? "" : `read as ${found.read_as}; `];
  });
});

at("negative").addEventListener("click", () => {
  at("negative").setAttribute("aria-pressed", at("negative").getAttribute("aria-pressed") !== "true");
});
at("undo").addEventListener("click", () => {
  if (!strokes.length) return;
  strokes.pop();
  point();
});
at("clear").addEventListener("click", clear);
at("open").addEventListener("change", async () => {
  try {
    const file = at("open").files[0], { url, width, height } = await read(file);
    open({ src: url, name: file.name, width, height }, { image: url });
  } catch (error) {
    say("segment-said", error.message, true);
  }
  at("open").value = "";
});

// The album's pictures to choose from; called when the mode is entered for the first time.
export async function begin() {
  clear();
  try {
    const { images } = await ask("images?count=12");
    at("choices").replaceChildren(...images.filter(image => image.seconds === null).map(choice));
  } catch (error) {
    say("segment-said", error.message, true);
  }
}

function choice(image) {
  const button = Object.assign(make("button"), { type: "button", className: "choice" });
  const small = stored(image), figure = make("figure");
  figure.append(inSquare(pictureOf(small)), make("figcaption", title(image)));
  button.append(figure);
  button.addEventListener("click", () => open({ ...small, src: `${small.src}&side=1280` }, { name: image.name }));
  return button;
}
