// The review desk. Opened as a file, decisions are a draft in this browser, to be downloaded; served by
// `vgaudit review`, each one is saved at once. Text of the run only ever becomes textContent.
"use strict";

(() => {
  // Two decimals, a tie to the even digit: as the page writes the same moment.
  const two = (s) => {
    const near = Math.round(s * 100);
    return ((Math.abs(s * 100 - near) === 0.5 && near % 2 ? near - 1 : near) / 100).toFixed(2);
  };
  const $ = (id) => document.getElementById(id);
  const source = $("review-data");
  const desk = $("desk");
  if (!source || !desk) return;
  document.documentElement.classList.add("js");
  const data = JSON.parse(source.textContent);
  const items = data.items;
  const byFinding = new Map(items.map((item) => [item.fingerprint, item]));
  const mark = document.querySelector('meta[name="vgaudit-desk"]');
  const served = Boolean(mark && mark.content === "served");
  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  const VERBS = [
    { verb: "confirm", key: "c", word: "Confirm" },
    { verb: "dismiss", key: "d", word: "Dismiss" },
    { verb: "clear", key: "l", word: "Clear" },
    { verb: "escalate", key: "e", word: "Escalate" },
    { verb: "reopen", key: "r", word: "Reopen" },
  ];
  const DONE = { confirm: "confirmed", dismiss: "dismissed", clear: "cleared", escalate: "escalated", reopen: "reopened" };
  const SIGNS = {
    open: ["○", "open", "tone-plain"],
    awaiting: ["◐", "awaiting a 2nd", "tone-nc"],
    confirmed: ["✕", "confirmed", "tone-fail"],
    dismissed: ["✓", "dismissed", "tone-pass"],
    cleared: ["✓", "cleared", "tone-pass"],
    escalated: ["↑", "escalated", "tone-nc"],
    draft: ["✎", "draft", "tone-pass"],
    saving: ["…", "saving", "tone-plain"],
    unsaved: ["!", "not saved", "tone-fail"],
  };
  const RANKS = ["alert", "review", "major", "minor"];
  const LONGEST_CONSENT_YEARS = 10;

  // -- small things ---------------------------------------------------------------------------

  function el(tag, properties = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in node) node[name] = value;
      else node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  }

  function say(text) {
    const said = $("said");
    said.textContent = said.textContent === text ? `${text}\u00a0` : text; // the same words again are heard again
  }

  function count(n, one, many = `${one}s`) {
    return `${n} ${n === 1 ? one : many}`;
  }

  function severity(word) {
    const bars = el("span", { className: "bars" }, el("i"), el("i"), el("i"), el("i"));
    bars.setAttribute("aria-hidden", "true");
    return el("span", { className: `severity sev-${word}` }, bars, word);
  }

  function signOf(condition) {
    const [sign, word, tone] = SIGNS[condition] || ["?", condition, "tone-nc"];
    const glyph = el("span", { textContent: sign });
    glyph.setAttribute("aria-hidden", "true");
    return el("span", { className: `state ${tone}` }, glyph, word);
  }

  const seconds = (s) => `${two(s)} s`;
  const person = (name) => name.normalize("NFKC").toLowerCase().replace(/\s+/gu, "");
  const today = () => new Date().toISOString().slice(0, 10);
  const now = () => `${new Date().toISOString().slice(0, 19)}Z`;
  const wellFormed = (text) => (text.toWellFormed ? text.toWellFormed() : text);

  function dayIn(days) {
    return new Date(Date.now() + days * 864e5).toISOString().slice(0, 10);
  }

  function whenWords(time) {
    const at = new Date(time);
    return Number.isNaN(at.getTime()) ? time : at.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  }

  // -- what this browser keeps ------------------------------------------------------------------

  // A key for each thing, so that two tabs never write over each other's.
  const PREFIX = `vgaudit-review:${data.plan || data.run}:`;
  let storeTrouble = "";
  const store = (() => {
    try {
      const probe = `${PREFIX}probe`;
      localStorage.setItem(probe, "1");
      localStorage.removeItem(probe);
      return localStorage;
    } catch {
      storeTrouble = "This browser keeps nothing for this page";
      return null;
    }
  })();

  function keep(key, value) {
    if (!store) return;
    try {
      store.setItem(key, JSON.stringify(value));
    } catch {
      storeTrouble = "This browser's store for the page is full";
      renderAlerts();
    }
  }

  function kept(key) {
    try {
      return JSON.parse((store && store.getItem(key)) || "null");
    } catch {
      return null;
    }
  }

  function drop(key) {
    if (store) store.removeItem(key);
  }

  function keptUnder(prefix) {
    if (!store) return [];
    const names = Array.from({ length: store.length }, (_, i) => store.key(i));
    return names.filter((name) => name && name.startsWith(prefix)).sort();
  }

  let author = String(kept("vgaudit-review:author") || "");
  let keysOn = kept("vgaudit-review:keys") !== false;

  // -- drafts and decisions on their way ------------------------------------------------------------

  const drafts = new Map(); // fingerprint -> Map(person -> decision)
  let stray = 0; // drafted on findings that this report does not have
  const unsaved = new Map(); // fingerprint -> {decision, seen, status, error, tries}
  const forms = new Map();
  const done = []; // what can be undone, the last at the end

  const draftKey = (d) => `${PREFIX}draft:${d.finding}:${person(d.author)}`;
  const unsavedKey = (finding) => `${PREFIX}unsaved:${finding}`;
  const formKey = (finding) => `${PREFIX}form:${finding}`;

  function isThere(history, d) {
    return history.some(
      (h) => h.verb === d.verb && h.reason_code === d.reason_code && person(h.author) === person(d.author)
        && Date.parse(h.time) === Date.parse(d.time),
    );
  }

  function readDrafts() {
    drafts.clear();
    stray = 0;
    if (served) return;
    for (const key of keptUnder(`${PREFIX}draft:`)) {
      const draft = kept(key);
      const item = draft && byFinding.get(draft.finding);
      if (!item) stray += 1;
      else if (isThere(item.standing.history, draft)) drop(key); // taken in meanwhile
      else remember(draft);
    }
  }

  function remember(draft) {
    if (!drafts.has(draft.finding)) drafts.set(draft.finding, new Map());
    drafts.get(draft.finding).set(person(draft.author), draft);
  }

  function draftsOf(item) {
    return Array.from((drafts.get(item.fingerprint) || new Map()).values()).sort((a, b) => (a.time < b.time ? -1 : 1));
  }

  function allDrafts() {
    return items.flatMap((item) => draftsOf(item));
  }

  function readUnsaved() {
    if (!served) return;
    for (const key of keptUnder(`${PREFIX}unsaved:`)) {
      const entry = kept(key);
      const item = entry && byFinding.get(entry.decision.finding);
      if (item) unsaved.set(item.fingerprint, { ...entry, status: entry.status === "saving" ? "waiting" : entry.status });
      else stray += 1;
    }
  }

  const lastSeq = (item) => item.standing.history.reduce((most, h) => Math.max(most, h.seq), 0);

  function condition(item) {
    const entry = unsaved.get(item.fingerprint);
    if (entry) return entry.status === "saving" ? "saving" : "unsaved";
    if (drafts.has(item.fingerprint)) return "draft";
    return item.standing.awaiting ? "awaiting" : item.standing.state;
  }

  const isDecided = (item) => !["open", "awaiting", "unsaved", "saving"].includes(condition(item));

  function isMineToWaitFor(item) {
    // Awaiting a second person, and the first one was the one who sits here.
    const { awaiting, history } = item.standing;
    return awaiting && history.length > 0 && person(history[history.length - 1].author) === person(author);
  }

  function formOf(item) {
    if (!forms.has(item.fingerprint)) {
      const form = kept(formKey(item.fingerprint));
      forms.set(item.fingerprint, { verb: "", reason: "", note: "", expires: "", ...form });
    }
    return forms.get(item.fingerprint);
  }

  function keepForm(item) {
    const form = formOf(item);
    if (form.verb || form.note || form.expires) keep(formKey(item.fingerprint), form);
    else drop(formKey(item.fingerprint));
  }

  function clearForm(item) {
    forms.delete(item.fingerprint);
    drop(formKey(item.fingerprint));
  }

  // -- the queue ------------------------------------------------------------------------------------

  const list = $("queue");
  const space = $("queue-space");
  const filters = {
    text: $("filter-text"), state: $("filter-state"), severity: $("filter-severity"), kind: $("filter-kind"),
    group: $("filter-group"),
  };
  const rows = new Map(); // position -> element
  let queue = [];
  let at = -1;
  let current = null;
  let seen = 0; // the last decision on the current finding that the page showed when its verb was chosen
  let rowHeight = 76;

  function haystack(item) {
    if (!item.hay) {
      const parts = [item.message, item.prompt, item.kind, item.sample_id, item.source, item.group, item.fingerprint];
      item.hay = [...parts, ...item.facts.map((fact) => fact[1]), item.standing.words].join("\n").toLowerCase();
    }
    return item.hay;
  }

  function passes(item) {
    const is = condition(item);
    const shown = {
      all: true, todo: !isDecided(item), open: is === "open", awaiting: is === "awaiting", decided: isDecided(item),
      draft: ["draft", "unsaved", "saving"].includes(is),
    }[filters.state.value];
    const words = filters.text.value.toLowerCase().split(/\s+/u).filter(Boolean);
    return shown
      && (!filters.severity.value || item.severity === filters.severity.value)
      && (!filters.kind.value || item.kind === filters.kind.value)
      && (!filters.group.value || item.group === filters.group.value)
      && words.every((word) => haystack(item).includes(word));
  }

  // Open before awaiting before decided. The order is made when filters change, not under the reviewer's hands.
  function refilter() {
    const place = (item) => (isDecided(item) ? 2 : condition(item) === "awaiting" ? 1 : 0);
    queue = items.filter(passes).sort((a, b) => place(a) - place(b) || a.number - b.number);
    at = queue.indexOf(current);
    for (const row of rows.values()) row.remove();
    rows.clear();
    space.style.height = `${queue.length * rowHeight}px`;
    $("queue-count").textContent = queue.length === items.length
      ? count(queue.length, "finding")
      : `${queue.length} of ${count(items.length, "finding")}`;
    list.querySelector(".queue-none")?.remove();
    if (!queue.length) list.append(el("p", { className: "queue-none", textContent: "No finding matches these filters." }));
    if (at >= 0) reveal();
    else list.scrollTop = 0;
    renderRows();
    renderPosition();
  }

  function makeRow(item, position) {
    const is = condition(item);
    const thumb = item.poster
      ? el("img", { className: "thumb", src: item.poster, alt: "", loading: "lazy", decoding: "async" })
      : el("span", { className: "thumb", textContent: "no still" });
    const row = el(
      "div", { className: `queue-row${isDecided(item) ? " is-done" : ""}`, id: `row-${item.number}`, role: "option" },
      thumb,
      el(
        "span", {},
        el("span", { className: "row-head" }, severity(item.severity), signOf(is)),
        el("span", { className: "row-kind", textContent: `${item.kind} ${seconds(item.start_s)}` }),
        el("span", { className: "row-message", textContent: item.message, dir: "auto" }),
      ),
    );
    row.setAttribute("aria-selected", String(item === current));
    row.setAttribute("aria-setsize", String(queue.length));
    row.setAttribute("aria-posinset", String(position + 1));
    row.style.transform = `translateY(${position * rowHeight}px)`;
    row.addEventListener("click", () => {
      show(item, { from: "queue" });
      desk.classList.remove("queue-open");
      $("queue-toggle").setAttribute("aria-expanded", "false");
    });
    return row;
  }

  function renderRows() {
    const first = Math.max(0, Math.floor(list.scrollTop / rowHeight) - 5);
    const last = Math.min(queue.length, Math.ceil((list.scrollTop + list.clientHeight) / rowHeight) + 5);
    for (const [position, row] of rows) {
      if (position < first || position >= last) {
        row.remove();
        rows.delete(position);
      }
    }
    for (let position = first; position < last; position += 1) {
      if (!rows.has(position)) {
        const row = makeRow(queue[position], position);
        rows.set(position, row);
        space.append(row);
      }
    }
    if (at >= 0 && rows.has(at)) list.setAttribute("aria-activedescendant", `row-${current.number}`);
    else list.removeAttribute("aria-activedescendant");
  }

  function renderRow(item) {
    for (const [position, row] of rows) {
      if (queue[position] === item) {
        const fresh = makeRow(item, position);
        row.replaceWith(fresh);
        rows.set(position, fresh);
      }
    }
  }

  function reveal() {
    const top = at * rowHeight;
    const height = list.clientHeight || rowHeight;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + rowHeight > list.scrollTop + height) list.scrollTop = top + rowHeight - height;
  }

  function renderPosition() {
    const words = at >= 0 ? `${at + 1} of ${queue.length}` : `not among the ${queue.length} shown`;
    $("position").textContent = words;
    $("previous").disabled = !queue.length || at === 0;
    $("next").disabled = !queue.length || at === queue.length - 1;
    $("queue-toggle").textContent = `Queue: ${words}`;
  }

  function renderProgress() {
    const decided = items.filter(isDecided).length;
    const awaiting = items.filter((item) => condition(item) === "awaiting").length;
    const drafted = drafts.size;
    $("progress").value = decided;
    const parts = [`${decided} of ${items.length} decided`];
    if (drafted) parts.push(`${drafted} of them in your draft`);
    if (awaiting) parts.push(`${count(awaiting, "awaits", "await")} a second person`);
    $("progress-text").textContent = parts.join(", ");
  }

  // -- one finding ------------------------------------------------------------------------------------

  function show(item, { from = "" } = {}) {
    const before = current;
    current = item;
    at = queue.indexOf(item);
    seen = lastSeq(item);
    if (from !== "start") history.replaceState(null, "", `#f-${item.fingerprint}`);
    if (before && before !== item) renderRow(before);
    if (at >= 0) reveal();
    renderRows();
    renderRow(item);
    renderRows();
    renderPosition();
    renderFinding();
    look();
    if (before && from !== "list") {
      $("finding-title").focus({ preventScroll: true });
      if ($("finding").getBoundingClientRect().top < 0 || desk.clientWidth < 900) {
        $("finding").scrollIntoView({ block: "start", behavior: "instant" });
      }
    }
    if (before) say(`${at + 1} of ${queue.length}. ${item.severity}, ${item.message} ${stateWords(item)}`);
  }

  function step(by) {
    if (!queue.length) return;
    const to = at < 0 ? 0 : at + by;
    if (to < 0 || to >= queue.length) say(by > 0 ? "This is the last finding of the list." : "This is the first finding of the list.");
    else show(queue[to], { from: document.activeElement === list ? "list" : "keys" });
  }

  function stateWords(item) {
    const drafted = draftsOf(item).map((d) => `Draft: ${DONE[d.verb]} by ${d.author}: ${reasonWords(d)}.`);
    return [item.standing.words === "open" ? "Nobody has decided yet." : `${item.standing.words}.`, ...drafted].join(" ");
  }

  const reasonWords = (d) => (data.reasons[d.verb] || {})[d.reason_code] || d.reason_code;

  function renderFinding() {
    const item = current;
    $("f-severity").replaceChildren(severity(item.severity));
    $("f-kind").textContent = item.kind;
    const tags = item.alike > 1 ? [`${item.alike} alike: a decision is about all of them`] : [];
    $("f-tags").replaceChildren(...tags.map((text) => el("span", { className: "tag", textContent: text })));
    $("finding-title").textContent = item.message;
    const where = [
      el("span", { textContent: `${seconds(item.start_s)} to ${seconds(item.end_s)} of ` }),
      el("a", { href: item.page }, el("bdi", { textContent: item.source || item.sample_id })),
      " · ", el("bdi", { textContent: item.group }), item.seed === null ? " · no seed" : ` · seed ${item.seed}`,
    ];
    if (item.likeness) where.push(" · ", el("a", { href: item.likeness, textContent: "charts on the likeness page" }));
    $("f-where").replaceChildren(...where);
    renderFaces(item);
    renderFacts(item);
    renderPrompt(item);
    renderForm();
    renderStanding();
  }

  function renderStanding() {
    const item = current;
    $("f-state").replaceChildren(signOf(condition(item)));
    renderHistory(item);
    renderNotices(item);
    $("undo").disabled = !done.length;
  }

  function faceGroup(title, css, pictures, alt) {
    const figures = pictures.map((picture, i) => {
      const caption = picture.caption ? [el("figcaption", { textContent: picture.caption })] : [];
      if (!picture.url) return el("figure", {}, el("span", { className: "no-face", textContent: "not shown" }), ...caption);
      const image = el("img", { src: picture.url, alt: `${alt} ${i + 1}${picture.caption ? `: ${picture.caption}` : ""}`, decoding: "async" });
      return el("figure", {}, image, ...caption);
    });
    return el("div", { className: `face-group ${css}` }, el("h3", { textContent: title }), el("div", { className: "strip" }, ...figures));
  }

  function renderFaces(item) {
    const likeness = item.kind.startsWith("likeness.");
    const groups = [];
    if (item.evidence.length) {
      groups.push(faceGroup(likeness ? "In the clip" : "Evidence", "", item.evidence, likeness ? "Face of the clip" : "Evidence"));
    }
    if (item.photographs.length) groups.push(faceGroup("In the gallery", "gallery", item.photographs, "Gallery photograph"));
    else if (likeness && item.likeness) {
      groups.push(el("p", { className: "quiet", textContent: "No gallery photographs are in this report: compare with your own copies." }));
    }
    $("faces").replaceChildren(...groups);
    $("faces").hidden = !groups.length;
  }

  function factList(facts, first) {
    const pair = ([label, text], i) => el(
      "div", { className: first && i < first ? "fact-first" : "" }, el("dt", { textContent: label }), el("dd", { textContent: text, dir: "auto" }),
    );
    return el("dl", { className: "facts" }, ...facts.map(pair));
  }

  function renderFacts(item) {
    const few = 7;
    const nodes = [factList(item.facts.slice(0, few), 2)];
    if (item.facts.length > few) {
      nodes.push(el("details", {}, el("summary", { textContent: "All that was measured" }), factList(item.facts.slice(few), 0)));
    }
    $("facts").replaceChildren(...nodes);
  }

  function renderPrompt(item) {
    const text = item.prompt || "The prompt of this clip is not known.";
    const css = item.prompt ? (item.prompt.length > 400 ? "long" : "") : "quiet";
    const words = el("p", { className: css, textContent: text, dir: "auto" });
    if (css === "long") words.tabIndex = 0;
    $("prompt").replaceChildren(el("h3", { textContent: "Prompt" }), words);
  }

  function historyLine(h, isDraft) {
    const line = el("li", { className: isDraft ? "is-draft" : "" });
    const head = el("p", {}, el("strong", { textContent: `${isDraft ? "Draft: " : ""}${DONE[h.verb] || h.verb}` }));
    head.append(" by ", el("bdi", { textContent: h.author }), `: ${h.reason || reasonWords(h)}`);
    line.append(head);
    const until = h.expires ? ` · holds until ${h.expires}` : "";
    line.append(el("p", { className: "quiet", textContent: `${whenWords(h.time)}${until}${isDraft ? " · not saved to the run" : ""}` }));
    if (h.note) line.append(el("p", { className: "history-note", textContent: h.note, dir: "auto" }));
    return line;
  }

  function renderHistory(item) {
    const lines = [...item.standing.history].reverse().map((h) => historyLine(h, false));
    for (const draft of draftsOf(item)) lines.unshift(historyLine(draft, true));
    if (!lines.length) lines.push(el("li", { className: "quiet", textContent: "Nobody has decided yet." }));
    else if (item.standing.history.length) lines.unshift(el("li", { textContent: `Stands as: ${item.standing.words}`, dir: "auto" }));
    $("history").replaceChildren(...lines);
  }

  function notice(tone, strong, text, ...buttons) {
    const words = el("p", { dir: "auto" }, el("strong", { textContent: strong }), ` ${text}`);
    return el("div", { className: `notice tone-${tone}` }, words, ...buttons);
  }

  function button(word, action) {
    const made = el("button", { type: "button", textContent: word });
    made.addEventListener("click", action);
    return made;
  }

  function renderNotices(item) {
    const nodes = [];
    const entry = unsaved.get(item.fingerprint);
    if (entry && entry.status !== "saving") {
      const what = `You ${DONE[entry.decision.verb]} it: ${reasonWords(entry.decision)}.`;
      const why = {
        waiting: ["Not saved yet.", `${what} ${entry.error}. It is tried again until it is saved.`],
        refused: ["Not saved.", `${what} The server says: ${entry.error}. Mend it below and save again.`],
        conflict: ["Not saved: somebody else has decided since.", `${what} Now it reads: ${item.standing.words}. Look at the history and decide again.`],
      }[entry.status];
      nodes.push(notice("fail", ...why, button("Discard mine", () => discard(item))));
    }
    for (const draft of draftsOf(item)) {
      const moved = lastSeq(item) > (draft.seen || 0) ? " Somebody has decided since you made it: look at the history." : "";
      const text = `${draft.author} ${DONE[draft.verb]} it: ${reasonWords(draft)}. It is in this browser only, until you download it.${moved}`;
      nodes.push(notice(moved ? "nc" : "plain", "Draft, not saved to the run.", text, button("Remove", () => removeDraft(item, draft))));
    }
    if (item.since) nodes.push(notice("nc", "Decided meanwhile:", item.since));
    $("notices").replaceChildren(...nodes);
  }

  // -- the player -----------------------------------------------------------------------------------------

  const video = $("video");
  const still = $("still");
  let loading = 0;

  function spanOf(item) {
    // A finding of a single frame is widened, so that there is something to see.
    const pad = Math.max(0, (0.6 - (item.end_s - item.start_s)) / 2);
    const length = Number.isFinite(video.duration) ? video.duration : item.end_s + pad;
    return [Math.max(0, Math.min(item.start_s - pad, length - 0.05)), Math.min(length, item.end_s + pad)];
  }

  function look() {
    const item = current;
    clearTimeout(loading);
    video.pause();
    const isVideo = item.player === "video";
    video.hidden = !isVideo;
    still.hidden = item.player !== "image";
    $("no-player").hidden = Boolean(item.player);
    $("no-player").textContent = item.player ? "" : `No player: ${item.no_player || "there is no clip"}.`;
    $("controls").hidden = !isVideo;
    $("span-bar").hidden = !isVideo;
    $("back").hidden = $("on").hidden = !item.fps;
    video.removeAttribute("src");
    if (item.player === "image") {
      still.src = item.video;
      still.alt = "The clip, as an animated picture";
    }
    if (!isVideo) video.removeAttribute("poster");
    if (isVideo) {
      if (item.width && item.height) {
        video.width = item.width;
        video.height = item.height;
      }
      if (item.poster) video.poster = item.poster;
      else video.removeAttribute("poster");
      video.setAttribute("aria-label", `Clip of the finding, ${seconds(item.start_s)} to ${seconds(item.end_s)}`);
      // Not for each of many that are leafed through.
      loading = setTimeout(() => {
        video.src = item.video;
        video.load();
      }, 60);
    }
    const overlay = $("overlay");
    if (item.width && item.height) overlay.setAttribute("viewBox", `0 0 ${item.width} ${item.height}`);
    $("clock").textContent = "";
    drawBox(false);
  }

  function drawBox(inside) {
    const [left, top, right, bottom] = (inside && current.box) || [0, 0, 0, 0];
    const box = $("box");
    box.setAttribute("x", left);
    box.setAttribute("y", top);
    box.setAttribute("width", Math.max(0, right - left));
    box.setAttribute("height", Math.max(0, bottom - top));
  }

  function draw() {
    if (!current || current.player !== "video") return;
    const t = video.currentTime;
    const frame = current.fps ? `, frame ${Math.floor(t * current.fps + 1e-3)}` : "";
    $("clock").textContent = `${seconds(t)}${frame}`;
    drawBox(t >= current.start_s - 0.02 && t < current.end_s + 0.02);
    if (video.duration) {
      const percent = (s) => `${Math.min(100, (100 * s) / video.duration)}%`;
      $("span-head").style.left = percent(t);
      $("span-mark").style.left = percent(current.start_s);
      $("span-mark").style.right = `${100 - Math.min(100, (100 * current.end_s) / video.duration)}%`;
    }
    $("play").textContent = video.paused ? "Play" : "Pause";
  }

  function follow() {
    if ($("loop").value === "span" && !video.seeking) {
      const [from, to] = spanOf(current);
      if (video.currentTime >= to - 1e-3 || video.currentTime < from - 0.05) video.currentTime = from + 1e-3;
    }
    draw();
    if (!video.paused) requestAnimationFrame(follow);
  }

  function start() {
    video.play().catch(() => draw()); // a browser may refuse to play by itself
  }

  video.addEventListener("loadedmetadata", () => {
    video.playbackRate = Number($("speed").value);
    video.currentTime = current.start_s < video.duration ? current.start_s + 1e-3 : 0;
    if (!calm.matches) start();
    draw();
  });
  video.addEventListener("ended", () => {
    video.currentTime = $("loop").value === "span" ? spanOf(current)[0] + 1e-3 : 0;
    start();
  });
  video.addEventListener("play", follow);
  for (const name of ["timeupdate", "seeked", "pause"]) video.addEventListener(name, draw);

  function toggle() {
    if (current.player !== "video") return;
    if (video.paused) start();
    else video.pause();
  }

  function stepFrame(by) {
    if (current.player !== "video" || !current.fps) return;
    video.pause();
    const frame = Math.max(0, Math.floor(video.currentTime * current.fps + 1e-3) + by);
    video.currentTime = (frame + 0.5) / current.fps; // the middle of a frame, so that rounding cannot show its neighbour
  }

  // -- the form ---------------------------------------------------------------------------------------------

  const note = $("note");
  const expires = $("expires");

  function cannot(item, verb) {
    if (verb === "clear" && !item.kind.startsWith("likeness.")) return "Only a likeness can be cleared: consent is given for a person.";
    const last = item.standing.history[item.standing.history.length - 1];
    if (verb === "reopen" && (!last || last.verb === "reopen")) return "There is no decision to withdraw.";
    return "";
  }

  function makeVerbs() {
    for (const { verb, key, word } of VERBS) {
      const input = el("input", { type: "radio", name: "verb", value: verb, id: `verb-${verb}` });
      input.setAttribute("aria-keyshortcuts", key);
      input.addEventListener("change", () => choose(verb));
      $("verbs").append(el("label", {}, input, el("span", { textContent: word }), el("kbd", { textContent: key })));
    }
  }

  function renderForm() {
    const item = current;
    const form = formOf(item);
    for (const { verb } of VERBS) {
      const input = $(`verb-${verb}`);
      const why = cannot(item, verb);
      input.checked = form.verb === verb;
      input.disabled = Boolean(why);
      input.closest("label").title = why;
      input.closest("label").hidden = verb === "reopen" && Boolean(why);
    }
    const codes = Object.entries(data.reasons[form.verb] || {});
    $("reasons").hidden = $("more").hidden = !form.verb;
    const choices = codes.map(([code, words], i) => {
      const input = el("input", { type: "radio", name: "reason", value: code, checked: form.reason === code });
      input.addEventListener("change", () => pickReason(code));
      return el("label", {}, input, el("kbd", { textContent: String(i + 1) }), el("span", { textContent: words }));
    });
    $("reason-list").replaceChildren(...choices);
    if (note.value !== form.note) note.value = form.note;
    if (expires.value !== form.expires) expires.value = form.expires;
    $("note-label").textContent = form.reason === "other" ? "Note (needed for another reason)" : "Note";
    note.required = form.reason === "other";
    const isClear = form.verb === "clear";
    expires.hidden = $("expires-label").hidden = form.verb === "reopen";
    expires.required = isClear;
    expires.min = today();
    expires.max = isClear ? lastDayOfConsent() : "";
    $("expires-label").textContent = isClear ? "Last day of the consent (UTC, needed)" : "Holds until (UTC, may stay empty)";
    $("decide-hint").textContent = form.verb ? hint(item, form) : "Choose what you decide: keys c, d, l, e. Then the reason by its number, then Enter.";
    $("decide-error").textContent = "";
    $("save").disabled = false;
  }

  function lastDayOfConsent() {
    return dayIn(365 * LONGEST_CONSENT_YEARS + 2);
  }

  function hint(item, form) {
    const parts = [];
    const closing = form.verb === "dismiss" || form.verb === "clear";
    const asked = data.policy.second_person;
    const against = item.standing.history.some((h) => ["confirm", "escalate"].includes(h.verb) && person(h.author) !== person(author));
    const pair = closing && asked !== "none" && (asked === "all" || item.severity === "alert" || against);
    if (pair && item.standing.awaiting && !isMineToWaitFor(item)) parts.push("You would be the second person: saying the same closes it.");
    else if (pair) parts.push("Two people have to say the same before it is closed.");
    if (form.verb === "dismiss" && data.policy.expires_days) parts.push(`Without a day it holds ${count(data.policy.expires_days, "day")}.`);
    if (form.verb === "confirm") parts.push("It stays open for the gates, as it should.");
    if (form.verb === "escalate") parts.push("It stays open until somebody else decides.");
    return parts.join(" ");
  }

  function choose(verb) {
    const why = cannot(current, verb);
    if (why) {
      $("decide-error").textContent = why;
      return;
    }
    const form = formOf(current);
    const codes = Object.keys(data.reasons[verb]);
    if (form.verb !== verb) {
      const usual = verb === "confirm" ? (current.kind.startsWith("likeness.") ? "same_person" : "defect") : "";
      form.reason = codes.length === 1 ? codes[0] : codes.includes(usual) ? usual : "";
    }
    form.verb = verb;
    if (verb === "reopen") form.expires = "";
    seen = lastSeq(current); // whoever chooses now has what stands here before their eyes
    current.since = "";
    keepForm(current);
    renderForm();
    renderNotices(current);
    const spoken = codes.map((code, i) => `${i + 1} ${data.reasons[verb][code]}`).join(", ");
    say(`${VERBS.find((v) => v.verb === verb).word}. Reasons: ${spoken}. ${$("decide-hint").textContent}`);
    if (verb === "clear" && !form.expires) expires.focus();
  }

  function pickReason(code) {
    const form = formOf(current);
    form.reason = code;
    keepForm(current);
    const focused = document.activeElement && document.activeElement.name === "reason";
    renderForm();
    if (focused) document.querySelector(`input[name="reason"][value="${code}"]`).focus();
    say(`${reasonWords({ verb: form.verb, reason_code: code })}. Enter saves.`);
    if (code === "other" && !form.note) note.focus();
  }

  function wrong(form) {
    if (!form.verb) return ["Choose what you decide first: c, d, l or e.", null];
    if (cannot(current, form.verb)) return [cannot(current, form.verb), null];
    if (!form.reason) return ["Choose a reason: its number.", document.querySelector('input[name="reason"]')];
    if (form.reason === "other" && !form.note.trim()) return ["Another reason says nothing by itself: write a note.", note];
    if (expires.validity.badInput) return ["The day is not complete.", expires];
    if (form.verb === "clear" && !form.expires) return ["Consent ends: give the last day it holds.", expires];
    if (form.expires && form.expires < today()) return ["That day is over: give one from today on.", expires];
    if (form.verb === "clear" && form.expires > lastDayOfConsent()) {
      return [`A consent is looked at again after ${LONGEST_CONSENT_YEARS} years: give an earlier day.`, expires];
    }
    return null;
  }

  async function save() {
    const item = current;
    const form = formOf(item);
    const problem = wrong(form);
    if (problem) {
      $("decide-error").textContent = problem[0];
      if (problem[1]) problem[1].focus();
      return;
    }
    const entry = unsaved.get(item.fingerprint);
    if (entry && entry.status === "saving") {
      say("The last decision on this finding is still being saved.");
      return;
    }
    const shown = seen;
    if (!author && !(await askName())) {
      $("decide-error").textContent = "Not saved: a decision needs the name of the person who decides.";
      return;
    }
    const decision = {
      finding: item.fingerprint, verb: form.verb, reason_code: form.reason, author, time: now(),
      note: wellFormed(form.note.trim()), expires: form.expires || null,
    };
    if (served) await send(item, decision, shown);
    else draft(item, decision, shown);
  }

  // On to the next one that still needs somebody.
  function advance(item, saved) {
    renderProgress();
    if (current !== item) return;
    const order = [...queue.slice(at + 1), ...queue.slice(0, Math.max(at, 0))];
    const next = order.find((other) => !isDecided(other) && !isMineToWaitFor(other) && !unsaved.has(other.fingerprint));
    if (next) {
      show(next);
      say(`${saved} ${$("progress-text").textContent}. Next: ${next.severity}, ${next.message}`);
    } else {
      renderRow(item);
      renderFinding();
      say(`${saved} ${$("progress-text").textContent}. Nothing is left to review in this list.`);
    }
  }

  // -- offline: a draft -------------------------------------------------------------------------------------------

  function draft(item, decision, shown) {
    if (decision.verb === "dismiss" && !decision.expires && data.policy.expires_days) {
      decision.expires = dayIn(data.policy.expires_days);
    }
    const made = { ...decision, seen: shown };
    const before = (drafts.get(item.fingerprint) || new Map()).get(person(author)) || null;
    remember(made);
    keep(draftKey(made), made);
    clearForm(item);
    done.push({ item, decision: made, before });
    renderMode();
    advance(item, `Draft: ${DONE[made.verb]}.`);
  }

  function removeDraft(item, made, { quiet = false } = {}) {
    const own = drafts.get(item.fingerprint);
    if (own) own.delete(person(made.author));
    if (own && !own.size) drafts.delete(item.fingerprint);
    drop(draftKey(made));
    if (quiet) return;
    const position = done.findIndex((d) => d.decision === made);
    if (position >= 0) done.splice(position, 1);
    refresh(item);
    say("The draft of this finding is removed.");
  }

  function refresh(item) {
    renderRow(item);
    renderProgress();
    renderMode();
    renderAlerts();
    if (item === current) {
      renderForm();
      renderStanding();
    }
  }

  const line = ({ finding, verb, reason_code, author: name, time, note: text, expires: day }) =>
    JSON.stringify({ finding, verb, reason_code, author: name, time, note: text, expires: day });

  function download(decisions) {
    const blob = new Blob(decisions.map((d) => `${line(d)}\n`), { type: "application/x-ndjson" });
    const address = URL.createObjectURL(blob);
    const safe = (text) => text.normalize("NFKD").replace(/[^\w.-]+/gu, "-").replace(/^[-.]+|[-.]+$/gu, "").slice(0, 60);
    const name = ["decisions", safe(data.folder || data.run), safe(author), today()].filter(Boolean).join("-");
    const link = el("a", { href: address, download: `${name}.jsonl` });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
    return `${name}.jsonl`;
  }

  // -- served: saved at once -----------------------------------------------------------------------------------------

  let server = null;
  let edition = null;
  let since = -1; // nothing is known yet
  let lost = "";
  let outdated = false;
  let flushing = false;

  async function ask(path, options = {}) {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), 15_000);
    try {
      const answer = await fetch(path, { cache: "no-store", ...options, signal: stop.signal });
      const body = await answer.json().catch(() => ({}));
      return { status: answer.status, body: body || {} };
    } finally {
      clearTimeout(timer);
    }
  }

  function mine(entry, standing) {
    // Written although its answer was lost on the way.
    const d = entry.decision;
    return (standing.history || []).find(
      (h) => h.seq > entry.seen && h.verb === d.verb && h.reason_code === d.reason_code && person(h.author) === person(d.author)
        && (h.note || "").trim() === d.note && (!d.expires || h.expires === d.expires),
    );
  }

  async function send(item, decision, shown, undoing = false) {
    const entry = { decision, seen: shown, status: "saving", error: "", tries: 0, undoing };
    unsaved.set(item.fingerprint, entry);
    keep(unsavedKey(item.fingerprint), entry); // a reload, or a browser that is closed, does not lose it
    refresh(item);
    $("save").disabled = item === current;
    await attempt(item, entry);
  }

  async function attempt(item, entry) {
    entry.status = "saving";
    entry.tries += 1;
    let answer = null;
    try {
      const { time, ...decision } = entry.decision; // the server's clock says when
      answer = await ask("api/decide", {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-Vgaudit-Desk": "1" },
        body: JSON.stringify({ ...decision, seen: entry.seen }),
      });
    } catch {
      answer = { status: 0, body: {} };
    }
    if (item === current) $("save").disabled = false;
    const { status, body } = answer;
    if (status === 200) {
      saved(item, entry, body.standing || null, body.seq);
      return;
    }
    const again = status === 409 && body.standing && mine(entry, body.standing);
    if (again) {
      saved(item, entry, body.standing, again.seq);
      return;
    }
    if (unsaved.get(item.fingerprint) !== entry) return; // discarded meanwhile, and not written
    if (status === 409) {
      if (body.standing) item.standing = body.standing;
      item.hay = "";
      entry.status = "conflict";
      entry.error = "Somebody else has decided on the finding since";
    } else if (status === 422 || status === 413) {
      entry.status = "refused";
      entry.error = body.error || "the decision is not complete";
    } else {
      entry.status = "waiting";
      entry.error = body.error || { 0: "There is no connection to the server", 404: "The server does not know this page any more; was it started again?" }[status]
        || `The server answers ${status}`;
    }
    keep(unsavedKey(item.fingerprint), entry);
    if (entry.status !== "waiting" && !entry.undoing) backIntoForm(item, entry.decision);
    refresh(item);
    say(`Not saved. ${item === current ? $("notices").textContent : `${item.message} ${entry.error}`}`);
  }

  function backIntoForm(item, decision) {
    forms.set(item.fingerprint, {
      verb: decision.verb, reason: decision.reason_code, note: decision.note, expires: decision.expires || "",
    });
    keepForm(item);
    if (item === current) seen = lastSeq(item);
  }

  function saved(item, entry, standing, seq) {
    const asked = unsaved.get(item.fingerprint) === entry;
    if (asked) {
      unsaved.delete(item.fingerprint);
      drop(unsavedKey(item.fingerprint));
    }
    if (standing) {
      item.standing = standing;
      item.hay = "";
    }
    item.since = "";
    if (item === current) seen = Math.max(lastSeq(item), seq || 0);
    if (entry.undoing) {
      backIntoForm(item, entry.undoing);
      refresh(item);
      if (current !== item) show(item);
      say("Undone: the finding is open again.");
      return;
    }
    clearForm(item);
    done.push({ item, decision: entry.decision, seq });
    refresh(item);
    if (asked) advance(item, `Saved: ${item.standing.words}.`);
    else say(`Saved: ${item.message}`);
  }

  function discard(item) {
    const entry = unsaved.get(item.fingerprint);
    if (!entry) return;
    unsaved.delete(item.fingerprint);
    drop(unsavedKey(item.fingerprint));
    clearForm(item);
    refresh(item);
    say("Your decision on this finding is discarded; it was not saved.");
  }

  async function flush() {
    if (flushing) return;
    flushing = true;
    try {
      for (const [finding, entry] of [...unsaved]) {
        const item = byFinding.get(finding);
        if (entry.status !== "waiting") continue;
        const written = mine(entry, item.standing);
        if (written) saved(item, entry, null, written.seq);
        else await attempt(item, entry);
        if (entry.status === "waiting" && !entry.error.startsWith("The server answers")) break; // all would end like this one
      }
    } finally {
      flushing = false;
    }
  }

  async function poll() {
    try {
      const { status, body } = await ask(`api/state${since < 0 ? "" : `?since=${since}`}`);
      if (status !== 200) throw new Error(body.error || `it answers ${status}`);
      const first = server === null;
      server = body;
      lost = "";
      if (edition !== null && body.edition !== edition) outdated = true;
      edition = body.edition === undefined ? null : body.edition;
      outdated ||= body.total !== items.length || Object.keys(body.standings).some((f) => !byFinding.has(f));
      since = body.count;
      if (!author && body.author) setAuthor(body.author);
      for (const [finding, standing] of Object.entries(body.standings)) {
        const item = byFinding.get(finding);
        if (item) take(item, standing, first);
      }
      if (first && filters.state.value !== "all") refilter();
      await flush();
    } catch (error) {
      lost = error.name === "TypeError" || error.name === "AbortError" ? "it does not answer" : error.message;
    }
    renderProgress();
    renderMode();
    renderAlerts();
    setTimeout(poll, 2000);
  }

  function take(item, standing, first) {
    const before = lastSeq(item);
    if (before === standing.history.reduce((most, h) => Math.max(most, h.seq), 0) && standing.words === item.standing.words) return;
    const news = standing.history.filter((h) => h.seq > before && person(h.author) !== person(author));
    const entry = unsaved.get(item.fingerprint);
    if (before > 0 && !standing.history.some((h) => h.seq >= before)) {
      if (!first) return; // older than what an answer told meanwhile
    }
    item.standing = standing;
    item.hay = "";
    if (item === current && news.length && !first && !(entry && entry.status === "saving")) {
      item.since = `${standing.words}.`;
      say(`Somebody has decided on this finding: ${standing.words}`);
    }
    renderRow(item);
    if (item !== current) return;
    if (first) seen = lastSeq(item);
    renderStanding();
    if (!formOf(item).verb) renderForm();
  }

  // -- undo -----------------------------------------------------------------------------------------------------------

  async function undo() {
    const last = done.pop();
    if (!last) {
      say("There is nothing to undo.");
      return;
    }
    const { item, decision } = last;
    if (unsaved.has(item.fingerprint)) { // it must not be written over by the undoing
      done.push(last);
      show(item);
      say("There is a newer decision on this finding that is not saved yet: discard it first.");
      return;
    }
    if (!served) {
      removeDraft(item, decision, { quiet: true });
      if (last.before) {
        remember(last.before);
        keep(draftKey(last.before), last.before);
      }
      backIntoForm(item, decision);
      renderProgress();
      renderMode();
      show(item);
      say(`Undone: ${item.message} ${stateWords(item)}`);
      return;
    }
    if (lastSeq(item) > last.seq) {
      refresh(item);
      show(item);
      say("Somebody has decided on this finding since: look at the history, and reopen it if need be.");
      return;
    }
    const reopening = {
      finding: item.fingerprint, verb: "reopen", reason_code: "mistake", author: decision.author, time: now(), note: "", expires: null,
    };
    await send(item, reopening, lastSeq(item), decision);
  }

  // -- lines above the desk -------------------------------------------------------------------------------------------

  function renderMode() {
    const all = allDrafts();
    $("author").textContent = author ? `Reviewer: ${author}` : "Reviewer: no name yet";
    if (served) {
      $("mode").textContent = lost ? "Decisions are kept here until the server answers." : "Each decision is saved to the run at once.";
      $("download").hidden = !unsaved.size;
      $("download").textContent = "Download what is not saved";
      if (server) {
        const behind = server.count - server.applied;
        const late = behind > 0 ? ` Of ${count(server.count, "decision")} it does not know ${behind} yet; verdict and report follow in a moment.` : "";
        $("verdict").textContent = `Verdict: ${server.verdict.outcome}. ${server.verdict.reason}${/[.!?]$/u.test(server.verdict.reason) ? "" : "."}${late}`;
      }
      return;
    }
    $("mode").textContent = all.length
      ? `${count(all.length, "decision")} in the draft of this browser, not saved to the run: download them when you are done.`
      : "This page is a file: decisions stay in this browser as a draft, until you download them.";
    $("download").hidden = $("forget").hidden = !all.length;
    $("download").textContent = `Download ${count(all.length, "decision")}`;
    $("download").classList.toggle("primary", all.length > 0);
  }

  let alertsShown = "";
  function renderAlerts() {
    const nodes = [];
    if (storeTrouble) {
      const then = served ? "Do not close it while something is not saved." : "Download your decisions before you close or reload it.";
      nodes.push(notice("nc", `${storeTrouble}.`, then));
    }
    if (stray) nodes.push(notice("nc", "An older draft:", `${count(stray, "decision")} on findings that this report does not have. They are left out of the download.`));
    if (lost) nodes.push(notice("fail", "No connection to the review server:", `${lost}. It is tried again every 2 seconds. Is \`vgaudit review\` still running?`));
    if (server && server.problem) nodes.push(notice("fail", "The server reports a problem:", server.problem));
    if (outdated) nodes.push(notice("nc", "The run was scored again.", "This page shows the findings of before.", button("Load the new ones", () => location.reload())));
    const pending = [...unsaved].filter(([, entry]) => entry.status !== "saving");
    if (pending.length) {
      const goes = pending.slice(0, 3).map(([finding]) => button(`Go to no. ${byFinding.get(finding).number}`, () => show(byFinding.get(finding))));
      nodes.push(notice("fail", `Not saved: ${count(pending.length, "decision")}.`, pending.map(([, e]) => e.error).slice(0, 1).join(""), ...goes));
    }
    const text = nodes.map((node) => node.textContent).join("|");
    if (text === alertsShown) return; // leaves the focus where it is
    alertsShown = text;
    $("alerts").replaceChildren(...nodes);
    if (lost && !$("said").textContent.startsWith("Not saved")) say("There is no connection to the review server.");
  }

  // -- dialogs ----------------------------------------------------------------------------------------------------------

  function setAuthor(name) {
    author = name;
    keep("vgaudit-review:author", name);
    renderMode();
  }

  // The keys belong to the finding again, not to a field of a dialog that is gone.
  function shut(dialog) {
    dialog.close();
    if (dialog.contains(document.activeElement) || document.activeElement === $("author")) {
      $("finding-title").focus({ preventScroll: true });
    }
  }

  let named = null;
  function askName() {
    $("who-name").value = author;
    $("who-error").textContent = "";
    $("who").showModal();
    $("who-name").select();
    return new Promise((resolve) => {
      named = resolve;
    });
  }

  function takeName() {
    const name = $("who-name").value.normalize("NFC").replace(/\s+/gu, " ").trim();
    const hidden = /\p{C}/u.test(name);
    if (!person(name) || hidden || name.length > 120) {
      $("who-error").textContent = hidden ? "The name has characters that cannot be read: write it without." : name ? "Give a name of at most 120 characters." : "Give a name.";
      return;
    }
    setAuthor(name);
    const answer = named;
    named = null;
    shut($("who"));
    if (answer) answer(true);
  }

  $("who").addEventListener("close", () => {
    if (named) named(false);
    named = null;
  });
  $("who-ok").addEventListener("click", takeName);
  $("who-name").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.isComposing) {
      event.preventDefault();
      event.stopPropagation(); // the same key must not save as well
      takeName();
    }
  });
  for (const close of document.querySelectorAll("[data-close]")) {
    close.addEventListener("click", () => shut(close.closest("dialog")));
  }
  $("help-open").addEventListener("click", () => $("help").showModal());
  $("keys-on").checked = keysOn;
  $("keys-on").addEventListener("change", () => {
    keysOn = $("keys-on").checked;
    keep("vgaudit-review:keys", keysOn);
  });
  $("author").addEventListener("click", () => {
    askName().then(() => {
      if (current) renderForm();
    });
  });
  $("download").addEventListener("click", () => {
    const what = served ? [...unsaved.values()].filter((e) => !e.undoing).map((e) => e.decision) : allDrafts();
    const name = download(what);
    say(`${name} has ${count(what.length, "decision")}.`);
    if (!served) $("mode").textContent = `${name} has ${count(what.length, "decision")}. Take it in with: ${data.importing} ${name}`;
  });
  $("forget").addEventListener("click", () => {
    $("sure-words").textContent = `${count(allDrafts().length, "decision")} that are not saved to the run will be gone from this browser. Download them first if you may need them.`;
    $("sure").showModal();
  });
  $("sure-ok").addEventListener("click", () => {
    for (const made of allDrafts()) drop(draftKey(made));
    drafts.clear();
    done.length = 0;
    shut($("sure"));
    refilter();
    refresh(current);
    say("The draft is deleted.");
  });

  // -- keys and other input -------------------------------------------------------------------------------------------------

  const ACTIONS = {
    j: () => step(1), n: () => step(1), k: () => step(-1), p: () => step(-1), u: () => undo(),
    "/": () => { openQueue(true); filters.text.focus(); filters.text.select(); },
    "?": () => $("help").showModal(),
    m: () => { if (formOf(current).verb) note.focus(); else say("Choose what you decide first."); },
    ",": () => stepFrame(-1), ".": () => stepFrame(1), " ": () => toggle(),
    ...Object.fromEntries(VERBS.map(({ verb, key }) => [key, () => choose(verb)])),
  };

  function openQueue(open) {
    desk.classList.toggle("queue-open", open);
    $("queue-toggle").setAttribute("aria-expanded", String(open));
    if (!open) return;
    measure();
    if (at >= 0) reveal();
    renderRows();
  }

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]")) return;
    const target = event.target instanceof Element ? event.target : document.body;
    const typing = target.matches("textarea, select, input:not([type=radio], [type=checkbox])");
    if (event.key === "Escape" && typing) {
      target.blur();
      $("finding-title").focus({ preventScroll: true });
      return;
    }
    if (event.key === "Enter") {
      const saves = event.ctrlKey || event.metaKey || target === expires
        || (!typing && !target.closest("button, a, summary, video") && (target !== list || formOf(current).verb));
      if (saves) {
        event.preventDefault();
        save();
      } else if (target === list || target === filters.text) {
        event.preventDefault();
        if (target === filters.text && queue.length && at < 0) show(queue[0]);
        $("finding-title").focus({ preventScroll: true });
      }
      return;
    }
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !keysOn) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key === " " && target.closest("button, a, summary, video, input")) return;
    const form = formOf(current);
    if (/^[1-9]$/u.test(key)) {
      const code = Object.keys(data.reasons[form.verb] || {})[Number(key) - 1];
      if (code) pickReason(code);
      else say(form.verb ? "There is no such reason." : "Choose what you decide first: c, d, l or e.");
    } else if (Object.hasOwn(ACTIONS, key)) {
      ACTIONS[key]();
    } else {
      return;
    }
    event.preventDefault();
  });

  list.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.floor(list.clientHeight / rowHeight) - 1);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: queue.length - 1 }[event.key];
    if (to === undefined || !queue.length) return;
    event.preventDefault();
    show(queue[Math.max(0, Math.min(queue.length - 1, to))], { from: "list" });
  });
  let drawing = false;
  list.addEventListener("scroll", () => {
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(() => {
      drawing = false;
      renderRows();
    });
  });
  for (const name of ["state", "severity", "kind", "group"]) filters[name].addEventListener("change", refilter);
  filters.text.addEventListener("input", refilter);
  $("queue-toggle").addEventListener("click", () => openQueue(!desk.classList.contains("queue-open")));
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  $("save").addEventListener("click", save);
  $("undo").addEventListener("click", undo);
  $("play").addEventListener("click", toggle);
  $("back").addEventListener("click", () => stepFrame(-1));
  $("on").addEventListener("click", () => stepFrame(1));
  $("speed").addEventListener("change", () => {
    video.playbackRate = Number($("speed").value);
  });
  note.addEventListener("input", () => {
    formOf(current).note = note.value;
    keepForm(current);
  });
  expires.addEventListener("input", () => {
    formOf(current).expires = expires.value;
    keepForm(current);
  });
  addEventListener("hashchange", () => {
    const item = byFinding.get(location.hash.slice(3));
    if (item && item !== current) show(item);
  });
  addEventListener("storage", (event) => {
    if (served || !event.key || !event.key.startsWith(`${PREFIX}draft:`)) return; // another tab's draft
    readDrafts();
    for (const row of rows.values()) row.remove();
    rows.clear();
    renderRows();
    refresh(current);
  });
  addEventListener("beforeunload", (event) => {
    if (storeTrouble && (unsaved.size || allDrafts().length)) event.preventDefault();
  });

  function measure() {
    const probe = makeRow(items[0], 0);
    space.append(probe);
    rowHeight = probe.offsetHeight || rowHeight;
    probe.remove();
    space.style.height = `${queue.length * rowHeight}px`;
    for (const row of rows.values()) row.remove();
    rows.clear();
  }
  addEventListener("resize", () => {
    measure();
    renderRows();
  });

  function options(select, values) {
    for (const value of values) select.append(el("option", { value, textContent: value }));
    select.closest("label").hidden = values.length < 2;
  }

  function begin() {
    options(filters.severity, RANKS.filter((rank) => items.some((item) => item.severity === rank)));
    options(filters.kind, [...new Set(items.map((item) => item.kind))].sort());
    options(filters.group, [...new Set(items.map((item) => item.group))]);
    makeVerbs();
    readDrafts();
    readUnsaved();
    desk.hidden = false;
    measure();
    refilter();
    renderProgress();
    renderMode();
    renderAlerts();
    const asked = /^#f-(.+)$/u.exec(location.hash);
    const item = (asked && byFinding.get(asked[1])) || queue[0];
    show(item, { from: "start" });
    if (served) poll();
  }
  begin();
})();
