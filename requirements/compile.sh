#!/bin/sh
# Write the pinned requirements: one file a member, all with the versions of dev.txt. Usage: compile.sh UV
set -eu
uv=$1
compile() { # OUTPUT SOURCE...
    output=$1; shift
    "$uv" pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-sources \
        --no-emit-package imagebatch --no-emit-package imagebatch-api \
        --no-emit-package imagebatch-jobrunner --no-emit-package imagebatch-operator \
        --no-emit-package imagebatch-client \
        --find-links "$wheels" --custom-compile-command "make pins" --output-file "requirements/$output" "$@"
}
# The members depend on each other; they resolve to these wheels, and are left out of the pins.
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
for member in core api operator jobrunner client; do
    "$uv" build --quiet --wheel --no-build-isolation --out-dir "$wheels" "$member"
done
rm -f requirements/dev.txt
compile dev.txt --group pyproject.toml:dev core/pyproject.toml api/pyproject.toml \
    operator/pyproject.toml jobrunner/pyproject.toml client/pyproject.toml cli/pyproject.toml
for member in core api operator jobrunner client cli; do
    compile "$member.txt" -c requirements/dev.txt "$member/pyproject.toml"
done
echo uv | compile uv.txt -c requirements/dev.txt -
echo hatchling | compile build.txt -c requirements/dev.txt -
# What releases need beside that; installed with it, so its versions are those of dev.txt.
echo cyclonedx-bom | compile release.txt -c requirements/dev.txt -
