# Sourced by the programs of this folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

log() { printf '%s\n' "$*" >&2; }

usage() {
    log "usage: scripts/terraform/${0##*/} $1"
    exit 2
}

# What can be planned, in the order in which it is applied: environments, and the bootstrap, which an administrator applies.
ROOTS=(staging production bootstrap)

# folder ROOT: prints the folder of its configuration, which has ROOT.tfvars and ROOT.s3.tfbackend.
folder() {
    case $1 in
        bootstrap) echo terraform/bootstrap ;;
        *) echo terraform/environment ;;
    esac
}

# is_set_up ROOT: succeeds unless its state is missing or that of the examples, whose account is nobody's.
is_set_up() {
    local backend
    backend=$(folder "$1")/$1.s3.tfbackend
    [[ -f $backend ]] && ! grep -q 111122223333 "$backend"
}

# json_list WORD…: prints a JSON list.
json_list() {
    local list=("${@/#/\"}")
    list=("${list[@]/%/\"}")
    (IFS=, && printf '[%s]\n' "${list[*]}")
}

# begin ROOT: sets `folder`, `name`, and `scratch`, a directory that is removed at exit, because plans contain every secret.
begin() {
    name=$1
    if [[ " ${ROOTS[*]} " != *" $name "* ]]; then
        log "error: no environment is named $name"
        exit 2
    fi
    if ! is_set_up "$name"; then
        log "error: $(folder "$name")/$name.s3.tfbackend is not filled in: docs/deploy.md, step 5"
        exit 1
    fi
    folder=$(folder "$name")
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    export TF_IN_AUTOMATION=1 TF_INPUT=0

    # STAGING_TF_VAR_page_subscriptions becomes staging's TF_VAR_page_subscriptions: a job may have those of all environments.
    local prefix=${name^^}_TF_VAR_ variable
    for variable in $(compgen -e); do
        [[ $variable != "$prefix"* || -z ${!variable} ]] || export "TF_VAR_${variable#"$prefix"}=${!variable}"
    done
    terraform -chdir="$folder" init -reconfigure -backend-config="$name.s3.tfbackend" >&2
}

# plan [OPTION…]: writes $scratch/plan; sets `changes` to yes or no, and `fingerprint`.
plan() {
    local code=0
    changes=no
    terraform -chdir="$folder" plan -detailed-exitcode -var-file="$name.tfvars" -out="$scratch/plan" "$@" >&2 || code=$?
    case $code in
        0) ;;
        2) changes=yes ;;
        *) exit 1 ;;
    esac
    terraform -chdir="$folder" show -json "$scratch/plan" >"$scratch/plan.json"
    fingerprint=$(scripts/terraform/fingerprint <"$scratch/plan.json")
}
