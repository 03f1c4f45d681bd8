// What was found in a picture as a list, with its files to download.

import { at, make, makeButton } from "./common.js";
import { saveCoco, savePng, saveSvg } from "./downloads.js";
import { COLORS } from "./masks.js";

export function drawThings(picture, things) {
  const found = things.filter(({ box }) => box !== null);
  const stem = picture?.name.replace(/.*\//, "").replace(/\.[^.]*$/, "");
  at("things").replaceChildren(...things.map(thing => line(thing, found.indexOf(thing), stem)));
  at("downloads").hidden = !found.length;
  if (!found.length) return;
  at("save-coco").onclick = () => saveCoco(picture, found, `${stem}.json`);
  at("save-svg").onclick = () => saveSvg(picture, found, `${stem}.svg`);
}

const ABSENT = .5;  // as for the service (find/visualization/uncertainty.py)
export const isAbsent = thing => thing.box === null || typeof thing.present === "number" && thing.present < ABSENT;

// A thing's color, name and score; `number` is its place among those that have a mask.
function line(thing, number, stem) {
  const item = make("li");
  const present = typeof thing.present === "number" ? `, present with probability ${thing.present.toFixed(2)}` : "";
  const told = number < 0 ? "nothing found" : `score ${thing.score.toFixed(2)}${present}`;
  if (number >= 0) {
    const color = make("i");
    color.style.background = COLORS[number % COLORS.length];
    item.append(color);
  }
  const name = make("span", `${thing.text}: ${told}`);
  if (number >= 0 && thing.doubtful) name.append(", ", make("strong", isAbsent(thing) ? "probably not there" : "doubtful"));
  item.append(name);
  if (number >= 0) {
    const save = makeButton("PNG", () => savePng(thing.segmentation, `${stem}-mask-${number + 1}.png`));
    save.setAttribute("aria-label", `PNG of the mask of ${thing.text}, number ${number + 1}`);
    item.append(save);
  }
  return item;
}
