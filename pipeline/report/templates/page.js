"use strict";
// Sort a table by a column: click on its head, or press Enter there.
const sortKey = (row, at) => {
  const cell = row.cells[at];
  return cell.dataset.key === undefined ? cell.textContent : Number(cell.dataset.key);
};
const compareKeys = (a, b) =>
  typeof a === typeof b ? (typeof a === "number" ? (isNaN(a) ? 1 : isNaN(b) ? -1 : a - b) : a.localeCompare(b)) : typeof a === "number" ? -1 : 1;
for (const table of document.querySelectorAll("table.sortable")) {
  table.querySelectorAll("thead th").forEach((head, at) => {
    const button = document.createElement("button");
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const upwards = head.getAttribute("aria-sort") !== "ascending";
      for (const other of table.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", upwards ? "ascending" : "descending");
      const body = table.tBodies[0];
      const rows = [...body.rows].sort((a, b) => compareKeys(sortKey(a, at), sortKey(b, at)) * (upwards ? 1 : -1));
      body.append(...rows);
    });
  });
}
// Tell what stands at the point of a figure that the pointer is next to.
const told = document.getElementById("told");
const NEAR = 14;
for (const image of document.querySelectorAll("img[data-points]")) {
  const points = JSON.parse(image.dataset.points);
  const tell = (event) => {
    const box = image.getBoundingClientRect();
    let best = null, least = NEAR;
    for (const [x, y, text] of points) {
      const away = Math.hypot(box.left + x * box.width - event.clientX, box.top + y * box.height - event.clientY);
      if (away < least) [best, least] = [text, away];
    }
    told.hidden = best === null;
    if (best === null) return;
    told.textContent = best;
    told.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - told.offsetWidth - 4)) + "px";
    told.style.top = (event.clientY + told.offsetHeight + 24 > innerHeight ? event.clientY - told.offsetHeight - 10 : event.clientY + 14) + "px";
  };
  image.addEventListener("pointermove", tell);
  image.addEventListener("pointerdown", tell);
  image.addEventListener("pointerleave", () => { told.hidden = true; });
}
// Open what a link leads to.
const openTarget = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  const part = target && target.closest("details");
  if (part) { part.open = true; target.scrollIntoView(); }
};
addEventListener("hashchange", openTarget);
openTarget();
for (const nav of document.querySelectorAll("nav")) {
  const button = document.createElement("button");
  const parts = () => [...document.querySelectorAll("details.part")];
  const name = () => { button.textContent = parts().every((part) => part.open) ? "Close all" : "Open all"; };
  button.addEventListener("click", () => {
    const open = !parts().every((part) => part.open);
    for (const part of parts()) part.open = open;
    name();
  });
  for (const part of parts()) part.addEventListener("toggle", name);
  name();
  nav.append(button);
  for (const link of nav.querySelectorAll("a")) link.addEventListener("click", () => setTimeout(openTarget));
}
