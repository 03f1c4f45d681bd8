// A query's text: its things in order, and its regions with their pictures, places and masks.

// An escaped character, a phrase, or a region with its picture's name and its place or mask.
const PART = /\\.|\{((?:\\.|[^\\}])*)\}|\[((?:\\.|[^\\\]@#])*)(?:@([^\]]*)|#([^\]]*))\]/gsu;
export const unescaped = text => text.replace(/\\(.)/gsu, "$1");

// Words as a query has them inside of braces.
export const bracedWords = words => `{${words.replace(/[\\{}[\]]/g, "\\$&")}}`;
export const escaped = name => name.replace(/[\\{}[\]@#]/g, "\\$&");

// Its things: { text, start, end, phrase } or { ..., name, points, boxes, mask }.
export function thingsOf(query) {
  const found = [...query.matchAll(PART)].filter(([text]) => !text.startsWith("\\"));
  return found.map(({ 0: text, 1: phrase, 2: name, 3: place, 4: mask, index }) => ({
    text, start: index, end: index + text.length, phrase,
    ...(name === undefined ? {} : { name: unescaped(name), mask: mask && unescaped(mask), ...placesOf(place ?? "") }),
  }));
}

// Points and boxes of "x,y;x,y" or "x0,y0,x1,y1"; what is no number yet is left out while it is typed.
function placesOf(text) {
  const places = text.split(";").map(one => one.split(",").map(Number)).filter(one => one.every(Number.isFinite));
  return { points: places.filter(one => one.length === 2), boxes: places.filter(one => one.length === 4) };
}

// The regions of a query by the number of their thing, counted from 1.
export const regionsOf = query => thingsOf(query).flatMap((thing, number) =>
  thing.name === undefined ? [] : [{ ...thing, number: number + 1 }]);

// Names of the pictures and masks that queries need.
export const namesIn = queries => [...new Set(queries.flatMap(regionsOf).flatMap(({ name, mask }) => mask ? [name, mask] : [name]))];

// The place in a query with braces that a place in its plain words is, never inside of a thing.
export function placeIn(read, position) {
  let words = 0, isInside = false;
  for (let place = 0; place < read.length; place++) {
    if (words >= position && !isInside) return place;
    if (read[place] === "{") isInside = true;
    else if (read[place] === "}") isInside = false;
    else {
      if (read[place] === "\\") place++;
      words++;
    }
  }
  return read.length;
}
