// This instance and its peers: what runs where, and where they see the regions differently.

function showInstances({ instances, differences, configurations }) {
  byId("instances-section").hidden = instances.length < 2;
  if (instances.length < 2) return;
  const pill = (text, tone) => make("span", { className: `pill ${tone}` }, text);
  const cells = ({ instance, error, seen_seconds_ago }) => {
    if (!instance) return [make("td", { colSpan: 6 }, pill("no answer", "bad"), ` ${error ?? "not asked yet"}`)];
    const bad = instance.regions.filter((it) => !["healthy", "unknown"].includes(it.state));
    return [
      make("td", {}, error ? pill("no answer", "bad") : pill(instance.status.replace("_", " "), instance.status === "ready" ? "good" : "warn"),
        error ? make("small", {}, `${error}, last seen ${span(seen_seconds_ago)} ago`) : null),
      make("td", {}, instance.version),
      make("td", {}, ago(instance.started)),
      make("td", {}, compact(instance.requests_per_second)),
      make("td", {}, `${short(instance.configuration)}, table ${instance.generation}`),
      make("td", {}, bad.length ? bad.map((it) => `${it.region} ${it.state}`).join(", ") : "all well",
        instance.attention ? make("small", {}, `${instance.attention} need attention`) : null),
    ];
  };
  const link = ({ name, url, instance }) => {
    const shown = url ? make("a", { href: url, rel: "noreferrer" }, name) : make("b", {}, `${name} (this one)`);
    return make("td", {}, shown, instance && url && instance.name !== name ? make("small", {}, instance.name) : null);
  };
  const titles = ["instance", "", "version", "started", "requests/s", "configuration", "regions"];
  render(byId("instances"), make("thead", {}, make("tr", {}, ...titles.map((title) => make("th", {}, title)))),
    make("tbody", {}, ...instances.map((it) => make("tr", {}, link(it), ...cells(it)))));
  const lines = differences.map(({ service, region, states }) => make("p", { className: "trouble" },
    `They disagree on ${region} of ${service}: ${Object.entries(states).map(([name, state]) => `${state} to ${name}`).join(", ")}`));
  if (configurations > 1) lines.unshift(make("p", { className: "note" }, `There are ${configurations} different configurations.`));
  render(byId("instances-rest"), ...lines);
}
