# Sourced by the programs of this folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

log() { printf '%s\n' "$*" >&2; }

usage() {
    log "usage: scripts/terraform/${0##*/} $1"
    exit 2
}

# begin ENVIRONMENT: sets `folder`, and `scratch`, a directory that is removed at exit, because plans contain every secret.
begin() {
    folder=terraform/environments/$1
    if [[ ! $1 =~ ^[a-z]+$ || ! -d $folder ]]; then
        log "error: no environment is named $1"
        exit 2
    fi
    if [[ ! -f $folder/backend.hcl ]]; then
        log "error: $folder/backend.hcl is not there: docs/deploy.md, step 5"
        exit 1
    fi
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    export TF_IN_AUTOMATION=1 TF_INPUT=0

    # STAGING_TF_VAR_page_subscriptions becomes staging's TF_VAR_page_subscriptions: a job may have those of all environments.
    local prefix=${1^^}_TF_VAR_ name
    for name in $(compgen -e); do
        [[ $name != "$prefix"* || -z ${!name} ]] || export "TF_VAR_${name#"$prefix"}=${!name}"
    done
    terraform -chdir="$folder" init -reconfigure -backend-config=backend.hcl >&2
}

# plan [OPTION…]: writes $scratch/plan; sets `changes` to yes or no, and `fingerprint`.
plan() {
    local code=0
    changes=no
    terraform -chdir="$folder" plan -detailed-exitcode -out="$scratch/plan" "$@" >&2 || code=$?
    case $code in
        0) ;;
        2) changes=yes ;;
        *) exit 1 ;;
    esac
    terraform -chdir="$folder" show -json "$scratch/plan" >"$scratch/plan.json"
    fingerprint=$(scripts/terraform/fingerprint <"$scratch/plan.json")
}
