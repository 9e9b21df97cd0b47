# Sourced by the scripts: installs Debian packages, where that is allowed.
# shellcheck shell=bash

# install_packages PACKAGE... says what cannot be installed, and leaves it to whoever needs it.
install_packages() {
    local root=()
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "This is no Debian; please install yourself: $*" >&2
        return 0
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null 2>&1 || { [ ! -t 0 ] && ! sudo -n true 2>/dev/null; }; then
            echo "Neither root nor sudo; please install: apt-get install $*" >&2
            return 0
        fi
        root=(sudo)
    fi
    echo "Installing $*" >&2
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update --quiet=2 >&2 || true
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --quiet=2 --no-install-recommends "$@" >&2 ||
        echo "Could not be installed: $*" >&2
}

# need_commands COMMAND=PACKAGE... installs the packages of the commands that are missing.
need_commands() {
    local pair packages=()
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null 2>&1 || packages+=("${pair#*=}")
    done
    [ "${#packages[@]}" -eq 0 ] || install_packages "${packages[@]}"
}
