#!/usr/bin/env python3
"""The software bill of materials of the program, as CycloneDX 1.5: what Cargo.lock builds into it for this platform.

usage: sbom.py [DEB-PACKAGE...] > portolan.cdx.json

DEB-PACKAGE: Debian packages whose files are in an image beside the program; their versions are those of this machine.
The same sources give the same file: there is no time and no random number in it.
"""

import hashlib
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def output(*command):
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def crates():
    """The program's package, and those that are linked into it or run while it is built."""
    host = re.search(r"host: (\S+)", output("rustc", "-vV")).group(1)
    metadata = json.loads(output("cargo", "metadata", "--format-version=1", "--locked", "--filter-platform", host))
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    program = next(id for id, package in packages.items() if package["name"] == "portolan")
    depends, waiting = {}, [program]
    while waiting:
        id = waiting.pop()
        if id in depends:
            continue
        # Development dependencies are no part of it.
        kinds = lambda dependency: {kind["kind"] for kind in dependency["dep_kinds"]}
        depends[id] = sorted(it["pkg"] for it in nodes[id]["deps"] if kinds(it) - {"dev"})
        waiting.extend(depends[id])
    return packages, program, depends


def checksums():
    lock = (ROOT / "Cargo.lock").read_text()
    pattern = r'name = "([^"]+)"\nversion = "([^"]+)"\nsource = "[^"]+"\nchecksum = "([0-9a-f]+)"'
    return {(name, version): checksum for name, version, checksum in re.findall(pattern, lock)}


def component(package, checksums):
    name, version = package["name"], package["version"]
    purl = f"pkg:cargo/{name}@{version}"
    found = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    if package["license"]:
        found["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    checksum = checksums.get((name, version))
    if checksum:
        found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return found


def debian(name):
    version, architecture = output("dpkg-query", "-W", "-f", "${Version} ${Architecture}", name).split()
    purl = f"pkg:deb/debian/{name}@{version.replace('+', '%2B').replace(':', '%3A')}?arch={architecture}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def main():
    packages, program, depends = crates()
    sums = checksums()
    ref = lambda id: f"pkg:cargo/{packages[id]['name']}@{packages[id]['version']}"
    ids = sorted(depends, key=ref)
    main_component = component(packages[program], sums) | {"type": "application"}
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": main_component},
        "components": [component(packages[id], sums) for id in ids if id != program]
        + [debian(name) for name in sorted(sys.argv[1:])],
        "dependencies": [{"ref": ref(id), "dependsOn": sorted({ref(it) for it in depends[id]})} for id in ids],
    }
    digest = hashlib.sha256(json.dumps(bom, sort_keys=True).encode()).hexdigest()
    # Named by its content (RFC 9562, section 5.8), so that it is the same for the same content.
    uuid = f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"
    json.dump({"serialNumber": f"urn:uuid:{uuid}"} | bom, sys.stdout, indent=1)
    print()


main()
