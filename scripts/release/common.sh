# Sourced by the shell programs of this folder.

log() { printf '%s\n' "$*" >&2; }

fail() {
    log "error: $*"
    exit 1
}

# help NAMES [ARGUMENT]…: if the first argument is --help, prints the comment at the top of the program and exits.
help() {
    local line
    [[ ${2:-} == --help || ${2:-} == -h ]] || return 0
    printf 'usage: %s\n\n' "scripts/release/${0##*/}${1:+ $1}"
    while IFS= read -r line && [[ $line == '#'* ]]; do
        line=${line#\#}
        [[ $line == '!'* ]] || printf '%s\n' "${line# }"
    done <"$0"
    exit 0
}

# usage NUMBER NAMES [ARGUMENT]…: handles --help, and exits with 2 unless there are NUMBER arguments.
usage() {
    local number=$1 names=$2
    shift 2
    help "$names" "$@"
    if (($# != number)); then
        log "usage: scripts/release/${0##*/}${names:+ $names}"
        exit 2
    fi
}

# needs VARIABLE…: exits with 2 unless each is set and not empty.
needs() {
    local name
    for name in "$@"; do
        if [[ -z ${!name:-} ]]; then
            log "error: $name is not set"
            exit 2
        fi
    done
}
