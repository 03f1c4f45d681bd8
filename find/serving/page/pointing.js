// What is drawn over a picture, and what a pointer or the keyboard does in it.

import { make } from "./common.js";

const SVG = "http://www.w3.org/2000/svg";
const DRAG = 6;  // CSS pixels from which a press is a drag
const MOST = 400;  // points of a stroke that are sent

export function place(element, picture, x, y) {
  element.style.left = `${100 * x / picture.dataset.width}%`;
  element.style.top = `${100 * y / picture.dataset.height}%`;
}

export function addMark(picture, text, [x, y], kind = "mark") {
  const label = Object.assign(make("span", text), { className: kind });
  place(label, picture, x + .5, y + .5);
  picture.append(label);
  return label;
}

export function addBox(picture, [x0, y0, x1, y1]) {
  const drawn = Object.assign(make("div"), { className: "drawn" });
  place(drawn, picture, x0, y0);
  drawn.style.width = `${100 * (x1 - x0) / picture.dataset.width}%`;
  drawn.style.height = `${100 * (y1 - y0) / picture.dataset.height}%`;
  picture.append(drawn);
  return drawn;
}

// A line through points of the picture; `kind` are classes: "closed" for an outline, "not" for what does not belong.
export function addLine(picture, points, kind = "") {
  const drawn = document.createElementNS(SVG, "svg");
  drawn.setAttribute("class", `line ${kind}`);
  drawn.setAttribute("viewBox", `0 0 ${picture.dataset.width} ${picture.dataset.height}`);
  drawn.setAttribute("preserveAspectRatio", "none");
  for (const layer of ["under", "over"]) {
    const line = document.createElementNS(SVG, kind.includes("closed") ? "polygon" : "polyline");
    line.setAttribute("points", points.map(([x, y]) => `${x + .5},${y + .5}`).join(" "));
    line.setAttribute("class", layer);
    drawn.append(line);
  }
  picture.append(drawn);
  return drawn;
}

// Calls `click([x, y], event)`, `drag([x0, y0, x1, y1])` or, where `tool()` is "scribble" or "lasso",
// `stroke(tool, points, event)`, in pixels of the picture; and `drop([x, y], field, position)` if what is at a point was
// dragged to a field that takes regions. With `keys` the picture has a cursor for the keyboard.
export function onPointing(picture, { click, drag, stroke, drop, tool = () => "point", keys = false }) {
  const width = Number(picture.dataset.width), height = Number(picture.dataset.height);
  let begin = null, drawn = null, carried = null, path = [];

  const inside = (value, size) => Math.min(Math.max(value, 0), size - 1);
  function inPicture(event) {
    const { left, top, width: wide, height: high } = picture.getBoundingClientRect();
    return [inside(Math.floor((event.clientX - left) / wide * width), width),
      inside(Math.floor((event.clientY - top) / high * height), height)];
  }
  function box(event) {
    return boxOf(inPicture(begin), inPicture(event));
  }
  const isDrag = event => Math.hypot(event.clientX - begin.clientX, event.clientY - begin.clientY) >= DRAG;
  function end() {
    drawn?.remove();
    carried?.remove();
    begin = drawn = carried = null;
  }

  picture.addEventListener("pointerdown", event => {
    if (begin || event.button === 1) return;
    begin = event;
    path = [inPicture(event)];
    picture.setPointerCapture(event.pointerId);
  });
  picture.addEventListener("pointermove", event => {
    if (!begin || event.pointerId !== begin.pointerId) return;
    carried?.remove();
    const field = drop && begin.button === 0 ? fieldUnder(event) : null;
    carried = field && carry(picture, path[0], event);
    if (field) {
      drawn?.remove();
      drawn = null;
      field.focus({ preventScroll: true });
      const position = positionIn(field, event);
      field.setSelectionRange(position, position);
      return;
    }
    const point = inPicture(event), [x, y] = path.at(-1);
    if (point[0] !== x || point[1] !== y) path.push(point);
    const kind = tool();
    if (begin.button !== 0 && kind === "point" || !(drawn || isDrag(event))) return;
    drawn?.remove();
    drawn = kind === "point" ? addBox(picture, box(event)) : addLine(picture, path, kind === "lasso" ? "closed" : "");
  });
  picture.addEventListener("pointerup", event => {
    if (!begin || event.pointerId !== begin.pointerId) return;
    const field = drop && begin.button === 0 ? fieldUnder(event) : null;
    if (field) {
      end();
      drop(path[0], field, positionIn(field, event));
      return;
    }
    const kind = tool(), first = begin, points = thinned(path);
    const isStroke = kind !== "point" && points.length >= (kind === "lasso" ? 3 : 2) && (drawn || isDrag(event));
    const whole = isStroke || kind !== "point" || first.button !== 0 || !isDrag(event) ? null : box(event);
    end();
    if (isStroke) stroke(kind, points, first);
    else if (whole) drag(whole);
    else click(points[0], first);
  });
  picture.addEventListener("pointercancel", end);
  picture.addEventListener("contextmenu", event => event.preventDefault());
  if (keys) withKeys(picture, { click, drag });
}

