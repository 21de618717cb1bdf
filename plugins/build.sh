#!/usr/bin/env bash
# Builds the routing plugins of this repository as components.
#
#   plugins/build.sh            builds them and replaces the committed files
#   plugins/build.sh --check    builds them and compares them with the committed files, byte for byte
#
# The result does not depend on where the repository lies. It does depend on the compiler: plugins/prebuilt/TOOLCHAIN
# names the one that made the committed files, and it is fetched with rustup when another one is in use.
#
# Ends with 0 when all is well, 1 when something differs or does not build, 2 when this machine cannot tell:
# the digests of the committed files are right, but the compiler that made them is not here.
set -euo pipefail

target=wasm32-unknown-unknown
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$root"
prebuilt=plugins/prebuilt

# package → component
guests=(
    "portolan-example-canary $prebuilt/canary.wasm"
    "portolan-example-nearest $prebuilt/nearest.wasm"
    "portolan-guest-hostile tests/fixtures/hostile.wasm"
)

say() { printf 'plugins/build.sh: %s\n' "$*" >&2; }

case "${1-}" in
    --check) check=yes ;;
    "") check= ;;
    *) say "unknown argument $1; there is --check"; exit 1 ;;
esac

if [ "$check" ]; then
    sha256sum --check --quiet "$prebuilt/SHA256SUMS" || { say "a committed component is not the one in $prebuilt/SHA256SUMS"; exit 1; }
fi

# The compiler: the one in use when it is the pinned one or when the files are to be replaced, else the pinned one.
pinned=$(sed -n 's/^rustc: //p' "$prebuilt/TOOLCHAIN" 2>/dev/null || true)
toolchain=
same_bytes=yes
in_use=$(rustc --version)
if [ "$check" ] && [ "$in_use" != "$pinned" ]; then
    version=$(cut -d ' ' -f 2 <<<"$pinned")
    if command -v rustup >/dev/null && rustup toolchain install "$version" --profile minimal --target "$target" --no-self-update >&2; then
        toolchain=+$version
    else
        say "the committed components were made by $pinned, and here is $in_use: the bytes cannot be compared"
        same_bytes=
    fi
fi

# The standard library for the target: already there, by rustup, or built from its sources.
has_target() { ls "$(rustc $toolchain --print target-libdir --target "$target" 2>/dev/null)"/libstd-*.rlib >/dev/null 2>&1; }
build_std=()
if ! has_target && command -v rustup >/dev/null; then
    rustup target add "$target" ${toolchain:+--toolchain "${toolchain#+}"} >&2 || true
fi
if ! has_target; then
    if [ -d "$(rustc --print sysroot)/lib/rustlib/src/rust/library/std" ]; then
        say "no standard library for $target: building it from its sources"
        export RUSTC_BOOTSTRAP=1
        build_std=(-Zbuild-std=std,panic_abort)
        same_bytes=
    else
        say "the compiler has no standard library for $target. Install one of:"
        say "  rustup (the program), then: rustup target add $target"
        say "  on Debian: apt-get install rustc-web cargo-web rust-web-src"
        exit $([ "$check" ] && echo 2 || echo 1)
    fi
fi

# Paths of this machine stay out of the components: of the repository, the build, and the packages.
cargo $toolchain fetch --locked --quiet
build_dir=$(cargo metadata --format-version 1 --no-deps --offline | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
flags=(-Clink-arg=-zstack-size=16384 "--remap-path-prefix=$build_dir=/target" "--remap-path-prefix=$root=/portolan")
for packages in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/; do
    flags+=("--remap-path-prefix=${packages%/}=/packages")
done

packages=()
for guest in "${guests[@]}"; do packages+=(-p "${guest%% *}"); done
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f'; printf '%s' "${flags[*]}") \
    cargo $toolchain build --locked --profile guest --target "$target" "${build_std[@]}" "${packages[@]}"

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
differs=
for guest in "${guests[@]}"; do
    package=${guest%% *}
    component=${guest#* }
    made=$fresh/$(basename "$component")
    cargo run --locked --quiet -p portolan-plugin --example componentize -- \
        "$build_dir/$target/guest/${package//-/_}.wasm" "$made"
    if [ -z "$check" ]; then
        mkdir -p "$(dirname "$component")"
        cp "$made" "$component"
    elif [ "$same_bytes" ] && ! cmp "$made" "$component"; then
        say "$component is not what its sources build: run plugins/build.sh and commit the result"
        differs=yes
    fi
done

if [ -z "$check" ]; then
    sha256sum "${guests[@]#* }" > "$prebuilt/SHA256SUMS"
    printf '%s\n' "The compiler that made the components in SHA256SUMS. Another one makes other bytes of the same sources." \
        "rustc: $in_use" > "$prebuilt/TOOLCHAIN"
    say "wrote ${guests[*]#* }"
elif [ "$differs" ]; then
    exit 1
elif [ -z "$same_bytes" ]; then
    say "the sources build and the digests of the committed components are right; the bytes were not compared"
    exit 2
else
    say "the committed components are what their sources build"
fi
