# Sourced by the scripts that run several things, all of them even if one fails, each with its time and verdict.

steps_report=''
steps_passed=0
steps_failed=0
trap 'interrupted' INT

# What runs in the background is in process groups of its own, which the terminal's Ctrl-C does not reach.
interrupted() {
    local pid
    for pid in $(jobs -pr); do
        kill -INT -- "-$pid"
    done
    wait
    exit 130
}

# step NAME COMMAND…: now, and alone.
step() {
    local name=$1 start=$SECONDS code=0
    shift
    printf '\n=== %s\n' "$name"
    "$@" || code=$?
    ended "$name" $((SECONDS - start)) "$code"
}

# steps WIDTH NAME COMMAND [NAME COMMAND …]: WIDTH of them at a time. What one prints comes in one piece, when it has ended.
steps() {
    local width=$1 output pid code running=0
    local -A names starts
    shift
    output=$(mktemp -d)
    set -m
    while (($# > 0 || running > 0)); do
        if (($# > 0 && running < width)); then
            "$2" &>"$output/$1" &
            names[$!]=$1 starts[$!]=$SECONDS
            running=$((running + 1))
            shift 2
            continue
        fi
        code=0
        wait -n -p pid || code=$?
        running=$((running - 1))
        printf '\n=== %s\n' "${names[$pid]}"
        cat "$output/${names[$pid]}"
        ended "${names[$pid]}" $((SECONDS - starts[$pid])) "$code"
    done
    set +m
    rm -r "$output"
}

# ended NAME SECONDS CODE: a row of the table.
ended() {
    local verdict=passed
    if (($3 == 0)); then
        steps_passed=$((steps_passed + 1))
    else
        verdict="FAILED ($3)"
        steps_failed=$((steps_failed + 1))
    fi
    steps_report+=$(printf '%-20s %6d s  %s' "$1" "$2" "$verdict")$'\n'
}

# report TITLE: the table.
report() {
    printf '\n=== %s\n%s' "$1" "$steps_report"
}
