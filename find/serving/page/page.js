// Two modes, one at a time; the address tells which one, and what it shows.

import { remember, told } from "./address.js";
import { at } from "./common.js";
import * as search from "./search.js";
import * as segment from "./segment.js";

const MODES = { search, segment };

function enter(mode) {
  for (const one of Object.keys(MODES)) {
    at(one).hidden = one !== mode;
    at(`to-${one}`).setAttribute("aria-pressed", one === mode);
  }
}

function restore() {
  const mode = told().get("mode") === "segment" ? "segment" : "search";
  enter(mode);
  MODES[mode].restore(told());
}

for (const mode of Object.keys(MODES)) {
  at(`to-${mode}`).addEventListener("click", () => {
    enter(mode);
    if (mode === "segment") segment.begin();
    else if (!at("hits").children.length) search.restore(new URLSearchParams());
    remember(MODES[mode].told());
  });
}
search.onSegment(picture => {
  enter("segment");
  segment.openPicture(picture);
});
addEventListener("popstate", restore);
restore();

// Pictures can be dropped on the page, or pasted.
const shownMode = () => at("search").hidden ? segment : search;
addEventListener("dragover", event => event.dataTransfer.types.includes("Files") && event.preventDefault());
addEventListener("drop", event => {
  if (!event.dataTransfer.files.length) return;
  event.preventDefault();
  shownMode().addFiles([...event.dataTransfer.files]);
});
addEventListener("paste", event => {
  const files = [...event.clipboardData.files];
  if (!files.length) return;
  event.preventDefault();
  shownMode().addFiles(files);
});
