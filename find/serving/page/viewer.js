// One hit large, in a dialog: its picture with what was taken, or its film from a moment on.

import { at, large, make, makeButton, plain, sharp, stored, title } from "./common.js";
import { drawPairs, momentButtons, scoreParts } from "./hits.js";
import { onPointing } from "./pointing.js";

let groups = [], number = 0, doing = {};

// Shows a moment of group `which` of `all`; `actions.join(picture, place)` adds a region to the query and
// `actions.segment(picture)` goes on with the picture.
export function openViewer(all, which, moment, actions) {
  [groups, number, doing] = [all, which, actions];
  show(moment);
  if (!at("viewer").open) at("viewer").showModal();
}

function show(moment) {
  const { moments } = groups[number], photo = moment.seconds === null;
  at("viewer-title").textContent = title(moment);
  at("viewer-stage").replaceChildren(photo ? still(moment) : film(moment));
  at("viewer-moments").replaceChildren(...momentButtons(moments, show));
  at("viewer-parts").replaceChildren(...(moment.entities ? [scoreParts(moment)] : []));
  at("viewer-segment").hidden = !photo;
  at("viewer-segment").onclick = () => {
    at("viewer").close();
    doing.segment({ ...stored(moment), src: plain(stored(moment).src) });
  };
  at("viewer-previous").disabled = number === 0;
  at("viewer-next").disabled = number === groups.length - 1;
}

function still(moment) {
  const shown = stored(moment), picture = large(shown, sharp(shown), 60);
  if (moment.connections) drawPairs(picture, moment);
  if (moment.seconds !== null) return picture;
  picture.classList.add("asks");
  const joined = place => {
    at("viewer").close();
    doing.join(shown, place);
  };
  onPointing(picture, { click: joined, drag: joined, keys: true });
  return picture;
}

// The film from the moment on; its frame where the browser cannot play it.
function film(moment) {
  const box = make("div"), player = make("video"), { width, height } = moment;
  player.style.width = `min(100%, ${(60 * width / height).toFixed(2)}vh)`;
  Object.assign(player, { controls: true, muted: true, preload: "auto" });
  player.setAttribute("aria-label", `${moment.name} from ${moment.seconds.toFixed(1)} s`);
  player.addEventListener("loadedmetadata", () => {
    player.currentTime = moment.seconds;
    player.play().catch(() => {});  // the controls are there
  });
  player.addEventListener("error", () => {
    box.replaceChildren(still(moment), make("p", "This browser cannot play the film; this is its frame."));
  });
  player.src = `videos/${moment.name.split("/").map(encodeURIComponent).join("/")}`;
  box.append(player);
  return box;
}

function move(step) {
  if (!groups[number + step]) return;
  number += step;
  show(groups[number].hit);
}

at("viewer-previous").addEventListener("click", () => move(-1));
at("viewer-next").addEventListener("click", () => move(1));
at("viewer-close").addEventListener("click", () => at("viewer").close());
at("viewer").addEventListener("keydown", event => {
  if (event.target.matches("video, input")) return;
  if (event.key === "ArrowLeft") move(-1);
  if (event.key === "ArrowRight") move(1);
});
at("viewer").addEventListener("close", () => {
  at("viewer-stage").replaceChildren();  // ends a film
  if (!document.activeElement?.matches("input")) document.querySelectorAll("#hits .open")[number]?.focus();
});
