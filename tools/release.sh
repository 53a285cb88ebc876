#!/usr/bin/env bash
# Makes a release of what is committed: tests it, builds source distribution and wheels into dist/, tags it.
# It uploads nothing: its last words say how to. `--dry-run` checks that it could, and tells each step instead of doing it.
#
#   tools/release.sh [--dry-run] [--skip-tests] [TARGET …]
#
# TARGET is a Rust target beside this machine's own, for example aarch64-unknown-linux-gnu; zig links it.
set -euo pipefail
cd "$(dirname "$0")/.."

dry_run="" tests=yes targets=()
for argument in "$@"; do
    case "$argument" in
        --dry-run) dry_run=yes ;;
        --skip-tests) tests="" ;;
        -*)
            echo "usage: tools/release.sh [--dry-run] [--skip-tests] [TARGET …]" >&2
            exit 2
            ;;
        *) targets+=("$argument") ;;
    esac
done

refuse() {
    echo "release: $*" >&2
    exit 1
}

step() {
    echo "+ $*"
    [ -n "$dry_run" ] || "$@"
}

version="$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)"
[ -n "$version" ] || refuse "Cargo.toml has no version"
grep -qx "## $version" CHANGELOG.md || refuse "CHANGELOG.md has no section \"## $version\""
[ -z "$(git status --porcelain)" ] || refuse "there are changes that are not committed"
! git rev-parse -q --verify "refs/tags/v$version" >/dev/null || refuse "v$version is tagged already"

echo "cloudspawner $version of $(git rev-parse --short HEAD)"
[ -z "$tests" ] || step make test
if command -v cargo-deny >/dev/null; then
    step cargo deny --workspace check
else
    echo "cargo-deny is not installed: nobody looks for advisories; licences, sources and bans are make test's"
fi

tools=target/release-tools
step python3 -m venv "$tools"
step "$tools/bin/python" -m pip install --quiet --disable-pip-version-check "maturin[zig]>=1.7,<2"
# maturin looks for zig where the first python3 is.
export PATH="$PWD/$tools/bin:$PATH"
maturin=(env -C python-shim maturin build --release --out ../dist)
step rm -rf dist
# The wheel is made of the source distribution, so the one is known to build the other.
step "${maturin[@]}" --sdist
for target in "${targets[@]}"; do
    step rustup target add "$target"
    step "${maturin[@]}" --locked --zig --target "$target"
done
step git tag -a "v$version" -m "cloudspawner $version"
echo "to publish: git push origin v$version; twine upload dist/*"
