"""The chart and the overlays: rendered, linted, validated, as lists of objects."""

import subprocess
from pathlib import Path

import helm_python
import kubernetes_validate
import yaml

CHART = Path("deploy/helm/portolan")
OVERLAYS = Path("deploy/kustomize/overlays")
BASE = Path("deploy/kustomize/base")
# Groups of custom resources that are used here.
CUSTOM = ("monitoring.coreos.com", "secrets-store.csi.x-k8s.io")


def objects(text):
    """The objects of a stream of YAML documents, in a fixed order."""
    found = [one for one in yaml.safe_load_all(text) if one]
    return sorted(found, key=lambda one: (one["kind"], one["metadata"]["name"]))


def chart(values, namespace="edge", name="portolan"):
    """The chart with these values: objects, and the notes."""
    files = helm_python.Chart.load(str(CHART)).render(values, name=name, namespace=namespace)
    notes = "".join(text for path, text in files.items() if path.endswith("NOTES.txt"))
    manifests = "\n---\n".join(text for path, text in sorted(files.items()) if path.endswith(".yaml"))
    return objects(manifests), notes


def rejected(values):
    """Why the chart rejects these values; None when it does not."""
    try:
        chart(values)
    except Exception as error:  # the library has one type for all that Helm says
        return str(error)
    return None


def overlay(folder):
    """An overlay as kubectl builds it."""
    built = subprocess.run(["kubectl", "kustomize", str(folder)], check=True, capture_output=True, text=True)
    return objects(built.stdout)


def validate(name, found):
    """Each object against the schemas of Kubernetes. Those of custom resources are not known to the validator."""
    mistakes = []
    for one in found:
        try:
            kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            if one["apiVersion"].split("/")[0] not in CUSTOM:
                mistakes.append(f"{name}: there is no schema for {one['apiVersion']} {one['kind']}")
        except kubernetes_validate.ValidationError as error:
            mistakes.append(f"{name}: {one['kind']} {one['metadata']['name']}: {'.'.join(map(str, error.path))}: {error.message}")
    return mistakes
