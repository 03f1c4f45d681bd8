// What was pointed at in the picture that is segmented, in its order.

import { addBox, addLine, addMark } from "./pointing.js";

let strokes = [];  // { kind: "point" | "not" | "scribble" | "lasso" | "not-scribble", points } or { kind: "box", box }

export const isEmpty = () => !strokes.length;
export const showsThing = () => strokes.some(({ kind }) => !kind.startsWith("not"));
export const clear = () => strokes = [];
export const undo = () => strokes.pop() !== undefined;

export function add(stroke) {
  if (stroke.kind === "box") strokes = strokes.filter(one => one.kind !== "box");  // there is one at a time
  strokes.push(stroke);
  return true;
}

const all = kind => strokes.filter(one => one.kind === kind).map(one => one.points);

// As a request tells them.
export const body = () => ({
  points: all("point").flat(), negatives: all("not").flat(), box: strokes.find(one => one.box)?.box ?? null,
  scribbles: all("scribble"), lassos: all("lasso"), negative_scribbles: all("not-scribble"),
});

// As a query tells the place of a region; null of what it cannot tell.
export function place() {
  const kinds = new Set(strokes.map(one => one.kind));
  if (kinds.size !== 1) return null;
  if (kinds.has("box")) return strokes[0].box.join(",");
  return kinds.has("point") ? all("point").flat().map(point => point.join(",")).join(";") : null;
}

// As the address tells them.
export const entries = () => strokes.map(({ kind, points, box }) => [kind, box ? box.join(",") : points.map(one => one.join(",")).join(";")]);

export function read(address) {
  const kinds = ["point", "not", "box", "scribble", "lasso", "not-scribble"];
  strokes = [...address].filter(([kind]) => kinds.includes(kind)).map(([kind, text]) => {
    const points = text.split(";").map(point => point.split(",").map(Number));
    return kind === "box" ? { kind, box: points[0] } : { kind, points };
  });
  return true;
}

export function draw(picture) {
  for (const { kind, points, box } of strokes) {
    if (box) addBox(picture, box);
    else if (kind === "point") addMark(picture, "+", points[0]);
    else if (kind === "not") addMark(picture, "−", points[0], "mark not");
    else addLine(picture, points, { scribble: "", lasso: "closed", "not-scribble": "not" }[kind]);
  }
}
