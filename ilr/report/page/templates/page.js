// What needs a script: filtering by text, sorting, downloads. Without it the page is whole, and filters by verdict and group.
"use strict";
const all = (query, inside = document) => [...inside.querySelectorAll(query)];
const search = document.getElementById("search");
const order = document.getElementById("order");
const count = document.getElementById("count");
const rows = all("table.verdicts > tbody > tr");

for (const hidden of all(".scripted")) hidden.hidden = false;

function filter() {
  const wanted = search.value.trim().toLowerCase();
  for (const row of rows) {
    const section = document.querySelector(`section.claim[data-claim="${row.dataset.claim}"]`);
    const told = [row, section].map((one) => one.textContent.toLowerCase());
    const matches = !wanted || told.some((text) => text.includes(wanted));
    for (const one of all(`[data-claim="${row.dataset.claim}"]`)) one.classList.toggle("unmatched", !matches);
  }
  const shown = rows.filter((row) => getComputedStyle(row).display !== "none").length;
  count.textContent = `${shown} of ${rows.length} shown`;
}

function sort() {
  const key = order.value === "number" ? "claim" : order.value;
  const sorted = [...rows].sort((one, other) => one.dataset[key] - other.dataset[key] || one.dataset.claim - other.dataset.claim);
  document.querySelector("table.verdicts > tbody").append(...sorted);
}

// The figure as a file of its own: its panels side by side, with their own colours in place of the page's.
function drawing(figure) {
  const panels = figure.querySelector(".panels");
  const [, , width, height] = panels.dataset.view.split(" ");
  const inner = all(":scope > svg", panels).map((svg) => new XMLSerializer().serializeToString(svg));
  const bare = inner.map((text) => text.replace(/^<svg[^>]*>|<\/svg>$/g, "").replace(/var\([^,()]*,([^()]*)\)/g, "$1"));
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="${panels.dataset.view}" font-family="sans-serif">`
    + `<rect width="100%" height="100%" fill="#ffffff"/>${bare.join("")}</svg>\n`;
}

// A table of points names each line once, and gives its points in a row.
function whole(table) {
  let name = "";
  return table.split("\n").flatMap((line) => {
    if (!line.startsWith("=")) return name ? line.split(" ").map((point) => `${name},${point}`) : [line];
    name = line.slice(1);
    return [];
  }).join("\n");
}

function save(button) {
  const name = button.dataset.save;
  const isDrawing = name.endsWith(".svg");
  const around = button.closest("figure") ?? button.closest("section");
  const template = isDrawing ? null : all("template.csv", around).find((one) => one.parentElement === button.closest(".scripted").parentElement);
  const told = template?.content.textContent;
  const text = isDrawing ? drawing(around) : template.matches(".points") ? whole(told) : told;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: isDrawing ? "image/svg+xml" : "text/csv" }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

search.addEventListener("input", filter);
order.addEventListener("change", sort);
document.querySelector(".filters").addEventListener("change", filter);
document.querySelector(".filters").addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-save]");
  if (button) save(button);
});
filter();
