"use strict";
(() => {
  const tip = document.getElementById("tip");
  const data = new Map();
  const ring = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  ring.setAttribute("class", "ring");
  ring.setAttribute("r", "7");

  // Data of the run that an element belongs to: ids begin with the run's prefix.
  const dataOf = (svg) => {
    const prefix = svg.id.split("-")[0];
    if (!data.has(prefix)) {
      const source = document.getElementById(prefix + "-data");
      data.set(prefix, source ? JSON.parse(source.textContent) : null);
    }
    return data.get(prefix);
  };

  const describe = (d, i) => {
    const lines = [`${d.feasible[i] ? "feasible" : "breaks a constraint"}, accuracy ${d.accuracy[i].toFixed(2)}%`];
    lines.push(d.measures.map(([field, unit]) => `${d[field][i]} ${unit}`).join(", "));
    for (let k = 0; k < d.exits; k++) {
      const [at, branch, bits, core, branchCore] = d.genome[i].slice(5 * k, 5 * k + 5);
      if (at >= 0) {
        const kind = branch >= 0 ? d.branches[branch] : "classifier";
        lines.push(`after ${d.blocks[at]}: ${kind}, ${bits} bits, on ${d.cores[core]}, branch on ${d.cores[branchCore]}`);
      }
    }
    if (d.count[i] > 1) lines.push(`one of ${d.count[i]} at this place`);
    return lines.join("\n");
  };

  const words = (element) => {
    const row = element.dataset.i;
    if (row === undefined) return element.dataset.tip || "";
    const d = dataOf(element.ownerSVGElement);
    return d ? describe(d, Number(row)) : "";
  };

  let shownAt = null;
  const show = (text, x, y) => {
    if (!text) { hide(); return; }
    shownAt = scrollX + "," + scrollY;
    tip.textContent = text;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const left = x + 14 + box.width > innerWidth ? x - 14 - box.width : x + 14;
    const top = y + 14 + box.height > innerHeight ? y - 14 - box.height : y + 14;
    tip.style.left = Math.max(4, left) + "px";
    tip.style.top = Math.max(4, top) + "px";
  };

  const hide = () => { tip.hidden = true; ring.remove(); };

  const mark = (element) => {
    const svg = element.ownerSVGElement;
    if (!svg) return;
    const box = element.getBBox();
    ring.setAttribute("cx", box.x + box.width / 2);
    ring.setAttribute("cy", box.y + box.height / 2);
    ring.setAttribute("r", Math.max(box.width, box.height) / 2 + 4);
    svg.append(ring);
  };

  const showFor = (element) => {
    const box = element.getBoundingClientRect();
    if (element.matches("svg [data-i], svg [tabindex]")) mark(element);
    show(words(element), box.x + box.width / 2, box.y + box.height / 2);
  };

  // The nearest mark of a cloud within reach: single dots are too small to be hit.
  const places = new WeakMap();
  const nearest = (svg, x, y) => {
    if (!places.has(svg)) {
      places.set(svg, [...svg.querySelectorAll("[data-i]")].map((dot) => [Number(dot.getAttribute("cx")), Number(dot.getAttribute("cy")), dot]));
    }
    const at = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM().inverse());
    let best = null, least = 15 * 15;
    for (const [cx, cy, dot] of places.get(svg)) {
      const far = (cx - at.x) ** 2 + (cy - at.y) ** 2;
      if (far < least) { least = far; best = dot; }
    }
    return best;
  };

  document.addEventListener("pointermove", (event) => {
    const target = event.target instanceof Element ? event.target : document.body;
    const told = target.closest("[data-tip]:not([data-i])");
    if (told && !told.matches(".baseline, .bound")) {
      if (told.matches("svg [tabindex]")) mark(told); else ring.remove();
      show(words(told), event.clientX, event.clientY);
      return;
    }
    const svg = target.closest("svg");
    const dot = svg && svg.querySelector("[data-i]") ? nearest(svg, event.clientX, event.clientY) : null;
    if (dot) { mark(dot); show(words(dot), event.clientX, event.clientY); }
    else if (told) { ring.remove(); show(words(told), event.clientX, event.clientY); }
    else hide();
  });
  document.addEventListener("focusin", (event) => {
    if (event.target.matches && event.target.matches("[data-tip], [data-i]")) showFor(event.target);
  });
  document.addEventListener("focusout", hide);
  // Focus scrolls a mark into view, and the event comes after: the tip then goes with its mark.
  addEventListener("scroll", () => {
    if (tip.hidden || shownAt === scrollX + "," + scrollY) return;
    const active = document.activeElement;
    if (active && active.matches("svg [tabindex]")) showFor(active); else hide();
  }, { passive: true });

  // On paper nothing can be opened.
  const opened = [];
  addEventListener("beforeprint", () => {
    for (const closed of document.querySelectorAll("details:not([open])")) { closed.open = true; opened.push(closed); }
  });
  addEventListener("afterprint", () => { for (const details of opened.splice(0)) details.open = false; });

  // One stop of the Tab key per figure; the arrow keys go from mark to mark, by rising x.
  for (const svg of document.querySelectorAll("svg")) {
    const stops = [...svg.querySelectorAll("[tabindex]")];
    const middle = (element) => { const box = element.getBBox(); return box.x + box.width / 2; };
    for (const stop of stops) {
      stop.setAttribute("tabindex", "-1");
      if (stop.dataset.i !== undefined) stop.setAttribute("aria-label", words(stop).replaceAll("\n", "; "));
    }
    if (stops.length) stops[0].setAttribute("tabindex", "0");
    svg.addEventListener("keydown", (event) => {
      if (event.key === "Escape") { hide(); return; }
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowUp: 1, ArrowDown: -1, Home: -1e9, End: 1e9 }[event.key];
      if (!step) return;
      event.preventDefault();
      const order = [...stops].sort((a, b) => middle(a) - middle(b));
      const now = order.indexOf(document.activeElement);
      const next = order[Math.min(order.length - 1, Math.max(0, now + step))];
      for (const stop of stops) stop.setAttribute("tabindex", "-1");
      next.setAttribute("tabindex", "0");
      next.focus();
    });
  }
})();
