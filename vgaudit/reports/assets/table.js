// Filter, sort, page through and preview the clips of the overview. Without this script all rows are shown.
"use strict";

(() => {
  const PAGE = 50;
  const table = document.getElementById("clip-table");
  if (!table) return;
  document.documentElement.classList.add("js");
  const body = table.tBodies[0];
  const bar = document.querySelector(".filters");
  const pager = document.querySelector(".pager");
  const shown = bar.querySelector(".shown");
  const order = { hold: 0, none: 1, review: 2, publish: 3, problem: 0, ok: 1 };

  const rows = Array.from(body.rows, (row, plan) => ({
    row,
    plan,
    text: row.querySelector(".clip").textContent.toLowerCase(),
    group: Number(row.dataset.group),
    severity: Number(row.dataset.severity),
    count: Number(row.dataset.count),
    state: row.dataset.state,
    values: row.dataset.values.split("|").map((v) => (v === "" ? null : Number(v))),
  }));
  let visible = rows;
  let page = 0;
  let sort = { key: null, down: false };

  const empty = document.createElement("tr");
  empty.className = "empty-row";
  const cell = empty.insertCell();
  cell.colSpan = table.tHead.rows[0].cells.length;
  cell.textContent = "No clip matches these filters.";

  function key(item) {
    if (sort.key === "group") return item.group;
    if (sort.key === "state") return order[item.state];
    if (sort.key === "severity") return item.severity * 1e6 + item.count;
    return item.values[Number(sort.key)];
  }

  function compare(a, b) {
    if (sort.key !== null && sort.key !== "plan") {
      const x = key(a);
      const y = key(b);
      if (x === null || y === null) {
        if (x !== y) return x === null ? 1 : -1; // what was not computed stays last in both directions
      } else if (x !== y) {
        return (x < y ? -1 : 1) * (sort.down ? -1 : 1);
      }
      return a.plan - b.plan;
    }
    return (a.plan - b.plan) * (sort.down ? -1 : 1);
  }

  function value(name) {
    const field = bar.querySelector(`[data-filter="${name}"]`);
    return field ? field.value : "";
  }

  function filter() {
    const words = value("text").toLowerCase().split(/\s+/).filter(Boolean);
    const group = value("group");
    const severity = value("severity");
    const state = value("state");
    visible = rows.filter(
      (r) =>
        words.every((w) => r.text.includes(w)) &&
        (group === "" || r.group === Number(group)) &&
        (severity === "" || (severity === "none" ? r.severity === 0 : r.severity >= Number(severity))) &&
        (state === "" || r.state === state),
    );
    visible.sort(compare);
    page = 0;
    show();
  }

  function show() {
    const pages = Math.max(1, Math.ceil(visible.length / PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    const first = page * PAGE;
    const onPage = visible.slice(first, first + PAGE);
    const chosen = new Set(onPage);
    for (const r of rows) r.row.hidden = !chosen.has(r);
    body.append(...onPage.map((r) => r.row));
    if (visible.length === 0) body.append(empty);
    else empty.remove();
    shown.textContent =
      visible.length === rows.length ? `${rows.length} clips` : `${visible.length} of ${rows.length} clips`;
    pager.hidden = pages === 1;
    position.textContent = `${first + 1} to ${first + onPage.length} of ${visible.length}`;
    back.disabled = page === 0;
    forward.disabled = page === pages - 1;
  }

  function button(label, action) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = label;
    made.addEventListener("click", action);
    return made;
  }

  function turn(step) {
    page += step;
    show();
    table.scrollIntoView({ block: "start" });
  }
  const back = button("Previous", () => turn(-1));
  const forward = button("Next", () => turn(1));
  const position = document.createElement("span");
  pager.append(back, position, forward);

  for (const head of table.tHead.querySelectorAll("th[data-sort]")) {
    const label = head.textContent;
    head.textContent = "";
    head.append(
      button(label, () => {
        sort = { key: head.dataset.sort, down: sort.key === head.dataset.sort ? !sort.down : head.dataset.sort === "severity" };
        for (const other of table.tHead.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", sort.down ? "descending" : "ascending");
        filter();
      }),
    );
  }
  bar.addEventListener("input", filter);
  bar.hidden = false;
  filter();

  // Preview: a still opens the clip in a dialog; previous and next follow the filtered, sorted order.
  const viewer = document.createElement("dialog");
  viewer.className = "viewer";
  viewer.setAttribute("aria-label", "Clip preview");
  const video = document.createElement("video");
  video.controls = true;
  video.loop = true;
  video.muted = true;
  video.playsInline = true;
  const caption = document.createElement("p");
  caption.dir = "auto";
  const more = document.createElement("a");
  more.textContent = "All details";
  const controls = document.createElement("div");
  controls.className = "bar";
  controls.append(caption, more, button("Previous", () => step(-1)), button("Next", () => step(1)), button("Close", () => viewer.close()));
  viewer.append(video, controls);
  document.body.append(viewer);
  let current = null;

  function open(item) {
    const link = item.row.querySelector("[data-video]");
    if (!link) return false;
    current = item;
    const still = link.querySelector("img");
    video.poster = still ? still.src : "";
    video.src = link.dataset.video;
    const group = item.row.querySelector(".group");
    const prompt = item.row.querySelector(".clip a").textContent;
    caption.textContent = group ? `${prompt} (${group.textContent})` : prompt;
    more.href = link.href;
    if (!viewer.open) viewer.showModal();
    video.play().catch(() => {}); // autoplay may be forbidden; the controls remain
    return true;
  }

  function step(by) {
    for (let i = visible.indexOf(current) + by; i >= 0 && i < visible.length; i += by) {
      if (open(visible[i])) return;
    }
  }
  viewer.addEventListener("close", () => {
    video.removeAttribute("src");
    video.load();
  });
  viewer.addEventListener("click", (event) => {
    if (event.target === viewer) viewer.close();
  });
  body.addEventListener("click", (event) => {
    const link = event.target.closest("[data-video]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    const item = rows.find((r) => r.row.contains(link));
    if (item && open(item)) event.preventDefault();
  });
})();
