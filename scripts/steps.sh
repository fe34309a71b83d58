# Sourced by scripts that run several commands, all of them even if one fails, each with its time and verdict.

steps_report=''
steps_failed=0

# step NAME COMMAND…: now, and alone.
step() {
    local name=$1 start=$SECONDS code=0
    shift
    printf '\n=== %s\n' "$name"
    "$@" || code=$?
    ended "$name" $((SECONDS - start)) "$code"
}

# ended NAME SECONDS CODE: a row of the table.
ended() {
    local verdict=passed
    if (($3 != 0)); then
        verdict="FAILED ($3)"
        steps_failed=$((steps_failed + 1))
    fi
    steps_report+=$(printf '%-20s %6d s  %s' "$1" "$2" "$verdict")$'\n'
}

# report TITLE: the table.
report() {
    printf '\n=== %s\n%s' "$1" "$steps_report"
}
