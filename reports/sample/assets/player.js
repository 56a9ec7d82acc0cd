// Tie player, findings and charts of one clip together. Without this script findings link to the video itself.
"use strict";

(() => {
  // Two decimals, a tie to the even digit: as the page writes the same moment.
  const two = (s) => {
    const near = Math.round(s * 100);
    return ((Math.abs(s * 100 - near) === 0.5 && near % 2 ? near - 1 : near) / 100).toFixed(2);
  };
  const video = document.querySelector(".player video");
  if (!video) return;
  document.documentElement.classList.add("js");
  const player = document.querySelector(".player");
  const fps = Number(player.dataset.fps);
  const controls = player.querySelector(".controls");
  const clock = controls.querySelector(".clock");
  const box = player.querySelector(".overlay .box");
  const charts = Array.from(document.querySelectorAll(".series[data-end]"));
  const moments = Array.from(document.querySelectorAll(".filmstrip a"));
  let span = null;

  function drawBox(numbers) {
    if (!box) return;
    const [left, top, right, bottom] = numbers || [0, 0, 0, 0];
    box.setAttribute("x", left);
    box.setAttribute("y", top);
    box.setAttribute("width", Math.max(0, right - left));
    box.setAttribute("height", Math.max(0, bottom - top));
  }

  function whenReady(action) {
    if (video.readyState >= 1) {
      action();
    } else {
      video.addEventListener("loadedmetadata", action, { once: true });
      video.preload = "auto";
      video.load();
    }
  }

  function seek(seconds) {
    whenReady(() => {
      video.currentTime = Math.max(0, seconds);
    });
  }

  function choose(link) {
    const index = link ? link.closest("[data-finding]").dataset.finding : null;
    for (const node of document.querySelectorAll("[data-finding]")) {
      node.classList.toggle("current", node.dataset.finding === index);
    }
    span = link ? { start: Number(link.dataset.start), end: Number(link.dataset.end) } : null;
    span = span && { ...span, box: link.dataset.box ? link.dataset.box.split(" ").map(Number) : null };
    if (span) seek(span.start + 1e-3); // just inside the first frame of the span
    draw();
  }

  function draw() {
    const now = video.currentTime;
    clock.textContent = fps ? `${two(now)} s, frame ${Math.floor(now * fps + 1e-3)}` : `${two(now)} s`;
    const reached = video.readyState >= 1 ? moments.filter((link) => Number(link.dataset.at) <= now + 2e-3).pop() : null;
    for (const link of moments) link.classList.toggle("current", link === reached);
    for (const chart of charts) {
      const line = chart.querySelector(".playhead");
      const left = Number(chart.dataset.left);
      const at = `${left + (100 - left) * Math.min(1, now / Number(chart.dataset.end))}%`;
      line.setAttribute("x1", at);
      line.setAttribute("x2", at);
      chart.classList.toggle("live", video.readyState >= 1);
    }
    const inside = span && span.box && now >= span.start - 0.02 && now < span.end + 0.02;
    drawBox(inside ? span.box : null);
  }

  function follow() {
    draw();
    if (!video.paused) requestAnimationFrame(follow);
  }

  document.querySelector(".found-list").addEventListener("click", (event) => {
    const link = event.target.closest(".seek");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    video.pause();
    choose(link);
  });
  for (const chart of charts) {
    chart.addEventListener("click", (event) => {
      const marked = event.target.closest("[data-finding]");
      const link = marked && document.querySelector(`#finding-${marked.dataset.finding} .seek`);
      const edge = chart.getBoundingClientRect();
      const left = Number(chart.dataset.left) / 100;
      const at = (((event.clientX - edge.left) / edge.width - left) / (1 - left)) * Number(chart.dataset.end);
      video.pause();
      if (link) choose(link);
      else seek(at);
    });
  }
  for (const link of moments) {
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      video.pause();
      seek(Number(link.dataset.at) + 1e-3); // just inside the frame
    });
  }
  controls.addEventListener("click", (event) => {
    const step = event.target.closest("[data-step]");
    if (!step) return;
    video.pause();
    const frame = Math.floor(video.currentTime * fps + 1e-3) + Number(step.dataset.step);
    seek((Math.max(0, frame) + 0.5) / fps); // the middle of a frame, so that rounding cannot show its neighbour
  });
  controls.addEventListener("change", (event) => {
    if (event.target.matches("[data-speed]")) video.playbackRate = Number(event.target.value);
  });
  for (const name of ["timeupdate", "seeked", "loadedmetadata", "pause"]) video.addEventListener(name, draw);
  video.addEventListener("play", follow);
  controls.hidden = false;

  const asked = /^#t=(\d+(?:\.\d+)?)$/.exec(location.hash);
  if (asked) {
    const at = Number(asked[1]);
    const link = Array.from(document.querySelectorAll(".seek")).find((l) => Math.abs(Number(l.dataset.start) - at) < 2e-3);
    if (link) choose(link);
    else seek(at);
  }
})();
