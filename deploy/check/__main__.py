"""Renders, compiles and validates what is below deploy/, and compares it with what is committed. See check.sh."""

import hashlib
import json
import re
import sys
from pathlib import Path

import arm
import bicep
import charts
import helm_python
import yaml

RENDERED = Path("deploy/rendered")
HEAD = "# Rendered from the chart with values.yaml by deploy/check.sh --update; do not edit.\n"


class Committed:
    """Files that are made, beside what is committed."""

    def __init__(self, update):
        self.update = update
        self.mistakes = []

    def compare(self, path, text):
        path = Path(path)
        if self.update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            self.mistakes.append(f"{path} is not what its source gives: run deploy/check.sh --update and look at the difference")


def as_list(found):
    """As one object that `kubectl apply -f` reads."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": found}, indent=1, sort_keys=True) + "\n"


def kubernetes(committed):
    """The chart with each file of values, and the overlays. How many objects were validated."""
    count = 0
    for path in sorted(Path("deploy/helm/values").glob("*.yaml")):
        values = yaml.safe_load(path.read_text())
        found, notes = charts.chart(values)
        if "{{" in notes or not notes.strip():
            committed.mistakes.append(f"NOTES.txt with {path}: {notes!r}")
        report = helm_python.lint(str(charts.CHART), values, strict=True)
        committed.mistakes += [f"lint with {path}: {one['error']}" for one in report["messages"] if one["severity"] > 1]
        committed.mistakes += charts.validate(path.name, found)
        committed.compare(RENDERED / f"chart-{path.stem}.json", as_list(found))
        count += len(found)
    base = charts.chart(yaml.safe_load((charts.BASE / "values.yaml").read_text()), namespace="portolan")[0]
    committed.compare(charts.BASE / "portolan.yaml", HEAD + yaml.safe_dump_all(base))
    for folder in sorted(charts.OVERLAYS.iterdir()):
        found = charts.overlay(folder)
        committed.mistakes += charts.validate(folder.name, found)
        committed.compare(RENDERED / f"overlay-{folder.name}.json", as_list(found))
        count += len(found)
    return count


def wrong_values(committed):
    """What the chart must reject, and the words that say why."""
    good = yaml.safe_load(Path("deploy/helm/values/minimal.yaml").read_text())
    azure = yaml.safe_load(Path("deploy/helm/values/azure.yaml").read_text())

    def config(**keys):
        return {**good, "config": {**good["config"], **keys}}

    cases = [
        ({}, "give Portolan a configuration"),
        ({**good, "replcas": 3}, "replcas"),
        ({**good, "replicas": 0}, "/replicas"),
        ({**good, "terminationGracePeriodSeconds": 34}, "lame_duck + drain_time = 35 s"),
        ({**config(drain_time="2m"), "terminationGracePeriodSeconds": 60}, "= 125 s"),
        (config(drain_time="later"), "not a duration"),
        (config(admin={"address": "127.0.0.1:9900"}), "config.admin.probes"),
        (config(listeners=[{"address": "127.0.0.1:8080"}]), "loopback"),
        (config(listeners=[{"address": "0.0.0.0:80"}]), "1023"),
        ({**good, "service": {"ports": {"80": 8081}}}, "no listener has port 8081"),
        ({**good, "existingConfigMap": "other"}, "give one of them"),
        ({**good, "kind": "DaemonSet", "autoscaling": {"enabled": True}}, "DaemonSet"),
        ({**good, "keyVault": {"enabled": True, "name": "vault", "certificates": [{"name": "a", "file": "a.pem"}]}}, "workloadIdentity"),
        ({**good, "workloadIdentity": {"enabled": True}}, "clientId"),
        ({**good, "plugins": {"canary": {"image": "registry.example.net/canary:latest"}}}, "canary"),
        ({**azure, "publisher": {"enabled": False}}, "vote as one vantage"),
        ({**good, "publisher": {"enabled": True}}, "config.front_door"),
    ]
    for values, words in cases:
        said = charts.rejected(values)
        if said is None or words not in said:
            committed.mistakes.append(f"the chart should reject values with {words!r}, and says {said!r}")
    # The validator, too, must find what is wrong.
    misspelt = next(one for one in charts.chart(good)[0] if one["kind"] == "Deployment")
    container = misspelt["spec"]["template"]["spec"]["containers"][0]
    container["readinessProb"] = container.pop("readinessProbe")
    if not charts.validate("a misspelt member", [misspelt]):
        committed.mistakes.append("the validator does not notice readinessProb")
    return len(cases) + 1


def values_of_the_documentation(committed):
    """Blocks that begin with `# values.yaml`: each is rendered on top of the least values."""
    good = yaml.safe_load(Path("deploy/helm/values/minimal.yaml").read_text())
    count = 0
    for path in sorted(Path("deploy").rglob("*.md")):
        for block in re.findall(r"```yaml\n# values.yaml.*?\n(.*?)```", path.read_text(), re.DOTALL):
            found, _ = charts.chart({**good, **yaml.safe_load(block)})
            committed.mistakes += charts.validate(path.name, found)
            count += 1
    return count


def table_of_values(committed):
    """The table of values in the chart's README, from the comments of values.yaml."""
    rows, comment, parent = [], [], ""
    for line in (charts.CHART / "values.yaml").read_text().splitlines():
        text = line.strip()
        key = re.match(r"(  )?([A-Za-z]+):(.*)", line)
        if text.startswith("# -- "):
            comment = [text[5:]]
        elif text.startswith("# ") and comment:
            comment.append(text[2:])
        elif key:
            if not key[1]:
                parent = "" if key[3].strip() else f"{key[2]}."
            name = f"{parent if key[1] else ''}{key[2]}"
            if comment:
                rows.append(([name], " ".join(comment)))
                comment = []
            elif key[1] or key[3].strip():
                rows[-1][0].append(name)
    rows = [f"| {', '.join(f'`{name}`' for name in names)} | {meaning} |" for names, meaning in rows]
    readme = charts.CHART / "README.md"
    text = readme.read_text()
    before, _, rest = text.partition("<!-- values -->\n")
    _, _, after = rest.partition("<!-- end -->")
    table = "| value | meaning |\n|---|---|\n" + "\n".join(rows) + "\n"
    committed.compare(readme, f"{before}<!-- values -->\n{table}<!-- end -->{after}")
    return len(rows)


