// The last hour as charts.

const WIDTH = 520;
const HEIGHT = 150;
const EDGE = { left: 46, right: 8, top: 8, bottom: 20 };
const HOUR = 3600;
// What is shown of an instance that was just started.
const SHORTEST = 300;
const QUANTILES = [["p50", "var(--q1)"], ["p95", "var(--q2)"], ["p99", "var(--q3)"]];

// What the instance keeps, as far as it was read.
class Hour {
  constructor() {
    this.clear();
  }

  clear() {
    this.latest = 0;
    this.times = [];
    this.seconds = [];
    this.services = new Map();
  }

  async read() {
    const more = await ask(`api/v1/history?since=${this.latest}`);
    // An instance that was started anew has fewer.
    if (more.times.length === 0 && this.latest > 0) {
      const last = this.times.at(-1) ?? 0;
      if (Date.now() / 1000 - last < 3 * more.interval_seconds) return;
      this.clear();
      return;
    }
    for (const service of more.services) this.take(service, this.times.length);
    this.times.push(...more.times);
    this.seconds.push(...more.seconds);
    const count = this.times.length;
    const over = Math.max(0, count - 360);
    for (const series of this.all()) {
      while (series.length < count) series.push(null);
      series.splice(0, over);
    }
    this.times.splice(0, over);
    this.seconds.splice(0, over);
    this.latest = more.latest;
  }

  *all() {
    for (const service of this.services.values()) {
      yield* Object.values(service.series);
      for (const region of service.regions.values()) yield* Object.values(region);
    }
  }

  take(service, length) {
    const known = this.services.get(service.service) ?? { series: {}, regions: new Map() };
    this.services.set(service.service, known);
    append(known.series, service, length);
    for (const region of service.regions) {
      if (!known.regions.has(region.region)) known.regions.set(region.region, {});
      append(known.regions.get(region.region), region, length);
    }
  }
}

function append(series, more, length) {
  const add = (name, values) => {
    series[name] ??= [];
    while (series[name].length < length) series[name].push(null);
    series[name].push(...values);
  };
  for (const [name, values] of Object.entries(more)) {
    if (Array.isArray(values) && name !== "regions") add(name, values);
    else if (values?.p50) for (const [share] of QUANTILES) add(`${name} ${share}`, values[share]);
  }
}

// Draws what was chosen: a service, or one of its regions.
function showHour(hour, service, region, regions) {
  const known = hour.services.get(service);
  const box = byId("hour");
  // Who reads a value goes on reading it.
  if (box.querySelector("svg:hover") && box.dataset.shown === `${service}/${region}`) return;
  box.dataset.shown = `${service}/${region}`;
  if (!known || hour.times.length < 2) {
    render(box, make("p", { className: "empty" }, "The first two intervals of ten seconds are being collected."));
    return;
  }
  const rate = (values) => (values ?? []).map((value, index) => (value == null ? null : value / Math.max(hour.seconds[index], 1)));
  const series = region ? known.regions.get(region) ?? {} : known.series;
  const index = (name) => regions.findIndex((it) => it.region === name);
  const requests = region
    ? [[region, rate(series.requests), tint(index(region))]]
    : [...known.regions].filter(([name]) => index(name) >= 0).map(([name, it]) => [name, rate(it.requests), tint(index(name))]);
  const times = region ? "first_byte_ms" : "total_ms";
  const quantiles = (name) => QUANTILES.map(([share, colour]) => [share, series[`${name} ${share}`] ?? [], colour]);
  const trouble = [["errors", rate(series.errors), "var(--bad)"]];
  if (!region) trouble.push(["retries", rate(series.retries), "var(--warn)"], ["fallbacks", rate(series.fallbacks), "var(--q1)"]);
  render(box,
    graph(hour, "Requests per second", requests, (value) => compact(value), 1),
    graph(hour, region ? "Errors per second" : "Errors, retries and fallbacks per second", trouble, (value) => compact(value), 1),
    graph(hour, region ? "Time to the response’s head" : "Time to the response’s end", quantiles(times), (value) => milliseconds(value / 1000), 1),
    region ? null : graph(hour, "Portolan’s own time to decide", quantiles("decide_ms"), micro, 0.01));
}

const micro = (value) => (value == null ? "–" : value < 1 ? `${(value * 1000).toFixed(value < 0.01 ? 1 : 0)} µs` : milliseconds(value / 1000));

