// All masks of a photo on one canvas, no larger than a screen shows: photos of 12 megapixels have dozens of objects.

import { decode } from "../page/masks.js";

const SIDE = 1024;
const kept = new Map();  // a mask's code -> what `reduce` gave; the last ones
const KEPT = 200;

// A mask at the size that is painted, and where its middle is in the photo.
function reduce(segmentation) {
  const key = segmentation.counts;
  if (kept.has(key)) return kept.get(key);
  const [high, wide] = segmentation.size, scale = Math.min(1, SIDE / Math.max(high, wide));
  const width = Math.max(1, Math.round(wide * scale)), height = Math.max(1, Math.round(high * scale));
  const whole = decode(segmentation), mask = new Uint8Array(width * height);
  let count = 0, sumX = 0, sumY = 0;
  for (let y = 0; y < height; y++) {
    const row = Math.floor((y + .5) / height * high) * wide;
    for (let x = 0; x < width; x++) {
      const inside = whole[row + Math.floor((x + .5) / width * wide)];
      mask[y * width + x] = inside;
      if (inside) count++, sumX += x, sumY += y;
    }
  }
  const middle = count ? [sumX / count / width * wide, sumY / count / height * high] : [0, 0];
  const found = { width, height, mask, middle };
  if (kept.size >= KEPT) kept.delete(kept.keys().next().value);
  kept.set(key, found);
  return found;
}

export const middle = ({ segmentation }) => reduce(segmentation).middle;

// Layers { segmentation, color, isSelected } on a canvas; the selected one lies on top, with a white rim.
export function paint(layers) {
  const { width, height } = reduce(layers[0].segmentation);
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height), pixels = image.data;
  const line = Math.max(1, Math.round(Math.max(width, height) / 350));
  for (const layer of [...layers].sort((one, other) => one.isSelected - other.isSelected)) {
    const { mask } = reduce(layer.segmentation);
    const rgb = [1, 3, 5].map(at => parseInt(layer.color.slice(at, at + 2), 16));
    const rim = layer.isSelected ? 2 * line : line;
    for (let y = 0, pixel = 0; y < height; y++) {
      for (let x = 0; x < width; x++, pixel++) {
        if (!mask[pixel]) continue;
        const isRim = x < rim || x >= width - rim || y < rim || y >= height - rim || !mask[pixel - rim] ||
          !mask[pixel + rim] || !mask[pixel - rim * width] || !mask[pixel + rim * width];
        const color = isRim && layer.isSelected ? [255, 255, 255] : rgb;
        pixels.set(color, 4 * pixel);
        pixels[4 * pixel + 3] = isRim ? 255 : layer.isSelected ? 130 : 70;
      }
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}