def azure(committed):
    """The templates: compiled from Bicep, and expanded with the parameters of an example."""
    folder = Path("deploy/azure")
    for path in sorted(folder.glob("*.bicep")):
        template = bicep.compile(path)
        committed.compare(path.with_suffix(".json"), json.dumps(template, indent=2) + "\n")
        parameters = json.loads(path.with_suffix(".parameters.json").read_text())
        committed.compare(RENDERED / f"azure-{path.stem}.json", json.dumps(arm.expand(template, parameters), indent=1) + "\n")


def sources(committed):
    """Digests of all that renderings are made from: a test without network sees that they are out of date."""
    folders = ["deploy/check", "deploy/helm", "deploy/kustomize", "deploy/azure"]
    paths = sorted(path for folder in folders for path in Path(folder).rglob("*") if path.is_file() and path.suffix != ".md")
    digests = {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if "__pycache__" not in path.parts}
    committed.compare(RENDERED / "sources.json", json.dumps(digests, indent=1) + "\n")


def main():
    committed = Committed("--update" in sys.argv[1:])
    print(f"{table_of_values(committed)} values in the table of the chart's README")
    print(f"{kubernetes(committed)} objects validated")
    print(f"{wrong_values(committed)} wrong values rejected")
    print(f"{values_of_the_documentation(committed)} blocks of values in the documentation rendered")
    azure(committed)
    sources(committed)
    for mistake in committed.mistakes:
        print(mistake, file=sys.stderr)
    sys.exit(bool(committed.mistakes))


main()
