// The plugins: versions, configuration, cost, reasons and counters.

function showPlugins(plugins, configured) {
  render(byId("plugins"), ...(plugins.length ? plugins.map((plugin) => entry(plugin, configured?.[plugin.plugin]))
    : [make("p", { className: "empty" }, "None: built-in policies decide.")]));
}

function entry(plugin, configured) {
  const faults = Object.entries(plugin.faults).map(([fault, count]) => `${compact(count)} ${fault}`);
  if (plugin.repaired) faults.push(`${compact(plugin.repaired)} repaired`);
  const back = () => {
    const question = plugin.rollout
      ? `End the rollout of version ${short(plugin.rollout.digest)} of ${plugin.plugin}?`
      : `Make version ${short(plugin.earlier)} of ${plugin.plugin} active?`;
    if (confirm(question)) ordered(`api/v1/plugins/${encodeURIComponent(plugin.plugin)}/rollback`);
  };
  const resting = plugin.quarantine && new Date(plugin.quarantine.until) > Date.now();
  return make("div", { className: "entry" },
    make("div", {}, make("b", {}, plugin.plugin), " ", make("code", { title: plugin.digest }, short(plugin.digest)), " ",
      plugin.off ? make("span", { className: "pill bad" }, "off") : resting ? make("span", { className: "pill bad" }, "quarantined")
        : plugin.rollout ? make("span", { className: "pill warn" }, plugin.rollout.stage) : make("span", { className: "pill good" }, "active")),
    make("p", {}, `${plugin.source} · ${plugin.services.length ? `for ${plugin.services.join(", ")}` : "used by no service"}`,
      plugin.since ? ` · since ${new Date(plugin.since).toLocaleString()}` : ""),
    plugin.earlier || plugin.rollout ? make("button", { type: "button", onclick: back }, "Roll back") : null,
    ...standing(plugin),
    resting ? make("p", { className: "fault" }, `not called for another ${span((new Date(plugin.quarantine.until) - Date.now()) / 1000)}: ${plugin.quarantine.reason}`) : null,
    faults.length ? make("p", { className: "fault" }, faults.join(" · ")) : null,
    make("dl", { className: "details" }, ...details(plugin, configured)));
}

function details(plugin, configured) {
  const pairs = [];
  const add = (name, value) => value && pairs.push(make("div", {}, make("dt", {}, name), make("dd", {}, value)));
  const listed = (counts) => Object.entries(counts ?? {}).sort((one, other) => other[1] - one[1]).slice(0, 6)
    .map(([name, count]) => `${name} ${compact(count)}`).join(" · ");
  add("share of decisions", plugin.share_percent == null ? null : `${plugin.share_percent.toFixed(plugin.share_percent < 100 ? 1 : 0)} % of ${compact(plugin.answers)}`);
  add("cost of a call", plugin.cost && `${plugin.cost.mean_us.toFixed(1)} µs, p99 ${plugin.cost.p99_us.toFixed(0)} µs`);
  add("reasons, last 5 min", listed(plugin.reasons));
  add("counters", listed(plugin.counters));
  const { config, source, ...deployment } = configured ?? {};
  add("configuration", config == null ? null : typeof config === "string" ? config : JSON.stringify(config).replaceAll('"', "").replaceAll(",", ", "));
  add("deployed with", Object.entries(deployment).map(([key, value]) => `${key} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(" · "));
  return pairs;
}

// What stands against the configured version, and the version that is being rolled out.
function standing(plugin) {
  const line = (text, className = "") => make("p", { className }, text);
  const because = (given) => `since ${new Date(given.since).toLocaleString()} by ${given.from}${given.reason ? `: ${given.reason}` : ""}`;
  const lines = [];
  if (plugin.off) lines.push(line(`off ${because(plugin.off)}: the built-in policy decides`, "fault"));
  if (plugin.rolled_back) lines.push(line(`rolled back from ${short(plugin.rolled_back.configured)} ${because(plugin.rolled_back)}`, "fault"));
  if (plugin.deployed) lines.push(line(`deployed ${because(plugin.deployed)}`));
  const trial = plugin.rollout;
  if (trial) {
    const share = trial.stage === "canary" ? ` ${trial.share_percent} %` : "";
    const faults = Object.entries(trial.candidate.faults).map(([fault, count]) => `${count} ${fault}`);
    const parts = [
      `${compact(trial.candidate.calls)} calls of ${trial.candidate.cost_us.toFixed(1)} µs (active ${trial.active.cost_us.toFixed(1)} µs)`,
      ...faults,
      trial.shadow ? `${trial.shadow.differ_percent.toFixed(1)} % to another region` : `${trial.candidate.failures} of ${compact(trial.candidate.requests)} requests failed`,
    ];
    lines.push(make("p", {}, make("b", {}, trial.stage + share), " ", make("code", { title: trial.digest }, short(trial.digest)), ` ${parts.join(" · ")}`));
  }
  for (const [digest, given] of Object.entries(plugin.suspended ?? {})) lines.push(line(`suspended ${short(digest)} ${because(given)}`, "fault"));
  return lines;
}
