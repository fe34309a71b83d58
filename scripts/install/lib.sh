# Shared by the installers beside it, which source this file.
#
# An installer takes no argument unless its own comment says so, prints the directory to put on PATH and nothing else on
# stdout, and may be called any number of times: what is there already costs one look. Versions are part of every path, so
# that a new pin is a new installation and an old one can never be mistaken for it.
set -euo pipefail

cache="${XDG_CACHE_HOME:-$HOME/.cache}/shoutback"
tools="$cache/tools"

log() { printf '%s\n' "$*" >&2; }

die() {
    log "error: $*"
    exit 1
}

# need COMMAND PACKAGE: makes sure that COMMAND is on PATH, from Debian's PACKAGE if it is not.
need() {
    command -v "$1" >/dev/null || apt_install "$2"
}

# apt_install PACKAGE…: as root only, for nobody expects a test to ask for a password.
apt_install() {
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
        die "the tests need these packages: $*. Install them first: sudo apt-get install $*"
    fi
    log "installing $* …"
    mkdir -p "$tools"
    (
        flock 9
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends "$@"
    ) 9>"$tools/.apt.lock" >&2
}

# install_once NAME BUILD [ARGUMENT…]: calls `BUILD DIRECTORY ARGUMENT…`, which fills DIRECTORY, unless NAME is installed;
# prints NAME's bin directory. Another process that wants the same waits. DIRECTORY is moved to its place only when BUILD is
# through: what an aborted one leaves behind is never taken for whole, and thrown away by the next.
install_once() {
    local name=$1 build=$2 destination="$tools/$1"
    shift 2
    if [[ ! -d $destination ]]; then
        mkdir -p "$tools"
        (
            flock 9
            [[ -d $destination ]] && exit
            log "installing $name …"
            rm -rf "$destination.partial"
            mkdir "$destination.partial"
            "$build" "$destination.partial" "$@"
            mv "$destination.partial" "$destination"
            log "installed $name in $SECONDS s"
        ) 9>"$tools/.$name.lock" >&2
    fi
    printf '%s\n' "$destination/bin"
}

# cargo_install CRATE VERSION [OPTION…]: a Cargo tool, with the versions its authors locked. It runs for seconds, so the time
# goes into compiling it: hence no optimisation.
cargo_install() {
    install_once "$1-$2" cargo_build "$@"
}

cargo_build() {
    local directory=$1 crate=$2 version=$3
    shift 3
    CARGO_TARGET_DIR="$directory/target" \
        CARGO_PROFILE_RELEASE_OPT_LEVEL=0 \
        CARGO_PROFILE_RELEASE_LTO=off \
        CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        CARGO_PROFILE_RELEASE_DEBUG=0 \
        CARGO_PROFILE_RELEASE_STRIP=debuginfo \
        cargo install --quiet --locked --root "$directory" "$@" "$crate@$version"
    rm -rf "$directory/target"
}

# go_install PACKAGE VERSION NAME [OPTION…]: a command from a Go module that pins what it needs. Go names it by the last part of
# its path.
go_install() {
    install_once "$3-$2" go_build "$@"
}

go_build() {
    local directory=$1 package=$2 version=$3 name=$4
    shift 4
    GOBIN="$directory/bin" CGO_ENABLED=0 GOFLAGS=-trimpath go install -ldflags '-s -w' "$@" "$package@v$version"
    [[ -e $directory/bin/$name ]] || mv "$directory/bin/${package##*/}" "$directory/bin/$name"
}
