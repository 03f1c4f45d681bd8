// Hits as figures: the objects that were taken, lines for words between them, the score's parts, moments of films.

import { clock, make, makeButton, stored, title } from "./common.js";
import { COLORS } from "./masks.js";
import { addLine, addMark } from "./pointing.js";

const SILENT = .1;  // words about one entity's place that fit neither better nor worse say nothing
const ABSENT = .5;  // what is relevant with a lower probability is probably not there
const NEAR = 2;  // seconds between moments that are told as one interval

// Hits with the moments that are told of them: { hit, moments, rank, isDoubtful }.
export function grouped(hits) {
  return hits.map((hit, number) => {
    const likely = hit.moments.filter(moment => !isDoubtful(moment));
    const moments = likely.length ? likely : [hit];
    return { hit, moments, rank: number + 1, isDoubtful: moments.every(isDoubtful) };
  });
}

const isDoubtful = ({ relevance }) => relevance !== null && relevance < ABSENT;

// Moments as intervals of neighbours, each with its best: { first, last, best }.
export function intervals(moments) {
  const found = [];
  for (const moment of moments) {
    const last = found.at(-1);
    if (!last || moment.seconds - last.last > NEAR) {
      found.push({ first: moment.seconds, last: moment.seconds, best: moment });
    } else {
      last.last = moment.seconds;
      if (moment.score > last.best.score) last.best = moment;
    }
  }
  return found;
}

// A button for each interval; nothing of photographs.
export function momentButtons(moments, choose) {
  if (moments[0].seconds === null) return [];
  const list = Object.assign(make("div"), { className: "moments" });
  for (const { first, last, best } of intervals(moments)) {
    const text = clock(first) === clock(last) ? clock(first) : `${clock(first)}–${clock(last)}`;
    const button = makeButton(text, () => choose(best));
    button.setAttribute("aria-label", `Play ${best.name} from ${clock(best.seconds)}`);
    list.append(button);
  }
  return [list];
}

// The color of each entity in the service's picture: entities that take the same object have that of the first.
function colorsOf(hit) {
  return hit.entities.map(({ object }) => COLORS[hit.entities.findIndex(one => one.object === object) % COLORS.length]);
}

// A line between the objects of two entities for the words between them.
export function drawPairs(picture, hit) {
  const middle = ({ box: [x0, y0, x1, y1] }) => [(x0 + x1) / 2, (y0 + y1) / 2];
  for (const { text, entities, fit } of hit.connections.filter(one => one.entities.length === 2)) {
    const [from, to] = entities.map(number => middle(hit.entities[number]));
    if (from[0] === to[0] && from[1] === to[1]) continue;
    addLine(picture, [from, to], "pair");
    addMark(picture, `${text} ${fit.toFixed(2)}`, [(from[0] + to[0]) / 2, (from[1] + to[1]) / 2], "pair-label");
  }
}

// What made the score, each entity in its color.
export function scoreParts(hit) {
  const list = Object.assign(make("ul"), { className: "parts" });
  const add = (text, color) => {
    const item = make("li");
    if (color) item.append(Object.assign(make("i"), { style: `background: ${color}` }));
    item.append(text);
    list.append(item);
  };
  if (hit.relevance !== null) add(`relevance ${hit.relevance.toFixed(2)}${isDoubtful(hit) ? ", probably not there" : ""}`);
  if (hit.image_term !== null) add(`sentence ${hit.image_term.toFixed(3)}`);
  const colors = colorsOf(hit);
  hit.entities.forEach(({ text, term, present }, number) => {
    const there = present === null ? "" : `, there with probability ${present.toFixed(2)}`;
    add(`${text} ${term.toFixed(3)}${there}`, colors[number]);
  });
  for (const { text, entities, fit } of hit.connections) {
    const [one, other] = entities.map(number => hit.entities[number].text);
    if (other !== undefined) add(`${one} ${text} ${other} ${fit.toFixed(2)}`);
    else if (Math.abs(fit) >= SILENT) add(`${one}, ${text} ${fit.toFixed(2)}`);
  }
  if (hit.queries.length > 1) {
    for (const { query, is_excluded, score } of hit.queries) add(`${is_excluded ? "without" : "and"} “${query}” ${score.toFixed(3)}`);
  }
  return list;
}

// A figure of a group; `framed` makes it of a picture and a caption, `openAt` shows one of its moments large.
export function hitFigure({ hit, moments, rank, isDoubtful }, framed, openAt) {
  const parts = make("details");
  parts.append(make("summary", "Score"), scoreParts(hit));
  const relevance = hit.relevance === null ? "" : ` · relevance ${hit.relevance.toFixed(2)}`;
  const open = makeButton(`${rank}. ${title(hit)}`, () => openAt(hit));
  open.className = "open";
  const caption = [open, make("span", `${hit.score.toFixed(3)}${relevance}`), ...momentButtons(moments, openAt), parts];
  if (hit.duplicates.length) caption.splice(-1, 0, copies(hit.duplicates));
  const figure = framed(stored(hit), caption), picture = figure.querySelector(".picture");
  drawPairs(picture, hit);
  const absent = hit.entities.filter(({ present }) => present !== null && present < ABSENT).map(({ text }) => `: ${text}`);
  if (isDoubtful) figure.querySelector(".cell").append(make("span", `probably not there${absent.length === 1 ? absent[0] : ""}`));
  figure.classList.toggle("doubtful", isDoubtful);
  return figure;
}

// The near-duplicates of a hit.
function copies(names) {
  const list = make("details");
  list.append(make("summary", names.length === 1 ? "1 near-duplicate" : `${names.length} near-duplicates`));
  list.append(...names.map(name => make("div", name)));
  return list;
}
