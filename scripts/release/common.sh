# Sourced by the shell programs of this folder.

log() { printf '%s\n' "$*" >&2; }

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
