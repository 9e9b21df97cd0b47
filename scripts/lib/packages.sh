# Sourced by the scripts: installs Debian packages, where that is allowed.
# shellcheck shell=bash

# as_root COMMAND... runs it as root, or by sudo where that works.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# lists_are_fresh: apt's lists have been read by this script already.
lists_are_fresh=

# install_packages PACKAGE... says what cannot be installed, and leaves it to whoever needs it. Nothing is removed for it.
install_packages() {
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "This is no Debian; please install yourself: $*" >&2
        return 0
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null 2>&1 || { [ ! -t 0 ] && ! sudo -n true 2>/dev/null; }; then
            echo "Neither root nor sudo; please install: apt-get install $*" >&2
            return 0
        fi
    fi
    echo "Installing $*" >&2
    if [ -z "$lists_are_fresh" ]; then
        as_root env DEBIAN_FRONTEND=noninteractive apt-get update --quiet=2 >&2 || true
        lists_are_fresh=yes
    fi
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --quiet=2 --no-install-recommends --no-remove "$@" >&2 ||
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

# need_files PATTERN=PACKAGE... the same for libraries, known by a file of theirs.
need_files() {
    local pair packages=()
    for pair in "$@"; do
        compgen -G "${pair%%=*}" >/dev/null || packages+=("${pair#*=}")
    done
    [ "${#packages[@]}" -eq 0 ] || install_packages "${packages[@]}"
}

# need_postfix installs it without a configuration, so that it does not begin to serve. Where another mail server is
# installed, that one stays.
need_postfix() {
    ! command -v postconf >/dev/null 2>&1 || return 0
    if command -v debconf-set-selections >/dev/null 2>&1; then
        as_root debconf-set-selections <<<'postfix postfix/main_mailer_type select No configuration' || true
    fi
    install_packages postfix
}

# need_postgresql installs the server. Its package would make a database and serve it; where nobody has said otherwise, it
# does not: the tests have servers of their own.
need_postgresql() {
    local choice=/etc/postgresql-common/createcluster.conf
    ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || return 0
    if command -v apt-get >/dev/null 2>&1 && [ ! -e "$choice" ]; then
        as_root install -D --mode=644 /dev/stdin "$choice" <<<'create_main_cluster = false' || true
    fi
    install_packages postgresql
}

# need_prometheus FOLDER: promtool and prometheus, from Debian's package. It is unpacked and not installed: installed, it
# would begin to serve.
need_prometheus() {
    if command -v promtool >/dev/null 2>&1 && command -v prometheus >/dev/null 2>&1; then return 0; fi
    export PATH="$PATH:$1/usr/bin"
    if command -v promtool >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then return 0; fi
    echo "Unpacking prometheus" >&2
    mkdir -p "$1"
    if ! (cd "$1" && apt-get download --quiet=2 prometheus) >&2; then
        as_root apt-get update --quiet=2 >&2 || true
        (cd "$1" && apt-get download --quiet=2 prometheus) >&2 || true
    fi
    local package
    for package in "$1"/prometheus_*.deb; do
        dpkg-deb --extract "$package" "$1" || echo "Could not be unpacked: prometheus" >&2
        rm -f "$package"
    done
}
