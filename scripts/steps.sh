# Sourced by the scripts that run several things in a row: all of them, even if one fails, each with its time and verdict.

steps_report=''
steps_passed=0
steps_failed=0
trap 'exit 130' INT

# step NAME COMMAND…
step() {
    local name=$1 start=$SECONDS verdict=passed
    shift
    printf '\n=== %s\n' "$name"
    if "$@"; then
        steps_passed=$((steps_passed + 1))
    else
        verdict="FAILED ($?)"
        steps_failed=$((steps_failed + 1))
    fi
    steps_report+=$(printf '%-20s %6d s  %s' "$name" $((SECONDS - start)) "$verdict")$'\n'
}

# report TITLE: the table.
report() {
    printf '\n=== %s\n%s' "$1" "$steps_report"
}
