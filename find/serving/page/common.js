// What all of the page uses: elements, messages, requests.

const SMALL = 480;  // pixels of the longer side of the pictures that answers name
export const at = id => document.getElementById(id);
export const make = (tag, text) => Object.assign(document.createElement(tag), text === undefined ? {} : { textContent: text });

export function makeButton(text, click) {
  const button = Object.assign(make("button", text), { type: "button" });
  button.addEventListener("click", click);
  return button;
}

// Puts a word into a field's text, at its cursor (in the place of what is selected there) or at a position.
export function insert(field, word, position = null) {
  const [start, end] = position === null ? [field.selectionStart, field.selectionEnd] : [position, position];
  const before = `${field.value.slice(0, start).trimEnd()} ${word}`.trimStart();
  field.value = `${before} ${field.value.slice(end).trimStart()}`.trimEnd();
  field.focus({ preventScroll: true });
  field.setSelectionRange(before.length, before.length);
}

export function say(id, text, wrong = false) {
  at(id).textContent = text;
  at(id).classList.toggle("error", wrong);
}

// The answer to a request; an error has the service's line as its message, and HTTP's status.
export async function ask(path, body) {
  const answer = await fetch(path, body && {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const told = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(told.error), { status: answer.status });
  return told;
}

// An image of the album, as `pictureOf` takes it.
export const stored = hit => ({ src: hit.picture.slice(1), name: hit.name, width: hit.width, height: hit.height,
  seconds: hit.seconds });
export const plain = src => src.split("&")[0];  // the picture without what was found in it
export const clock = seconds => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
export const title = hit => hit.seconds === null ? hit.name : `${hit.name} at ${hit.seconds.toFixed(1)} s`;

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

// Where an image of the album comes from in its own size, but not smaller than its small picture, nor very large.
export function sharp({ src, width, height }) {
  const side = Math.min(1280, Math.max(width, height));
  return side > SMALL ? `${src}&side=${side}` : src;
}

// A picture as large as `share` percent of the window's height allow; until it has come, the small one is shown.
export function large(image, src, share) {
  const picture = pictureOf({ ...image, src }), { width, height } = picture.dataset;
  picture.firstChild.fetchPriority = "high";  // before those that are scrolled to
  picture.style.background = `center / 100% 100% url(${JSON.stringify(image.src)})`;
  picture.style.width = `min(100%, ${(share * width / height).toFixed(2)}vh)`;
  picture.style.aspectRatio = `${width} / ${height}`;
  return picture;
}
