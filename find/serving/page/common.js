// What both modes use: requests, elements, pictures that were added, clicks and drags in a picture.

export const at = id => document.getElementById(id);
export const make = (tag, text) => Object.assign(document.createElement(tag), text === undefined ? {} : { textContent: text });

export function say(id, text, wrong = false) {
  at(id).textContent = text;
  at(id).classList.toggle("error", wrong);
}

export async function ask(path, body) {
  const answer = await fetch(path, body && {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.error);
  return told;
}

// An image of the album; queries cannot refer to frames of videos.
export const stored = hit => ({ src: hit.picture.slice(1), name: hit.name, width: hit.width, height: hit.height,
  asks: hit.seconds === null });
export const title = hit => hit.seconds === null ? hit.name : `${hit.name} at ${hit.seconds.toFixed(1)} s`;

// A picture file of the user's: { url, width, height }; an error that names a file which is not one.
export async function read(file) {
  const url = await new Promise((done, fail) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => fail(reader.error);
    reader.readAsDataURL(file);
  });
  const picture = Object.assign(new Image(), { src: url });
  try {
    await picture.decode();
  } catch {
    throw new Error(`${file.name}: this browser cannot show it as a picture; try JPEG or PNG`);
  }
  return { url, width: picture.naturalWidth, height: picture.naturalHeight };
}

export function pictureOf({ src, name, width, height }) {
  const picture = Object.assign(make("div"), { className: "picture" });
  Object.assign(picture.dataset, { name, width, height });
  picture.append(Object.assign(make("img"), { src, alt: name, draggable: false }));
  return picture;
}

// A picture whole in a square cell.
export function inSquare(picture) {
  const { width, height } = picture.dataset, cell = Object.assign(make("div"), { className: "cell" });
  picture.style.width = `${100 * Math.min(1, width / height)}%`;
  picture.style.height = `${100 * Math.min(1, height / width)}%`;
  cell.append(picture);
  return cell;
}

export function place(element, picture, x, y) {
  element.style.left = `${100 * x / picture.dataset.width}%`;
  element.style.top = `${100 * y / picture.dataset.height}%`;
}

export function addMark(picture, text, [x, y], kind = "mark") {
  const label = Object.assign(make("span", text), { className: kind });
  place(label, picture, x + .5, y + .5);
  picture.append(label);
}

export function addBox(picture, [x0, y0, x1, y1]) {
  const drawn = Object.assign(make("div"), { className: "drawn" });
  place(drawn, picture, x0, y0);
  drawn.style.width = `${100 * (x1 - x0) / picture.dataset.width}%`;
  drawn.style.height = `${100 * (y1 - y0) / picture.dataset.height}%`;
  picture.append(drawn);
  return drawn;
}

const DRAG = 6;  // CSS pixels from which a press is a drag

// Calls `click([x, y], event)` or `drag([x0, y0, x1, y1])`, in pixels of the picture, for what a pointer does in it.
export function onPointing(picture, { click, drag }) {
  const width = Number(picture.dataset.width), height = Number(picture.dataset.height);
  let begin = null, drawn = null;

  function inPicture(event) {
    const { left, top, width: wide, height: high } = picture.getBoundingClientRect();
    const x = Math.floor((event.clientX - left) / wide * width), y = Math.floor((event.clientY - top) / high * height);
    return [Math.min(Math.max(x, 0), width - 1), Math.min(Math.max(y, 0), height - 1)];
  }
  function box(event) {
    const [x0, y0] = inPicture(begin), [x1, y1] = inPicture(event);
    return [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1) + 1, Math.max(y0, y1) + 1];
  }
  const isDrag = event => Math.hypot(event.clientX - begin.clientX, event.clientY - begin.clientY) >= DRAG;
  function end() {
    drawn?.remove();
    begin = drawn = null;
  }

  picture.addEventListener("pointerdown", event => {
    if (begin || event.button === 1) return;
    begin = event;
    picture.setPointerCapture(event.pointerId);
  });
  picture.addEventListener("pointermove", event => {
    if (!begin || event.pointerId !== begin.pointerId || begin.button !== 0 || !(drawn || isDrag(event))) return;
    drawn?.remove();
    drawn = addBox(picture, box(event));
  });
  picture.addEventListener("pointerup", event => {
    if (!begin || event.pointerId !== begin.pointerId) return;
    if (begin.button === 0 && isDrag(event)) drag(box(event));
    else click(inPicture(begin), begin);
    end();
  });
  picture.addEventListener("pointercancel", end);
  picture.addEventListener("contextmenu", event => event.preventDefault());
}
