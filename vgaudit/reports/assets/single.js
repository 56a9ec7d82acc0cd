// Filter the clips of a report in one file by their text. Without this script all rows are shown.
"use strict";

(() => {
  const table = document.getElementById("clip-table");
  const bar = document.querySelector("[data-find]");
  if (!table || !bar) return;
  document.documentElement.classList.add("js");
  const rows = Array.from(table.tBodies[0].rows, (row) => ({ row, text: row.textContent.toLowerCase() }));
  const shown = bar.querySelector(".shown");
  const search = bar.querySelector("input");

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let kept = 0;
    for (const { row, text } of rows) {
      row.hidden = !words.every((word) => text.includes(word));
      kept += row.hidden ? 0 : 1;
    }
    shown.textContent = kept === rows.length ? `${kept} clips` : `${kept} of ${rows.length} clips`;
  }

  search.addEventListener("input", filter);
  bar.hidden = false;
  filter();
})();