function graph(hour, title, lines, written, least) {
  const now = hour.times.at(-1);
  const length = Math.min(HOUR, Math.max(SHORTEST, now - hour.times[0]));
  const begun = now - length;
  const numbers = lines.flatMap(([, values]) => values).filter((value) => value != null);
  const top = ceiling(Math.max(least, ...numbers));
  const x = (time) => EDGE.left + ((WIDTH - EDGE.left - EDGE.right) * (time - begun)) / length;
  const y = (value) => HEIGHT - EDGE.bottom - ((HEIGHT - EDGE.top - EDGE.bottom) * value) / top;
  const level = [0, 0.5, 1].map((share) => svg("g", {},
    svg("line", { x1: EDGE.left, x2: WIDTH - EDGE.right, y1: y(top * share), y2: y(top * share), class: "level" }),
    svg("text", { x: EDGE.left - 6, y: y(top * share) + 4, class: "tick end" }, share ? written(top * share) : "0")));
  const clock = [0, 1, 2, 3, 4].map((quarter) => {
    const time = begun + (quarter * length) / 4;
    const text = new Date(time * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    return svg("text", { x: x(time), y: HEIGHT - 4, class: `tick ${quarter === 0 ? "" : quarter === 4 ? "end" : "middle"}` }, text);
  });
  const marks = events.list.filter((event) => tone(event) === "bad" && new Date(event.time) / 1000 > begun).map((event) => {
    const at = x(Math.min(new Date(event.time) / 1000, now));
    const words = `${event.kind.replaceAll("_", " ")} ${event.subject ?? ""}`;
    return svg("line", { x1: at, x2: at, y1: EDGE.top, y2: HEIGHT - EDGE.bottom, class: "mark" }, svg("title", {}, words));
  });
  const drawn = lines.map(([, values, colour]) => svg("path", { d: path(hour.times, values, x, y), stroke: colour, class: "curve" }));
  const cursor = svg("line", { y1: EDGE.top, y2: HEIGHT - EDGE.bottom, x1: -9, x2: -9, class: "cursor" });
  const words = (place) => lines.map(([name, values, colour]) => make("span", {},
    make("i", { className: "swatch", style: { "--tint": colour } }), `${name} `, make("b", {}, values[place] == null ? "–" : written(values[place]))));
  const last = hour.times.length - 1;
  const peak = numbers.length ? written(Math.max(...numbers)) : "nothing";
  const label = `${title} over the last hour. Now: ${lines.map(([name, values]) => `${name} ${values[last] == null ? "none" : written(values[last])}`).join(", ")}. Highest: ${peak}.`;
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label }, ...level, ...clock, ...marks, ...drawn, cursor);
  const legend = make("figcaption", {}, make("b", {}, title), make("small", {}), make("span", { className: "legend" }, ...words(last)));
  const figure = make("figure", {}, legend, picture);
  // The figure that is on the page may be an earlier one.
  picture.onpointermove = (event) => {
    const here = event.currentTarget;
    const box = here.getBoundingClientRect();
    const time = begun + ((((event.clientX - box.left) / box.width) * WIDTH - EDGE.left) / (WIDTH - EDGE.left - EDGE.right)) * length;
    const place = nearest(hour.times, time);
    const line = here.querySelector(".cursor");
    line.setAttribute("x1", x(hour.times[place]));
    line.setAttribute("x2", x(hour.times[place]));
    const caption = here.parentNode.querySelector("figcaption");
    caption.querySelector("small").textContent = new Date(hour.times[place] * 1000).toLocaleTimeString();
    caption.querySelector(".legend").replaceChildren(...words(place));
  };
  picture.onpointerleave = (event) => {
    const caption = event.currentTarget.parentNode.querySelector("figcaption");
    event.currentTarget.querySelector(".cursor").setAttribute("x1", -9);
    event.currentTarget.querySelector(".cursor").setAttribute("x2", -9);
    caption.querySelector("small").textContent = "";
    caption.querySelector(".legend").replaceChildren(...words(last));
  };
  return figure;
}

// A line through the values, with gaps where there are none; a value alone is a dot.
function path(times, values, x, y) {
  let text = "";
  values.forEach((value, index) => {
    if (value == null) return;
    const at = `${x(times[index]).toFixed(1)} ${y(value).toFixed(1)}`;
    const isFirst = index === 0 || values[index - 1] == null;
    text += isFirst ? `M${at}` : `L${at}`;
    if (isFirst && (index + 1 >= values.length || values[index + 1] == null)) text += "h0.1";
  });
  return text;
}

// The next of 1, 2 and 5 times a power of ten.
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((it) => it * power).find((it) => it >= value * 0.999) ?? value;
}

function nearest(times, time) {
  let best = 0;
  times.forEach((it, index) => {
    if (Math.abs(it - time) < Math.abs(times[best] - time)) best = index;
  });
  return best;
}
