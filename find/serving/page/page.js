// Two modes, one at a time.

import { at } from "./common.js";
import "./search.js";
import { begin } from "./segment.js";

const MODES = ["search", "segment"];
let isNew = true;

function enter(mode) {
  for (const one of MODES) {
    at(one).hidden = one !== mode;
    at(`to-${one}`).setAttribute("aria-pressed", one === mode);
  }
  if (mode === "segment" && isNew) {
    isNew = false;
    begin();
  }
}

for (const mode of MODES) at(`to-${mode}`).addEventListener("click", () => enter(mode));
