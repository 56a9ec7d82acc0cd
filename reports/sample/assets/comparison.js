// Choose the group that the others are compared with. Without this script it is the first, and all pairs stand in tables.
"use strict";

(() => {
  const choice = document.getElementById("reference-group");
  if (!choice) return;
  document.documentElement.classList.add("js");
  const parts = Array.from(document.querySelectorAll(".against[data-reference]"));
  const status = document.getElementById("reference-status");
  choice.addEventListener("change", () => {
    for (const part of parts) part.hidden = part.dataset.reference !== choice.value;
    status.textContent = `Differences are now from ${choice.selectedOptions[0].textContent}.`;
  });
})();
