// What htmx does not do by itself: the dialogs, the pause while nobody looks, and the charts.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);

  // --- the dialogs

  function askToStop(button) {
    const form = byId("stop-form");
    form.elements.session_id.value = button.dataset.sessionId;
    form.elements.stream_id.value = button.dataset.streamId;
    form.elements.reason.value = "";
    byId("stop-agent").textContent = button.dataset.agent;
    byId("stop-session").textContent = button.dataset.session;
    byId("stop").showModal();
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button?.classList.contains("stop")) askToStop(button);
    if (button && "close" in button.dataset) button.closest("dialog").close();
  });

  document.addEventListener("stopped", () => {
    for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
    refresh();
  });

  // --- what comes, and what does not

  document.addEventListener("htmx:after:swap", (event) => {
    if (event.target.id === "stop-all-form" || event.detail.ctx?.target?.id === "stop-all-form") {
      const dialog = byId("stop-all");
      if (!dialog.open) dialog.showModal();
    }
    drawAll();
  });

  document.addEventListener("htmx:after:request", (event) => {
    const { response } = event.detail.ctx;
    if (response.status < 400) tell("");
    else for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  });

  document.addEventListener("htmx:error", () => {
    tell("The service does not answer. What you see may be old; this page goes on trying.");
  });

  function tell(text) {
    const fault = byId("fault");
    if (!text) fault.replaceChildren();
    else if (fault.textContent !== text) fault.textContent = text;
  }

  // --- the pause while nobody looks

  document.addEventListener("htmx:config:request", (event) => {
    if (document.hidden && event.detail.ctx.sourceEvent?.type === "every") event.preventDefault();
  });

  document.addEventListener("visibilitychange", () => {
    const paused = byId("paused");
    if (paused) paused.hidden = !document.hidden;
    if (!document.hidden) refresh();
  });

  function refresh() {
    for (const each of document.querySelectorAll("[data-refresh]")) htmx.trigger(each, "refresh");
  }

  // --- the charts

  const here = document.currentScript.src;
  const drawn = new Map();
  const style = () => getComputedStyle(document.documentElement);

  function colour(name) {
    // A custom property is not computed; what uses it is.
    const probe = document.createElement("i");
    probe.className = `probe-${name}`;
    document.body.append(probe);
    const { color } = getComputedStyle(probe);
    probe.remove();
    return color;
  }

  const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1], ["ms", 0.001]];

  function said(value, unit) {
    if (value === null || value === undefined) return "–";
    if (unit !== "s") return value.toLocaleString("en", { maximumFractionDigits: 1 });
    if (value === 0) return "0";
    const [name, of] = UNITS.find(([, size]) => value >= size) ?? UNITS.at(-1);
    return `${Number((value / of).toPrecision(3))} ${name}`;
  }

  function draw(box) {
    const { times, lines, unit } = JSON.parse(box.dataset.chart);
    const inks = ["accent", "faint", "bad"].map(colour);
    const axis = {
      stroke: colour("faint"),
      grid: { stroke: colour("line"), width: 1 },
      ticks: { show: false },
      font: `12px ${style().fontFamily}`,
    };
    const stepped = uPlot.paths.stepped({ align: 1 });
    const chart = new uPlot(
      {
        width: box.clientWidth,
        height: 160,
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
        cursor: { y: false, points: { size: 6 } },
        legend: { live: true },
        scales: { y: { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] } },
        axes: [
          { ...axis, values: "{HH}:{mm}" },
          { ...axis, size: 56, values: (_, ticks) => ticks.map((tick) => said(tick, unit)) },
        ],
        series: [
          { label: "UTC", value: "{YYYY}-{MM}-{DD} {HH}:{mm}" },
          ...lines.map(({ label }, number) => ({
            label,
            stroke: inks[number],
            width: 1.5,
            paths: stepped,
            // Hours in which nothing was stopped lie between those in which something was.
            points: { show: unit === "s", size: 5 },
            value: (_, value) => said(value, unit),
          })),
        ],
      },
      [times, ...lines.map(({ values }) => values)],
      box,
    );
    drawn.set(box, chart);
  }

  // uPlot comes when there is something to draw, so that what streams is seen sooner.
  let coming = null;
  function uPlotIsHere() {
    const file = (name) => new URL(name + new URL(here).search, here).href;
    coming ??= new Promise((come, fail) => {
      const look = document.createElement("link");
      Object.assign(look, { rel: "stylesheet", href: file("uPlot.min.css"), onerror: fail });
      const script = document.createElement("script");
      Object.assign(script, { src: file("uPlot.min.js"), onload: come, onerror: fail });
      document.head.append(look, script);
    });
    return coming;
  }

  async function drawAll() {
    if (!document.querySelector("[data-chart]")) return;
    await uPlotIsHere();
    for (const [box, chart] of drawn) {
      if (box.isConnected) continue;
      chart.destroy();
      drawn.delete(box);
    }
    for (const box of document.querySelectorAll("[data-chart]")) if (!drawn.has(box)) draw(box);
  }

  function drawAnew() {
    for (const [box, chart] of drawn) {
      chart.destroy();
      drawn.delete(box);
    }
    drawAll();
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAnew);
  let widthOf = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === widthOf) return;
    widthOf = innerWidth;
    drawAnew();
  });
})();
