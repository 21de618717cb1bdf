"use strict";
// Small helpers. Text from the instance only ever becomes text nodes.

const byId = (id) => document.getElementById(id);

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "style") for (const [name, it] of Object.entries(value)) element.style.setProperty(name, it);
    else if (key.includes("-") || key === "role") element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

// Makes what is shown equal to what it should be, element by element: what has the focus keeps it, and a click that
// began before an update still ends on the same button.
function render(container, ...children) {
  const wanted = container.cloneNode(false);
  wanted.append(...children.filter((child) => child != null));
  morph(container, wanted);
}

function morph(shown, wanted) {
  if (shown.nodeType === Node.TEXT_NODE && shown.data !== wanted.data) shown.data = wanted.data;
  if (shown.nodeType !== Node.ELEMENT_NODE) return;
  // By their names: a look at `attributes` makes a node of each, which stays.
  for (const name of shown.getAttributeNames()) if (!wanted.hasAttribute(name)) shown.removeAttribute(name);
  for (const name of wanted.getAttributeNames()) {
    const value = wanted.getAttribute(name);
    if (shown.getAttribute(name) !== value) shown.setAttribute(name, value);
  }
  shown.onclick = wanted.onclick;
  shown.onpointermove = wanted.onpointermove;
  shown.onpointerleave = wanted.onpointerleave;
  const [before, after] = [[...shown.childNodes], [...wanted.childNodes]];
  after.forEach((child, index) => {
    const old = before[index];
    if (!old) shown.append(child);
    else if (old.nodeName !== child.nodeName) old.replaceWith(child);
    else morph(old, child);
  });
  before.slice(after.length).forEach((child) => child.remove());
}

// The token, where one is needed, is kept as long as this tab.
const token = { key: "portolan-token", asked: null };

async function ask(path, method = "GET") {
  const known = sessionStorage.getItem(token.key);
  const headers = known ? { authorization: `Bearer ${known}` } : {};
  const answer = await fetch(path, { method, headers, cache: "no-store" });
  if (answer.status === 401 && token.asked !== (known ?? "")) {
    // Requests that run at the same time ask once.
    token.asked = known ?? "";
    const given = prompt("Token of the administration (the content of admin.token_file)");
    if (given) {
      sessionStorage.setItem(token.key, given.trim());
      return ask(path, method);
    }
  }
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok && (body.error || answer.status !== 503)) {
    const known = body.known ? ` There is: ${body.known.join(", ")}.` : "";
    throw new Error(`${body.error ?? answer.statusText}.${known}${body.hint ? ` ${body.hint}` : ""}`);
  }
  return body;
}

const sum = (counts) => Object.values(counts).reduce((total, count) => total + count, 0);
const of = (counts, words) => words.reduce((total, word) => total + (counts[word] ?? 0), 0);

function compact(value) {
  if (value == null || !Number.isFinite(value)) return "–";
  if (value >= 10_000) return `${(value / 1000).toFixed(value >= 100_000 ? 0 : 1)}k`;
  return value >= 10 || Number.isInteger(value) ? value.toFixed(0) : value.toFixed(1);
}

function milliseconds(seconds) {
  if (seconds == null) return "–";
  const value = seconds * 1000;
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  return `${value >= 10 ? value.toFixed(0) : value.toFixed(1)} ms`;
}

// How long something takes or took, such as 4 s, 12 min, 3 h or 5 days.
function span(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`;
}

const ago = (time) => `${span((Date.now() - new Date(time)) / 1000)} ago`;
const short = (digest) => digest.replace(/^sha256:/, "").slice(0, 12);

function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child != null));
  return element;
}

// Samples of counters, newest last; empty again when the counters began anew.
class Recent {
  constructor(length) {
    this.length = length;
    this.samples = [];
  }

  push(sample) {
    const last = this.samples.at(-1);
    if (last && last.requests > sample.requests) this.samples = [];
    this.samples.push(sample);
    if (this.samples.length > this.length) this.samples.shift();
  }

  // What came in the last `count` intervals.
  recent(count) {
    const now = this.samples.at(-1);
    const then = this.samples.at(-1 - Math.min(count, this.samples.length - 1));
    return now && now !== then ? { now, then, seconds: (now.at - then.at) / 1000 } : null;
  }

  rates() {
    return this.samples.slice(1).map((now, index) => {
      const then = this.samples[index];
      return (now.requests - then.requests) / Math.max((now.at - then.at) / 1000, 0.001);
    });
  }
}

// The quantile of the durations between two readings of the same buckets, in seconds.
function quantile(now, then, share) {
  const count = now.count - then.count;
  if (count <= 0) return null;
  const wanted = share * count;
  let [below, lower] = [0, 0];
  for (const [index, [bound, total]] of now.buckets.entries()) {
    const within = total - then.buckets[index][1];
    if (within >= wanted) return lower + ((bound - lower) * (wanted - below)) / Math.max(within - below, 1);
    [below, lower] = [within, bound];
  }
  return lower;
}

function sparkline(values) {
  const top = Math.max(...values, 1);
  const points = values.map((value, index) => {
    const x = 89 - (values.length - 1 - index) * (88 / 59);
    return `${x.toFixed(1)},${(20.5 - (19 * value) / top).toFixed(1)}`;
  });
  return svg("svg", { class: "spark", viewBox: "0 0 90 22", "aria-hidden": "true" }, svg("polyline", { points: points.join(" ") }));
}
