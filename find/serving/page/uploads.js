// Pictures and masks that are not the album's: sent once, then known to the service by a handle.

import { ask } from "./common.js";

const uploads = new Map();  // name -> { src (a data URL), width, height, handle (a promise) }
const masks = new Map();  // name -> data URL of a PNG

export const isUpload = name => uploads.has(name);
export const uploadOf = name => ({ name, seconds: null, ...uploads.get(name) });

// A picture file of the user's under a new name; an error that names a file which is not one.
export async function addUpload(file) {
  const src = await new Promise((done, fail) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => fail(reader.error);
    reader.readAsDataURL(file);
  });
  const picture = Object.assign(new Image(), { src });
  try {
    await picture.decode();
  } catch {
    throw new Error(`${file.name}: this browser cannot show it as a picture; try JPEG or PNG`);
  }
  const name = nameOf(file, src);
  if (!uploads.has(name)) uploads.set(name, { src, width: picture.naturalWidth, height: picture.naturalHeight });
  return uploadOf(name);
}

export function addMask(src) {
  const name = `selection-${masks.size + 1}`;
  masks.set(name, src);
  return name;
}

// A file's name without what a query would read as syntax, and never that of an image of the album, which has a dot.
function nameOf(file, src) {
  const stem = file.name.replace(/\.[^.]*$/, "").replace(/[^\p{L}\p{N}_-]+/gu, "-").replace(/^-+|-+$/g, "") || "picture";
  let name = stem;
  for (let number = 2; uploads.has(name) && uploads.get(name).src !== src; number++) name = `${stem}-${number}`;
  return name;
}

// What stands for an upload in a request. One that is too large to be kept goes with each request.
function handleOf(name) {
  const upload = uploads.get(name);
  upload.handle ??= ask("pictures", { image: upload.src }).then(kept => kept.picture, error => {
    upload.handle = undefined;
    if (error.status === 413) return upload.src;
    throw error;
  });
  return upload.handle;
}

// Asks about a picture (`subject`) and those that a query names; they are sent again if the service has forgotten them.
export async function askAbout(path, body, { subject = null, named = [] }) {
  for (let attempt = 1; ; attempt++) {
    const whole = { ...body }, images = {};
    if (subject !== null) Object.assign(whole, isUpload(subject) ? { image: await handleOf(subject) } : { name: subject });
    for (const name of named) {
      if (isUpload(name)) images[name] = await handleOf(name);
      if (masks.has(name)) images[name] = masks.get(name);
    }
    if (Object.keys(images).length) whole.images = images;
    try {
      return await ask(path, whole);
    } catch (error) {
      if (error.status !== 410 || attempt > 1) throw error;
      uploads.forEach(upload => upload.handle = undefined);
    }
  }
}
