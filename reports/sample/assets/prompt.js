// Play all clips of one prompt together. Without this script each has its own controls.
//
// The longest clip leads. The others follow its clock: a small drift is taken up by playing a little faster or slower,
// a large one by a jump. Everything is by time, so clips of different frame rates stay together.
"use strict";

(() => {
  // Two decimals, a tie to the even digit: as the page writes the same moment.
  const two = (s) => {
    const near = Math.round(s * 100);
    return ((Math.abs(s * 100 - near) === 0.5 && near % 2 ? near - 1 : near) / 100).toFixed(2);
  };
  const bar = document.querySelector(".transport");
  const takes = Array.from(document.querySelectorAll(".take video"), (video) => {
    const figure = video.closest(".take");
    return {
      video,
      figure,
      index: figure.dataset.take,
      seconds: Number(figure.dataset.seconds),
      fps: Number(figure.dataset.fps) || 25,
      held: figure.querySelector(".held"),
      chosen: figure.querySelector("[data-sync]"),
      broken: false,
    };
  });
  if (!bar || !takes.length) return;
  document.documentElement.classList.add("js");
  const playButton = bar.querySelector("[data-action=play]");
  const slider = bar.querySelector("[data-seek]");
  const clock = bar.querySelector(".clock");
  const loop = bar.querySelector("[data-loop]");
  let at = 0; // the moment all are at, in seconds
  let wanted = 0; // the moment they are on their way to
  let seeking = null; // the promise of that
  let playing = false;
  let speed = 1;

  const active = () => takes.filter((take) => take.chosen.checked && !take.broken);
  const length = (take) => (Number.isFinite(take.video.duration) && take.video.duration > 0 ? take.video.duration : take.seconds);
  const last = (take) => Math.max(0, length(take) - 0.5 / take.fps); // within the last frame
  const leader = () => active().reduce((a, b) => (a && length(a) >= length(b) ? a : b), null);
  const whole = () => Math.max(0, ...active().map(length));
  const rate = () => Math.max(1, ...active().map((take) => take.fps));

  function once(video, names) {
    return new Promise((resolve) => {
      const stop = new AbortController();
      const done = (event) => {
        stop.abort();
        resolve(event.type);
      };
      for (const name of names) video.addEventListener(name, done, { signal: stop.signal });
    });
  }

  async function ready(take) {
    const { video } = take;
    if (take.broken || video.readyState >= 1) return;
    if (video.error || video.networkState === HTMLMediaElement.NETWORK_NO_SOURCE) fail(take);
    if (take.broken) return;
    const loaded = once(video, ["loadedmetadata", "error"]);
    if (video.preload !== "auto") {
      video.preload = "auto";
      video.load();
    }
    if ((await loaded) === "error") fail(take);
  }

  function fail(take) {
    take.broken = true;
    take.held.textContent = "This browser cannot play the clip: it is left out.";
  }

  async function place(take, time) {
    await ready(take);
    if (take.broken) return;
    const target = Math.min(time, last(take));
    if (Math.abs(take.video.currentTime - target) < 1e-4 && !take.video.seeking) return;
    const arrived = once(take.video, ["seeked", "error"]);
    take.video.currentTime = target;
    await arrived;
  }

  // Take all players to a moment. While they are on their way a further call only changes where to.
  function seek(time) {
    wanted = Math.max(0, time);
    draw(wanted);
    seeking ||= (async () => {
      let reached;
      do {
        reached = wanted;
        await Promise.all(active().map((take) => place(take, reached)));
        wanted = Math.min(wanted, Math.max(0, whole()));
      } while (Math.min(reached, whole()) !== wanted);
      at = wanted;
      seeking = null;
      draw(at);
    })();
    return seeking;
  }

  function start(take) {
    if (at < last(take)) take.video.play().catch(() => {});
  }

  async function play() {
    playing = true;
    draw(at);
    await Promise.all(active().map(ready));
    await seek(at >= whole() - 1 / rate() ? 0 : at);
    if (!playing) return;
    for (const take of active()) {
      take.video.playbackRate = speed;
      start(take);
    }
    requestAnimationFrame(follow);
  }

  // Stop, all on the frame that the leader shows.
  function pause() {
    const lead = leader();
    if (playing && lead && !seeking) at = Math.min(lead.video.currentTime, last(lead));
    playing = false;
    for (const take of takes) take.video.pause();
    return seek(middle(frame(at)));
  }

  const frame = (time) => Math.floor(time * rate() + 1e-3);
  // the middle of a frame, so that rounding cannot show its neighbour
  const middle = (number) => (Math.min(Math.max(0, number), Math.max(0, Math.ceil(whole() * rate() - 1e-3) - 1)) + 0.5) / rate();

  async function again() {
    for (const take of takes) take.video.pause();
    if (!loop.checked) {
      playing = false;
      await seek(whole());
      return;
    }
    await seek(0);
    if (playing) play();
  }

  function follow() {
    if (!playing) return;
    const lead = leader();
    if (!lead) {
      pause();
      return;
    }
    if (lead.video.ended) {
      again();
      return;
    }
    if (!seeking) {
      at = lead.video.currentTime;
      for (const take of active()) steer(take, take === lead);
      draw(at);
    }
    requestAnimationFrame(follow);
  }

  function steer(take, leads) {
    const { video } = take;
    let factor = 1;
    if (!leads && !video.seeking) {
      if (at >= last(take)) return; // it runs into its end and stays there
      if (video.paused || video.ended) start(take);
      const drift = video.currentTime - at;
      if (Math.abs(drift) > 0.3 * speed + 0.1) video.currentTime = at;
      else if (Math.abs(drift) > Math.min(0.25 / take.fps, 0.015)) factor = 1 - Math.min(Math.max(drift * 4, -0.3), 0.3);
    }
    if (Math.abs(video.playbackRate - speed * factor) > 0.004 * speed) video.playbackRate = speed * factor;
  }

  function draw(time) {
    const end = whole();
    slider.max = String(end || 1);
    slider.value = String(time);
    slider.setAttribute("aria-valuetext", `${two(time)} seconds`);
    clock.textContent = `${two(Math.min(time, end))} of ${two(end)} s`;
    playButton.textContent = playing ? "Pause all" : "Play all";
    for (const take of takes) {
      if (take.broken) continue;
      const over = take.chosen.checked && end - length(take) > 0.5 / take.fps && time >= length(take) - 0.5 / take.fps;
      const text = over ? `ended at ${two(length(take))} s, holds its last frame` : "";
      if (take.held.textContent !== text) take.held.textContent = text;
    }
  }

  function choose(take) {
    take.figure.classList.toggle("left-out", !take.chosen.checked);
    take.video.controls = !take.chosen.checked; // on its own it is played on its own
    if (!take.chosen.checked) take.video.pause();
  }

  for (const take of takes) {
    take.video.loop = false;
    take.chosen.addEventListener("change", () => {
      choose(take);
      if (!playing) seek(at);
    });
    take.video.addEventListener("click", () => {
      if (take.chosen.checked) (playing ? pause : play)();
    });
    take.video.addEventListener("volumechange", () => {
      if (take.chosen.checked && bar.querySelector("[data-sound]")?.value !== take.index) take.video.muted = true;
    });
    choose(take);
  }
  playButton.addEventListener("click", () => (playing ? pause : play)());
  slider.addEventListener("input", () => {
    const time = Number(slider.value);
    if (playing) pause();
    seek(time);
  });
  bar.addEventListener("click", async (event) => {
    const step = event.target.closest("[data-step]");
    if (!step) return;
    if (playing) await pause();
    await Promise.all(active().map(ready));
    seek(middle(frame(seeking ? wanted : at) + Number(step.dataset.step)));
  });
  bar.addEventListener("change", (event) => {
    if (event.target.matches("[data-speed]")) {
      speed = Number(event.target.value);
      for (const take of takes) take.video.playbackRate = speed;
    } else if (event.target.matches("[data-sound]")) {
      for (const take of takes) take.video.muted = take.index !== event.target.value;
    }
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest(".seek[data-take]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const take = takes.find((other) => other.index === link.dataset.take);
    if (!take) return;
    event.preventDefault();
    if (playing) pause();
    for (const other of takes) other.figure.classList.toggle("current", other === take);
    take.figure.scrollIntoView({ block: "center" });
    seek(Number(link.dataset.start) + 1e-3); // just inside the first frame of the span
  });
  const asked = /^#t=(\d+(?:\.\d+)?)$/.exec(location.hash);
  if (asked) seek(Number(asked[1]));
  bar.hidden = false;
  draw(0);
})();
