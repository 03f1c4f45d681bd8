// Masks as files: PNG, COCO JSON, and SVG with their exact outlines.

import { COLORS, canvasOf, decode, pack, paint } from "./masks.js";

function save(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function painted(segmentation) {
  const mask = decode(segmentation), white = pack(255, 255, 255, 255), black = pack(0, 0, 0, 255);
  return paint(canvasOf(segmentation), pixel => mask[pixel] ? white : black);
}

// The mask as a PNG of the picture's size: white in it, black elsewhere.
export const savePng = (segmentation, name) => painted(segmentation).toBlob(blob => save(blob, name), "image/png");
export const pngOf = segmentation => painted(segmentation).toDataURL("image/png");

// The things of one picture as a COCO file of instances, with compressed run-length codes.
export function saveCoco(picture, things, name) {
  const names = [...new Set(things.map(thing => thing.text))];
  const annotations = things.map(({ text, score, box: [x0, y0, x1, y1], segmentation }, number) => ({
    id: number + 1, image_id: 1, category_id: names.indexOf(text) + 1, segmentation, score, iscrowd: 0,
    bbox: [x0, y0, x1 - x0, y1 - y0], area: decode(segmentation).reduce((sum, pixel) => sum + pixel, 0),
  }));
  const whole = {
    images: [{ id: 1, file_name: picture.name, width: picture.width, height: picture.height }],
    categories: names.map((one, number) => ({ id: number + 1, name: one })),
    annotations,
  };
  save(new Blob([JSON.stringify(whole)], { type: "application/json" }), name);
}

// The outlines along the pixels' edges as the data of an SVG path; holes by the rule "evenodd".
export function outline(segmentation) {
  const { size: [height, width] } = segmentation, mask = decode(segmentation);
  const inside = (x, y) => x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x] === 1;
  const next = new Map(), key = (x, y) => y * (width + 1) + x;  // a corner -> the corners that edges lead to from it
  const edge = (from, to) => next.has(from) ? next.get(from).push(to) : next.set(from, [to]);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!inside(x, y)) continue;
      if (!inside(x, y - 1)) edge(key(x, y), key(x + 1, y));
      if (!inside(x + 1, y)) edge(key(x + 1, y), key(x + 1, y + 1));
      if (!inside(x, y + 1)) edge(key(x + 1, y + 1), key(x, y + 1));
      if (!inside(x - 1, y)) edge(key(x, y + 1), key(x, y));
    }
  }
  const loops = [];
  for (const start of next.keys()) {
    while (next.get(start).length) {
      const corners = [];
      let before = null, corner = start;
      do {
        const following = next.get(corner).pop();
        if (before === null || following - corner !== corner - before) corners.push(corner);  // no straight ones
        [before, corner] = [corner, following];
      } while (next.get(corner).length);
      const points = corners.map(one => `${one % (width + 1)} ${Math.floor(one / (width + 1))}`);
      loops.push(`M${points.join("L")}Z`);
    }
  }
  return loops.join("");
}

const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const escape = text => text.replace(/[&<>"]/g, one => ESCAPES[one]);

export function saveSvg(picture, things, name) {
  const paths = things.map(({ text, segmentation }, number) => {
    const color = COLORS[number % COLORS.length];
    return `<path fill="${color}" fill-opacity=".5" stroke="${color}" fill-rule="evenodd" d="${outline(segmentation)}">` +
      `<title>${escape(text)}</title></path>`;
  });
  const { width, height } = picture;
  const whole = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">\n` +
    `${paths.join("\n")}\n</svg>\n`;
  save(new Blob([whole], { type: "image/svg+xml" }), name);
}
