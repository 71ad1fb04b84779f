// What pages do beyond showing what the server wrote: they keep it new, and draw charts one can point at. Without scripts
// everything that is shown is there too, as of when it was loaded.
"use strict";

// The address that `skylink console` prints holds the code behind `#`, where no server sees it: it is given to the form.
const signIn = document.querySelector("[data-sign-in]");
if (signIn && location.hash.length > 1) {
  signIn.elements.code.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  signIn.requestSubmit();
}

const live = document.body.dataset.live;
if (live) keepNew(live);

function keepNew(path) {
  // A message comes each second. After so long without one, what is shown is no longer called live.
  const SILENCE_MS_MAX = 5000;
  // How long it takes until a connection is tried again.
  const AGAIN_MS = 3000;

  const freshness = document.querySelector("[data-freshness]");
  const filter = document.querySelector("[data-filter]");
  const words = document.createElement("span");
  const button = document.createElement("button");
  button.type = "button";
  freshness.replaceChildren(words, button);

  let source = null, again = null, lastAt = performance.now(), isPaused = false, isOut = false;
  let at = freshness.dataset.at;
  const charts = drawCharts();

  function query() {
    const asked = new URLSearchParams(new FormData(filter));
    for (const [name, value] of [...asked]) if (!value) asked.delete(name);
    return asked.toString();
  }

  function open() {
    close();
    if (isPaused || isOut || document.hidden) return tell();
    const asked = query();
    source = new EventSource(asked ? `${path}?${asked}` : path);
    source.addEventListener("news", (message) => take(JSON.parse(message.data)));
    source.addEventListener("signed-out", () => { isOut = true; close(); tell(); });
    // A browser gives up where it was told no. It is tried again: a market that starts anew knows nobody, and says so.
    source.addEventListener("error", () => {
      if (source && source.readyState === EventSource.CLOSED) {
        close();
        again = setTimeout(open, AGAIN_MS);
        fetch(path, { method: "HEAD" }).then((answer) => { if (answer.status === 403) { isOut = true; close(); tell(); } }, () => {});
      }
      tell();
    });
    tell();
  }

  function close() {
    clearTimeout(again);
    if (source) source.close();
    source = null;
  }

  function take(news) {
    for (const [name, html] of Object.entries(news.parts)) {
      const part = document.querySelector(`[data-part="${name}"]`);
      if (!part) continue;
      // What somebody has opened stays open, and what he is at keeps the focus.
      const isOpen = [...part.querySelectorAll("details")].map((details) => details.open);
      const focused = part.contains(document.activeElement) ? [...part.querySelectorAll("a, summary, [tabindex]")].indexOf(document.activeElement) : -1;
      part.innerHTML = html;
      part.querySelectorAll("details").forEach((details, at) => { details.open = isOpen[at] || false; });
      if (focused >= 0) part.querySelectorAll("a, summary, [tabindex]")[focused]?.focus();
    }
    at = news.at;
    lastAt = performance.now();
    charts.show(news.points);
    tell();
  }

  // Says in words whether what is shown is what is; nothing that is old may look as if it were new.
  function tell() {
    const silence = performance.now() - lastAt;
    const isLost = !isPaused && !isOut && !document.hidden && silence > SILENCE_MS_MAX;
    const state = isOut ? "out" : isPaused ? "paused" : isLost ? "lost" : "live";
    const said = {
      out: `<strong>Signed out.</strong> What is shown is as of ${at}. <a href="/sign-in">Sign in again</a>`,
      paused: `<strong>Paused</strong> as of ${at}`,
      lost: `<strong>Connection lost.</strong> What is shown is as of ${at}, ${Math.round(silence / 1000)} s ago. It is tried again.`,
      live: `<strong>Live</strong> as of ${at}`,
    }[state];
    if (words.innerHTML !== said) words.innerHTML = said;
    const named = isPaused ? "Resume" : "Pause";
    if (button.textContent !== named) button.textContent = named;
    button.hidden = isOut;
    document.body.dataset.connection = state;
  }

  button.addEventListener("click", () => {
    isPaused = !isPaused;
    lastAt = performance.now();
    open();
  });
  document.addEventListener("visibilitychange", () => { lastAt = performance.now(); open(); });
  filter.addEventListener("submit", (event) => {
    event.preventDefault();
    const asked = query();
    history.replaceState(null, "", asked ? `/?${asked}` : "/");
    isPaused = false;
    open();
  });
  filter.elements.area.addEventListener("change", () => filter.requestSubmit());
  setInterval(tell, 1000);
  open();
}

