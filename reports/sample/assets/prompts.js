// Heat map of prompts: switch groups, filter, sort, page. Without this script pages of a hundred prompts stand alone.
"use strict";

(() => {
  const data = globalThis.vgauditPrompts;
  const table = document.querySelector(".heat");
  if (!data || !table) return;
  document.documentElement.classList.add("js");
  const body = table.tBodies[0];
  const bar = document.querySelector(".filters");
  const pager = document.querySelector(".pager");
  const shown = bar.querySelector(".shown");
  const region = document.querySelector(".heat-region");
  const worst = bar.querySelector("[data-action=worst]");
  const links = Array.from(document.querySelectorAll(".group-switch a"));
  const heads = Array.from(table.tHead.querySelectorAll("th[data-sort]"));
  const signs = heads.filter((head) => head.dataset.sign !== undefined).map((head) => Number(head.dataset.sign));
  const texts = data.prompts.name.map((name, i) => `${name} ${data.prompts.id[i]}`.toLowerCase());
  const unpacked = []; // cells of a group, column by column, made when the group is first shown
  let group = Number(table.dataset.group);
  let sort = { key: null, down: false };
  let visible = [];
  let page = 0;

  function make(tag, className, text) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function number(text) {
    return Number(text.replaceAll(",", "").replace("\u221e", "Infinity"));
  }

  function columns() {
    unpacked[group] ||= data.groups[group].cells.map((packed) =>
      packed === "" ? [] : packed.split("|").map((cell) => cell.split("~")),
    );
    return unpacked[group];
  }

  function value(name) {
    const field = bar.querySelector(`[data-filter="${name}"]`);
    return field ? field.value : "";
  }

  // What sorts first when a column's head is pressed once: the worse; the higher where nothing is worse.
  function key(row) {
    const rows = data.groups[group];
    if (sort.key === "findings") return rows.rank[row] * 1e6 + rows.findings[row];
    const cell = columns()[Number(sort.key)][row];
    if (cell.length < 3) return null;
    return signs[Number(sort.key)] > 0 ? -number(cell[0]) : number(cell[0]);
  }

  function compare(a, b) {
    if (sort.key !== null) {
      const [x, y] = [key(a), key(b)];
      if (x === null || y === null) {
        if (x !== y) return x === null ? 1 : -1; // what has no number stays last in both directions
      } else if (x !== y) {
        return (x > y ? -1 : 1) * (sort.down ? 1 : -1);
      }
    }
    return a - b; // worst first, as the data comes
  }

  function filter() {
    const rows = data.groups[group];
    const words = value("text").toLowerCase().split(/\s+/).filter(Boolean);
    const [tag, severity] = [value("tag"), value("severity")];
    visible = rows.prompt
      .map((_, row) => row)
      .filter(
        (row) =>
          words.every((word) => texts[rows.prompt[row]].includes(word)) &&
          (tag === "" || data.prompts.tags[rows.prompt[row]].includes(Number(tag))) &&
          (severity === "" || rows.rank[row] >= Number(severity)),
      );
    visible.sort(compare);
    page = 0;
    show();
  }

  function name(row) {
    const rows = data.groups[group];
    const prompt = rows.prompt[row];
    const head = make("th", "name");
    head.scope = "row";
    const link = make("a", "", data.prompts.name[prompt]);
    link.href = data.prompts.href[prompt];
    link.dir = "auto";
    const ids = make("span", "ids");
    const unusable = rows.unusable[row] ? `, ${rows.unusable[row]} not usable` : "";
    ids.append(make("bdi", "", data.prompts.id[prompt]), ` · ${rows.clips[row]} clip${rows.clips[row] === 1 ? "" : "s"}${unusable}`);
    head.append(link, ids);
    return head;
  }

  function found(row) {
    const rows = data.groups[group];
    const cell = make("td", "found");
    if (rows.findings[row]) {
      const severity = make("span", `severity sev-${rows.severity[row]}`);
      const bars = make("span", "bars");
      bars.setAttribute("aria-hidden", "true");
      for (let i = 0; i < 4; i += 1) bars.append(make("i"));
      severity.append(bars, rows.severity[row]);
      cell.append(make("span", "count", rows.findings[row]), " ", severity);
    } else {
      cell.append(make("span", "quiet", rows.unusable[row] === rows.clips[row] ? "not looked at" : "none"));
    }
    if (rows.unseen[row]) cell.append(make("span", "unseen", "not all looked for"));
    return cell;
  }

  function valueCell(cell, column, of) {
    if (cell.length < 3) {
      const reason = Number(cell[1]);
      const made = make("td", "hx");
      const text = make("span", "", cell[0]);
      text.title = data.reasons[reason];
      if (reason < data.reasonsShown) text.append(" ", make("sup", "", reason + 1));
      else text.append(make("span", "sr", `: ${data.reasons[reason]}`));
      made.append(text);
      return made;
    }
    const [text, shade, share, clips] = cell;
    const made = make("td", `${signs[column] ? "h" : "n"}${shade}`, text);
    made.title = `${signs[column] ? "worse" : "higher"} than ${share} %${Number(clips) > 1 ? `; mean of ${clips} clips` : ""}`;
    if (signs[column] && shade === "6") made.append(make("span", "sr", " worst tenth"));
    if (Number(clips) < of) made.append(make("span", "part", `${clips} of ${of} clips`));
    return made;
  }

  function show() {
    const pages = Math.max(1, Math.ceil(visible.length / data.page));
    page = Math.min(Math.max(page, 0), pages - 1);
    const first = page * data.page;
    const onPage = visible.slice(first, first + data.page);
    const cells = columns();
    const rows = onPage.map((row) => {
      const made = make("tr");
      made.append(name(row), found(row), ...cells.map((column, i) => valueCell(column[row], i, data.groups[group].clips[row] - data.groups[group].unusable[row])));
      return made;
    });
    if (!rows.length) {
      const made = make("tr", "empty-row");
      const cell = made.insertCell();
      cell.colSpan = 2 + signs.length;
      cell.textContent = "No prompt matches these filters.";
      rows.push(made);
    }
    body.replaceChildren(...rows);
    const all = data.groups[group].prompt.length;
    shown.textContent = visible.length === all ? `${all} prompts` : `${visible.length} of ${all} prompts`;
    pager.hidden = pages === 1;
    position.textContent = `${first + 1} to ${first + onPage.length} of ${visible.length}`;
    back.disabled = page === 0;
    forward.disabled = page === pages - 1;
    worst.setAttribute("aria-pressed", String(sort.key === null));
    for (const head of heads) {
      if (head.dataset.sort !== sort.key) head.removeAttribute("aria-sort");
    }
  }

  function button(text, action) {
    const made = make("button", "", text);
    made.type = "button";
    made.addEventListener("click", action);
    return made;
  }

  function turn(step) {
    page += step;
    show();
    region.scrollTop = 0;
    region.scrollIntoView({ block: "start" });
  }
  const back = button("Previous", () => turn(-1));
  const forward = button("Next", () => turn(1));
  const position = make("span");
  pager.replaceChildren(back, position, forward);

  for (const head of heads) {
    const sign = head.dataset.sign === undefined ? -1 : Number(head.dataset.sign);
    const made = button("", () => {
      sort = { key: head.dataset.sort, down: sort.key === head.dataset.sort ? !sort.down : true };
      // "down" is the worse first: of a value that is better when higher that is rising numbers
      head.setAttribute("aria-sort", sort.down === sign > 0 ? "ascending" : "descending");
      filter();
    });
    made.append(...head.childNodes);
    head.append(made);
  }
  worst.addEventListener("click", () => {
    sort = { key: null, down: false };
    filter();
  });
  bar.addEventListener("input", filter);
  bar.hidden = false;

  for (const link of links) {
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
      event.preventDefault();
      group = Number(link.dataset.group);
      for (const other of links) other.removeAttribute("aria-current");
      link.setAttribute("aria-current", "page");
      table.caption.querySelector("bdi").textContent = link.textContent;
      filter();
    });
  }
  // A click anywhere in a row opens what its link opens; keyboards use the link.
  body.addEventListener("click", (event) => {
    if (event.target.closest("a") || event.button !== 0 || String(getSelection())) return;
    const link = event.target.closest("tr")?.querySelector("a");
    if (!link) return;
    if (event.ctrlKey || event.metaKey || event.shiftKey) open(link.href);
    else link.click();
  });
  filter();
})();
