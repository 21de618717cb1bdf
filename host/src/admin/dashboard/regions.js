// The regions of each service: what they do, how they are, and why.

const WINDOW = 3;
const TONES = { healthy: "good", unknown: "off", warming: "warn", unhealthy: "bad", draining: "off" };
const FAILED = ["5xx", "cut_short"];
const OURS = ["full", "draining", "shed", "not_repeatable", "not_in_retry_on", "attempts_exhausted", "retry_budget_exhausted",
  "request_timeout", "unresponsive", "internal"];

const recents = new Map();

const recent = (key) => {
  if (!recents.has(key)) recents.set(key, new Recent(61));
  return recents.get(key);
};

function showServices({ services }) {
  let [rate, failed, requests] = [0, 0, 0];
  const bodies = services.map((service) => {
    const ours = recent(service.service);
    ours.push({ at: Date.now(), requests: sum(service.unanswered), failed: of(service.unanswered, OURS) });
    const rows = service.regions.map((region, index) => regionRow(service, region, index));
    for (const it of [ours, ...service.regions.map((region) => recent(`${service.service}/${region.region}`))]) {
      const last = it.recent(WINDOW);
      if (!last) continue;
      rate += (last.now.requests - last.then.requests) / last.seconds;
      requests += last.now.requests - last.then.requests;
      failed += last.now.failed - last.then.failed;
    }
    return make("tbody", {},
      make("tr", { className: "service" }, make("th", { colSpan: 9, scope: "rowgroup" }, make("b", {}, service.service),
        `  by ${service.policy}`, service.panic ? make("span", { className: "pill bad" }, "panic mode: all unhealthy, health is ignored") : "")),
      ...rows);
  });
  const head = make("thead", {}, make("tr", {},
    ...["region", "state", "share"].map((title) => make("th", { scope: "col" }, title)),
    ...["requests/s", "failed", "p50", "p95", "in flight"].map((title) => make("th", { className: "number", scope: "col" }, title)),
    make("th", { scope: "col" }, make("span", { className: "aside" }, "orders"))));
  render(byId("services"), head, ...bodies);
  byId("rate").textContent = compact(rate);
  byId("failed").textContent = requests ? `${((100 * failed) / requests).toFixed(failed ? 2 : 0)} %` : "–";
}

function regionRow(service, region, index) {
  const it = recent(`${service.service}/${region.region}`);
  it.push({
    at: Date.now(),
    requests: sum(region.answered),
    failed: of(region.answered, FAILED),
    firstByte: region.first_byte,
  });
  const last = it.recent(WINDOW);
  const requests = last && last.now.requests - last.then.requests;
  const failed = last && last.now.failed - last.then.failed;
  const at = (share) => last && quantile(last.now.firstByte, last.then.firstByte, share);
  const share = region.excluded ? 0 : Math.round(region.share * 100);
  const drained = region.state === "draining";
  const cell = (title, ...children) => make("td", { "data-title": title }, ...children);
  const number = (title, ...children) => make("td", { className: "number", "data-title": title }, ...children);
  const button = make("button", { type: "button", "aria-label": `${drained ? "Bring back" : "Drain"} ${region.region}`, onclick: () => order(region.region, drained) },
    drained ? "Bring back" : "Drain");
  return make("tr", { className: `${region.excluded ? "excluded" : ""} ${region.state}`, style: { "--tint": tint(index) } },
    make("th", { scope: "row" }, make("span", { className: "swatch" }), region.region, make("small", {}, region.gateway, away(region.round_trip))),
    make("td", { className: "state", "data-title": "state" }, make("span", { className: `pill ${TONES[region.state] ?? "off"}` }, region.state),
      region.excluded && region.excluded !== region.state ? ` ${region.excluded}` : null, why(region)),
    cell("share", make("span", { className: "bar", "aria-hidden": "true" }, make("i", { style: { width: `${share}%` } })), `${share} %`),
    number("requests/s", sparkline(it.rates()), make("span", { className: "rate" }, last ? compact(requests / last.seconds) : "–")),
    number("failed", requests ? `${((100 * failed) / requests).toFixed(failed ? 1 : 0)} %` : "–"),
    number("p50", milliseconds(at(0.5))),
    number("p95", milliseconds(at(0.95))),
    number("in flight", String(region.in_flight)),
    make("td", { className: "number orders" }, button));
}

// Why a region is not healthy, since when, until when, and when it is probed next.
function why(region) {
  if (region.state === "healthy" || region.state === "unknown") return null;
  const parts = [];
  if (region.drained) {
    parts.push(`by ${region.drained.from}, ${ago(region.drained.since)}${region.drained.reason ? `: ${region.drained.reason}` : ""}`);
  } else if (region.why) {
    const held = region.why.hold_down_for_seconds;
    parts.push(region.why.detail + (held == null ? "" : ` in ${span(held)}`), `for ${span(region.why.for_seconds)}`);
    if (region.why.ejected_for_seconds != null) parts.push(`ejected for another ${span(region.why.ejected_for_seconds)}`);
  }
  if (region.state === "unhealthy" && region.next_probe_seconds != null) {
    const left = region.next_probe_seconds;
    parts.push(`next probe ${left < 1 ? "at once" : `in ${span(left)}`}`);
  }
  return make("small", {}, parts.join(", "));
}

function away(trip) {
  return trip?.measured_ms == null ? "" : ` · ${trip.measured_ms.toFixed(1)} ms away`;
}

async function order(region, drained) {
  const question = drained
    ? `Bring ${region} back? Its traffic is ramped up.`
    : `Drain ${region}? It gets no new requests; those that run are finished.`;
  if (!confirm(question)) return;
  await ordered(`api/v1/regions/${encodeURIComponent(region)}/${drained ? "undrain" : "drain"}`);
}

async function ordered(path) {
  try {
    await ask(path, "POST");
    trouble(null);
  } catch (error) {
    trouble(error.message);
  }
}
