// Filter, sort, page through and preview the clips of the overview. All rows are in clips-data.js, as text and numbers;
// a page of them is in the table at a time. Without this script the table has its first rows, and the plain pages all.
"use strict";

(() => {
  const data = globalThis.vgauditClips;
  const table = document.getElementById("clip-table");
  if (!table || !data) return;
  document.documentElement.classList.add("js");
  const PAGE = data.page;
  const total = data.stem.length;
  const body = table.tBodies[0];
  const skeleton = document.getElementById("clip-row").content.firstElementChild;
  const bar = document.querySelector(".filters");
  const pager = document.querySelector(".pager");
  const shown = bar.querySelector(".shown");
  const order = { hold: 0, none: 1, review: 2, publish: 3, problem: 0, ok: 1 };
  const all = Array.from({ length: total }, (_, i) => i);
  let visible = all; // places of rows in the data, filtered and sorted
  let onPage = all.slice(0, PAGE);
  let page = 0;
  let sort = { key: null, down: false };
  let sought = null; // what the search field looks through, made when it is first used

  const word = (field, i) => (data[field] ? data.words[data[field][i]] : "");
  const number = (n) => n.toLocaleString("en-US");
  const address = (i) => `clips/${encodeURIComponent(data.stem[i])}.html`;
  const media = (field, i) => word(field, i).replace("*", () => encodeURIComponent(data.stem[i]));

  function make(name, text, css) {
    const made = document.createElement(name);
    if (css) made.className = css;
    made.textContent = text;
    return made;
  }

  const empty = document.createElement("tr");
  empty.className = "empty-row";
  const cell = empty.insertCell();
  cell.colSpan = table.tHead.rows[0].cells.length;
  cell.textContent = "No clip matches these filters.";

  // Rows. Each part of the skeleton is filled or taken out; text is only ever inserted as text.

  function fillStill(row, i) {
    const frame = row.querySelector(".frame");
    const picture = frame.querySelector("img");
    const none = frame.querySelector(".no-still");
    const poster = media("poster", i);
    if (poster) {
      picture.src = `./${poster}`;
      none.remove();
    } else {
      none.textContent = word("problem", i) ? "no clip" : "no still";
      picture.remove();
    }
    const video = media("video", i);
    if (video) {
      frame.href = address(i);
      frame.dataset.video = video;
      frame.setAttribute("aria-label", `Play ${word("name", i)}`);
    } else {
      frame.querySelector(".play").remove();
      const still = make("span", "", "frame");
      still.append(...frame.childNodes);
      frame.replaceWith(still);
    }
  }

  function fillName(row, i) {
    const link = row.querySelector(".clip a");
    link.href = address(i);
    link.textContent = word("name", i);
    const source = word("source", i);
    if (source) row.querySelector(".ids").append(make("bdi", source), " · ");
    const prompt = make("bdi", word("prompt", i));
    const page = word("promptPage", i);
    const together = page ? make("a", "") : prompt;
    if (page) {
      together.href = page;
      together.title = "all clips of this prompt";
      together.append(prompt);
    }
    row.querySelector(".ids").append(together, ` · ${word("seed", i)}`);
    const trouble = row.querySelector(".trouble");
    if (word("problem", i)) trouble.append(word("problem", i));
    else trouble.remove();
  }

  function fillAnswer(place, i) {
    const known = ["publish", "review", "hold", "none"];
    const wanted = known.indexOf(word("state", i));
    Array.from(place.querySelectorAll(".status")).forEach((status, n) => n === wanted || status.remove());
    const list = place.querySelector("ul");
    const reasons = data.reasons ? data.reasons[i] : [];
    for (const reason of reasons) {
      const item = make("li", data.words[reason]);
      item.dir = "auto";
      list.append(item);
    }
    if (!reasons.length) list.remove();
    const more = place.querySelector(".more");
    const left = data.moreReasons ? data.moreReasons[i] : 0;
    more.href = address(i);
    more.textContent = `and ${left} more`;
    if (!left) more.remove();
  }

  function fillCell(place, column, i) {
    const text = data.words[column.text[i]];
    if (column.sort[i] !== null) {
      place.textContent = text;
      return;
    }
    const why = make("span", data.words[column.why[i]], "nc-why");
    why.dir = "auto";
    place.append(make("span", text, "nc-text"), why);
  }

  function fillFound(place, i) {
    const severity = place.querySelector(".severity");
    const plain = place.querySelector(".quiet");
    if (data.findings[i]) {
      place.querySelector(".count").textContent = String(data.findings[i]);
      severity.className = `severity sev-${word("severity", i)}`;
      severity.append(word("severity", i));
      plain.remove();
    } else {
      plain.textContent = word("problem", i) ? "not looked at" : "none";
      place.querySelector(".count").remove();
      severity.remove();
    }
    const unseen = place.querySelector(".unseen");
    unseen.textContent = `not looked for: ${word("unseen", i)}`;
    if (!word("unseen", i)) unseen.remove();
  }

  function rowOf(i) {
    const row = skeleton.cloneNode(true);
    row.dataset.state = word("state", i);
    fillStill(row, i);
    fillName(row, i);
    const answer = row.querySelector(".answer");
    if (answer) fillAnswer(answer, i);
    const group = row.querySelector(".group bdi");
    if (group) group.textContent = data.groups[data.group[i]];
    row.querySelectorAll(".num").forEach((place, n) => fillCell(place, data.cells[n], i));
    fillFound(row.querySelector(".found"), i);
    return row;
  }

  // Filtering and sorting.

  function key(i) {
    if (sort.key === "plan") return i;
    if (sort.key === "group") return data.group[i];
    if (sort.key === "state") return order[word("state", i)];
    if (sort.key === "severity") return data.rank[i] * 1e6 + data.findings[i];
    return data.cells[Number(sort.key)].sort[i];
  }

  function sorted(places) {
    const sign = sort.down ? -1 : 1;
    const keys = new Map(places.map((i) => [i, key(i)]));
    return places.sort((a, b) => {
      const x = keys.get(a);
      const y = keys.get(b);
      if (x === y) return a - b;
      if (x === null || y === null) return x === null ? 1 : -1; // what was not computed stays last in both directions
      return x < y ? -sign : sign;
    });
  }

  function field(name) {
    return bar.querySelector(`[data-filter="${name}"]`);
  }

  function value(name) {
    return field(name) ? field(name).value : "";
  }

  function textOf(i) {
    sought ||= all.map((n) =>
      ["name", "source", "prompt", "seed", "problem"].map((part) => word(part, n)).join(" ").toLowerCase(),
    );
    return sought[i];
  }

  function filter() {
    const words = value("text").toLowerCase().split(/\s+/).filter(Boolean);
    const group = value("group");
    const severity = value("severity");
    const state = value("state");
    visible = all.filter(
      (i) =>
        (group === "" || data.group[i] === Number(group)) &&
        (severity === "" || (severity === "none" ? data.rank[i] === 0 : data.rank[i] >= Number(severity))) &&
        (state === "" || word("state", i) === state) &&
        words.every((w) => textOf(i).includes(w)),
    );
    if (sort.key !== null) sorted(visible);
    page = 0;
  }

  function show() {
    const pages = Math.max(1, Math.ceil(visible.length / PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    const wanted = visible.slice(page * PAGE, (page + 1) * PAGE);
    if (wanted.length !== onPage.length || wanted.some((i, n) => i !== onPage[n]) || empty.isConnected) {
      onPage = wanted;
      body.replaceChildren(...(onPage.length ? onPage.map(rowOf) : [empty]));
    }
    const clips = total === 1 ? "clip" : "clips";
    const some = `${number(visible.length)} of ${number(total)} ${clips}`;
    shown.textContent = visible.length === total ? `${number(total)} ${clips}` : some;
    pager.hidden = pages === 1;
    const first = page * PAGE + 1;
    position.textContent = `${number(first)} to ${number(first + onPage.length - 1)} of ${number(visible.length)}`;
    for (const made of [begin, back]) made.disabled = page === 0;
    for (const made of [forward, end]) made.disabled = page === pages - 1;
  }

  function button(label, action) {
    const made = make("button", label);
    made.type = "button";
    made.addEventListener("click", action);
    return made;
  }

  function turn(to) {
    page = to;
    show();
    remember();
    table.scrollIntoView({ block: "start" });
  }
  const begin = button("First", () => turn(0));
  const back = button("Previous", () => turn(page - 1));
  const forward = button("Next", () => turn(page + 1));
  const end = button("Last", () => turn(Infinity));
  const position = make("span", "", "position");
  position.setAttribute("role", "status");
  pager.append(begin, back, position, forward, end);

  function mark() {
    for (const head of table.tHead.querySelectorAll("th[data-sort]")) {
      if (head.dataset.sort !== sort.key) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", sort.down ? "descending" : "ascending");
    }
  }

  for (const head of table.tHead.querySelectorAll("th[data-sort]")) {
    const label = head.textContent;
    head.textContent = "";
    head.append(
      button(label, () => {
        const again = sort.key === head.dataset.sort;
        sort = { key: head.dataset.sort, down: again ? !sort.down : head.dataset.sort === "severity" };
        mark();
        filter();
        show();
        remember();
      }),
    );
  }

  // Coming back from a clip, the table is as it was left.

  function remember() {
    const filters = {};
    for (const one of bar.querySelectorAll("[data-filter]")) filters[one.dataset.filter] = one.value;
    try {
      history.replaceState({ ...history.state, clips: { filters, sort, page } }, "");
    } catch {
      // a browser may forbid it for local files; nothing but this comfort is lost
    }
  }

  function recall() {
    const kept = history.state && history.state.clips;
    if (!kept) return;
    for (const [name, was] of Object.entries(kept.filters)) if (field(name)) field(name).value = was;
    sort = kept.sort;
    mark();
    filter();
    page = kept.page;
  }

  bar.addEventListener("input", () => {
    filter();
    show();
    remember();
  });
  bar.hidden = false;
  recall();
  show();

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
  const more = make("a", "All details");
  const controls = make("div", "", "bar");
  controls.append(caption, more, button("Previous", () => step(-1)), button("Next", () => step(1)), button("Close", () => viewer.close()));
  viewer.append(video, controls);
  document.body.append(viewer);
  let current = -1;

  function open(i) {
    const file = media("video", i);
    if (!file) return false;
    current = i;
    video.poster = media("poster", i);
    video.src = file;
    const name = word("name", i);
    caption.textContent = data.groups.length > 1 ? `${name} (${data.groups[data.group[i]]})` : name;
    more.href = address(i);
    if (!viewer.open) viewer.showModal();
    video.play().catch(() => {}); // autoplay may be forbidden; the controls remain
    return true;
  }

  function step(by) {
    for (let at = visible.indexOf(current) + by; at >= 0 && at < visible.length; at += by) {
      if (open(visible[at])) return;
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
    const i = onPage[link.closest("tr").sectionRowIndex];
    if (i !== undefined && open(i)) event.preventDefault();
  });
})();
