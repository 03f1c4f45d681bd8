// Masks as the service tells them, COCO's compressed run-length codes, and drawn.

// Those of the service's pictures (PALETTE in find/visualization/drawing.py).
export const COLORS = ["#e63957", "#2176ff", "#f79e1b", "#8e44c8", "#12a394", "#ec50b4", "#6e8c14", "#78543c"];

// One byte for each pixel, row by row: 1 in the mask. The code counts down the columns.
export function decode({ size: [height, width], counts }) {
  const runs = [];
  for (let next = 0; next < counts.length;) {
    let run = 0, shift = 0, code;
    do {
      code = counts.charCodeAt(next++) - 48;
      run |= (code & 31) << shift;
      shift += 5;
    } while (code & 32);
    if (code & 16 && shift < 32) run |= -1 << shift;
    runs.push(runs.length > 2 ? run + runs[runs.length - 2] : run);
  }
  const mask = new Uint8Array(width * height);
  let pixel = 0;
  runs.forEach((run, number) => {
    for (const end = pixel + run; pixel < end; pixel++) {
      if (number % 2) mask[(pixel % height) * width + Math.floor(pixel / height)] = 1;
    }
  });
  return mask;
}

export function canvasOf({ size: [height, width] }) {
  return Object.assign(document.createElement("canvas"), { width, height });
}

// A color as a canvas stores it, in one number.
export const pack = (...rgba) => new Uint32Array(new Uint8Array(rgba).buffer)[0];

// Calls `colorOf` for each pixel; an array for each would take a second in a photo of 12 megapixels.
export function paint(canvas, colorOf) {
  const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let pixel = 0; pixel < pixels.length; pixel++) pixels[pixel] = colorOf(pixel);
  context.putImageData(image, 0, 0);
  return canvas;
}

// The mask over its picture: tinted, with an opaque rim.
export function overlay(segmentation, color) {
  const mask = decode(segmentation), canvas = canvasOf(segmentation), { width, height } = canvas;
  const rgb = [1, 3, 5].map(at => parseInt(color.slice(at, at + 2), 16));
  const rim = pack(...rgb, 255), tint = pack(...rgb, 110);
  const line = Math.max(1, Math.round(Math.max(width, height) / 300));
  const isRim = pixel => {
    const x = pixel % width, y = (pixel - x) / width;
    return x >= line && !mask[pixel - line] || x + line < width && !mask[pixel + line] ||
      y >= line && !mask[pixel - line * width] || y + line < height && !mask[pixel + line * width];
  };
  return paint(canvas, pixel => mask[pixel] ? isRim(pixel) ? rim : tint : 0);
}