const boxOf = ([x0, y0], [x1, y1]) => [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1) + 1, Math.max(y0, y1) + 1];

const fieldUnder = ({ clientX, clientY }) => document.elementFromPoint(clientX, clientY)?.closest("input[data-regions]") ?? null;

// The place in a field's text that the pointer is at; its end where the browser does not tell.
function positionIn(field, { clientX, clientY }) {
  const found = document.caretPositionFromPoint?.(clientX, clientY);
  return found?.offsetNode === field ? found.offset : field.value.length;
}

// What is around a point of a picture, small.
export function cropAround(src, { width, height }, [x, y], side) {
  const crop = Object.assign(make("span"), { className: "crop" }), zoom = 3;
  const scale = side * zoom / Math.max(width, height);
  const offset = (place, size) => Math.min(0, Math.max(side - size * scale, side / 2 - place * scale));
  Object.assign(crop.style, {
    width: `${side}px`, height: `${side}px`, backgroundImage: `url(${JSON.stringify(src)})`,
    backgroundSize: `${width * scale}px ${height * scale}px`,
    backgroundPosition: `${offset(x, width)}px ${offset(y, height)}px`,
  });
  return crop;
}

function carry(picture, point, { clientX, clientY }) {
  const crop = cropAround(picture.querySelector("img").src, picture.dataset, point, 56);
  crop.classList.add("carried");
  Object.assign(crop.style, { left: `${clientX}px`, top: `${clientY}px` });
  document.body.append(crop);
  return crop;
}

// At most MOST points of a stroke, its ends among them.
function thinned(path) {
  if (path.length <= MOST) return path;
  return Array.from({ length: MOST }, (_, number) => path[Math.round(number * (path.length - 1) / (MOST - 1))]);
}

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// Arrows move a cursor (with Shift by one pixel), Enter clicks there, B marks the corners of a box.
function withKeys(picture, { click, drag }) {
  const width = Number(picture.dataset.width), height = Number(picture.dataset.height);
  let [x, y] = [width >> 1, height >> 1], corner = null;
  const cursor = Object.assign(make("div"), { className: "cursor" });
  picture.tabIndex = 0;
  picture.setAttribute("role", "application");
  picture.setAttribute("aria-label", `${picture.dataset.name}: arrow keys move the cursor, Enter selects the object there, ` +
    "Alt+Enter excludes it, B marks the two corners of a box");
  picture.addEventListener("focus", () => {
    if (!picture.matches(":focus-visible")) return;
    place(cursor, picture, x + .5, y + .5);
    picture.append(cursor);
  });
  picture.addEventListener("blur", () => cursor.remove());
  picture.addEventListener("keydown", event => {
    const step = STEPS[event.key], length = event.shiftKey ? 1 : Math.max(1, Math.round(Math.max(width, height) / 32));
    if (step) {
      x = Math.min(Math.max(x + step[0] * length, 0), width - 1);
      y = Math.min(Math.max(y + step[1] * length, 0), height - 1);
      place(cursor, picture, x + .5, y + .5);
      picture.append(cursor);
    } else if (event.key === "Enter" || event.key === " ") {
      click([x, y], event);
    } else if (event.key === "b" || event.key === "B") {
      if (corner) drag(boxOf(corner, [x, y]));
      corner = corner ? null : [x, y];
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  });
}
