# Sourced by scripts that run several commands. All run, even if one fails; a table shows the time and result of each.

steps_table=''
steps_failed=0

# run_step NAME COMMAND…: runs a command and records its result.
run_step() {
    local name=$1 start=$SECONDS code=0
    shift
    printf '\n=== %s\n' "$name"
    "$@" || code=$?
    record_step "$name" $((SECONDS - start)) "$code"
}

# record_step NAME SECONDS CODE: adds a row to the table.
record_step() {
    local result=passed
    if (($3 != 0)); then
        result="FAILED ($3)"
        steps_failed=$((steps_failed + 1))
    fi
    steps_table+=$(printf '%-20s %6d s  %s' "$1" "$2" "$result")$'\n'
}

# print_steps TITLE: prints the table.
print_steps() {
    printf '\n=== %s\n%s' "$1" "$steps_table"
}
