#!/usr/bin/env bash
# Programs and data the tests use that pip cannot install. Installs the missing ones from Debian packages when it may (as root,
# or with a password-free sudo in CI); otherwise names and counts them: the tests that need them are skipped, and in
# CI (CI=true) that is a failure.
set -u

# program:package, or file:package
needs=(iverilog:iverilog make:make g++:g++ perl:perl ccache:ccache chromium:chromium chromedriver:chromium-driver
    arm-none-eabi-gcc:gcc-arm-none-eabi riscv64-unknown-elf-gcc:gcc-riscv64-unknown-elf
    /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz:dataset-fashion-mnist)

missing() {
    local need
    for need in "${needs[@]}"; do
        command -v "${need%%:*}" >/dev/null 2>&1 || [ -r "${need%%:*}" ] || printf '%s ' "${need##*:}"
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif [ "${CI:-}" = true ] && sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        return 1
    fi
}

absent=$(missing)
if [ -n "$absent" ] && command -v apt-get >/dev/null 2>&1 && as_root true; then
    echo "installing Debian packages: $absent"
    # Chromium draws nothing readable without a font, and Debian does not make it depend on one.
    # shellcheck disable=SC2086 # the list is meant to be split
    as_root apt-get -qq update && as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install --yes --no-install-recommends $absent fonts-dejavu-core >/dev/null
    absent=$(missing)
fi

[ -z "$absent" ] && exit 0
echo "not installed: $(wc -w <<<"$absent") of ${#needs[@]} programs and data sets (Debian packages: $absent)" >&2
if [ "${CI:-}" = true ]; then
    echo "CI skips nothing: install them first" >&2
    exit 1
fi
echo "the tests that need them are skipped and counted; to install: sudo apt-get install $absent" >&2