// Draws the charts in place of those of the server, which stay where there is nothing to draw with.
function drawCharts() {
  const plots = { orders: ["orders"], answers: ["p99_us", "p50_us"] };
  let drawn = {}, points = null;

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const count = (value) => value.toLocaleString("en");
  const took = (us) => us < 1000 ? `${Math.round(us)} µs` : us < 1e6 ? `${+(us / 1000).toPrecision(2)} ms` : `${+(us / 1e6).toPrecision(2)} s`;
  const told = { orders: (value) => `${count(value)} /s`, answers: took };
  const ago = (seconds) => seconds === 0 ? "now" : seconds % 60 === 0 ? `${-seconds / 60} min ago` : `${-seconds} s ago`;

  function data(id) {
    const length = points.orders.length;
    // The last second ended a moment ago.
    const times = Array.from({ length }, (_, at) => at - length + 1);
    return [times, ...plots[id].map((name) => points[name])];
  }

  function draw(id) {
    const place = document.querySelector(`[data-plot="${id}"]`);
    if (!place || typeof uPlot === "undefined") return;
    const soft = color("--soft"), line = color("--line");
    const font = `11px ${getComputedStyle(document.body).fontFamily}`;
    const [first, second] = id === "orders" ? [color("--one")] : [color("--two"), color("--one")];
    const lines = [first, second].filter(Boolean).map((stroke, at) => ({
      stroke, width: 1.5, points: { show: false }, fill: id === "orders" ? `color-mix(in srgb, ${stroke} 14%, transparent)` : undefined,
      spanGaps: false,
      paths: id === "orders" ? uPlot.paths.stepped({ align: -1 }) : undefined,
    }));
    // Single seconds between quiet ones have no line: they are dots.
    if (id === "answers") lines.forEach((series) => { series.points = { show: true, size: 3, width: 0, fill: series.stroke, filter: alone }; });
    place.classList.add("drawn");
    place.replaceChildren();
    const readout = place.parentElement.querySelector("[data-readout]");
    drawn[id] = new uPlot({
      width: place.clientWidth, height: place.clientHeight, padding: [6, 18, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { setScale: false, x: false, y: false }, points: { size: 6 } },
      scales: { x: { time: false, range: [-(points.seconds - 1), 0] }, y: { range: (_, low, high) => [0, top(high)] } },
      axes: [
        { stroke: soft, font, size: 22, gap: 4, grid: { stroke: line, width: 1 }, ticks: { show: false },
          splits: () => place.clientWidth < 420 ? [-240, -120, 0] : [-240, -180, -120, -60, 0],
          values: (_, splits) => splits.map((at) => at === 0 ? "now" : `−${-at / 60} min`) },
        { stroke: soft, font, size: 56, gap: 6, grid: { stroke: line, width: 1 }, ticks: { show: false },
          splits: (_, __, low, high) => [0, high / 2, high], values: (_, splits) => splits.map((value) => told[id](value)) },
      ],
      series: [{}, ...lines],
      hooks: { setCursor: [(plot) => {
        const at = plot.cursor.idx;
        if (!readout) return;
        if (at === null || at === undefined) { readout.textContent = ""; return; }
        const values = plot.data.slice(1).map((values) => values[at] === null ? "–" : told[id](values[at]));
        readout.textContent = `${ago(plot.data[0][at])}: ${values.reverse().join(" / ")}`;
      }] },
    }, data(id), place);
  }

  function alone(plot, series) {
    const values = plot.data[series];
    return values.flatMap((value, at) => value !== null && values[at - 1] == null && values[at + 1] == null ? [at] : []);
  }

  function top(value) {
    const least = Math.max(value || 0, 2);
    const power = 10 ** Math.floor(Math.log10(least));
    return [1, 2, 5, 10].map((step) => step * power).find((round) => round >= least);
  }

  function redraw() {
    if (!points) return;
    for (const id of Object.keys(plots)) {
      if (drawn[id]) drawn[id].destroy();
      draw(id);
    }
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  new ResizeObserver(() => {
    for (const [id, plot] of Object.entries(drawn)) {
      const place = document.querySelector(`[data-plot="${id}"]`);
      if (place.clientWidth !== plot.width) plot.setSize({ width: place.clientWidth, height: place.clientHeight });
    }
  }).observe(document.querySelector("main"));

  return {
    show(news) {
      points = news;
      for (const id of Object.keys(plots)) {
        const label = news.labels[id];
        document.querySelector(`[data-plot="${id}"]`)?.setAttribute("aria-label", label);
        if (drawn[id]) drawn[id].setData(data(id)); else draw(id);
      }
    },
  };
}
