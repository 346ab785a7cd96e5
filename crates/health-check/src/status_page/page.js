
"use strict";
(() => {
  const element = id => document.getElementById(id);
  const [main, summary, controls, pause, said] = ["upstreams", "summary", "controls", "pause", "said"].map(element);
  let source = null, again = 0, paused = false, drawn = performance.now();

  // The words of the server.
  const words = seconds => {
    const minutes = Math.floor(seconds / 60), hours = Math.floor(seconds / 3600), days = Math.floor(seconds / 86400);
    if (minutes === 0) return `${seconds}\u00a0s`;
    if (hours === 0) return `${minutes}\u00a0min ${seconds % 60}\u00a0s`;
    if (days === 0) return `${hours}\u00a0h ${minutes % 60}\u00a0min`;
    return `${days}\u00a0d ${hours % 24}\u00a0h`;
  };
  const tell = (where, text) => { if (where.textContent !== text) where.textContent = text; };
  const tick = () => {
    const passed = (performance.now() - drawn) / 1000;
    for (const { dataset, firstChild } of main.querySelectorAll("[data-ago], [data-in]")) {
      const seconds = dataset.ago === undefined ? Number(dataset.in) - passed : Number(dataset.ago) + passed;
      firstChild.data = words(Math.max(0, Math.floor(seconds)));
    }
  };
  // What somebody has opened, scrolled or focused stays so.
  const draw = html => {
    const before = new Map(Array.from(main.querySelectorAll("[data-key]"), old => [old.localName + old.dataset.key, old]));
    const active = document.activeElement?.closest("[data-key]") ?? null;
    const focused = active !== null && main.contains(active) ? active.localName + active.dataset.key : null;
    main.innerHTML = html;
    drawn = performance.now();
    for (const now of main.querySelectorAll("[data-key]")) {
      const key = now.localName + now.dataset.key, old = before.get(key);
      if (now.localName === "details") now.open = old !== undefined && old.open;
      else if (old !== undefined) now.scrollLeft = old.dataset.left ?? 0;
      if (key === focused) (now.querySelector(":scope > summary") ?? now).focus({ preventScroll: true });
    }
  };
  const stop = () => {
    clearTimeout(again);
    if (source !== null) source.close();
    source = null;
  };
  const start = () => {
    stop();
    const path = location.pathname.replace(/\/$/, "");
    source = new EventSource(`${path}/events${location.search}`);
    source.onopen = () => tell(said, "Live.");
    source.addEventListener("rows", event => draw(event.data));
    source.addEventListener("summary", event => {
      tell(summary, event.data);
      document.title = event.data;
    });
    source.onerror = () => {
      tell(said, "Not connected; trying again.");
      // A refusal ends it, unlike a connection that is lost.
      if (source.readyState === EventSource.CLOSED) again = setTimeout(start, 5000);
    };
  };
  main.addEventListener("scroll", ({ target }) => { target.dataset.left = target.scrollLeft; }, true);
  pause.addEventListener("click", () => {
    paused = !paused;
    tell(pause, paused ? "Resume" : "Pause");
    if (paused) {
      stop();
      tell(said, "Paused.");
    } else start();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) stop();
    else if (!paused) start();
  });
  setInterval(() => { if (!paused) tick(); }, 1000);
  controls.hidden = false;
  if (!document.hidden) start();
})();
