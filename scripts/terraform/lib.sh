# Sourced by the programs of this folder. A NAME is an environment, or `bootstrap`, or `bootstrap-…` of another account: the root has a file
# NAME.tfvars.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

log() { printf '%s\n' "$*" >&2; }

usage() {
    log "usage: scripts/terraform/${0##*/} $1"
    exit 2
}

# root NAME: prints the directory of the root.
root() {
    case $1 in
        bootstrap | bootstrap-*) echo terraform/bootstrap ;;
        *) echo terraform/environment ;;
    esac
}

# environments: prints the environments, staging first, because what fails there does not reach the others.
environments() {
    local file
    for file in terraform/environment/{staging,*}.tfvars; do
        [[ ! -f $file ]] || basename "$file" .tfvars
    done | awk '!seen[$0]++'
}

# is_set_up NAME: whether backend and account are not those of the examples.
is_set_up() {
    local files
    files=$(root "$1")/$1
    [[ -f $files.s3.tfbackend && -f $files.tfvars ]] && ! grep -q 111122223333 "$files.s3.tfbackend" "$files.tfvars"
}

# json_list WORD…: prints a JSON list.
json_list() {
    local list=("${@/#/\"}")
    list=("${list[@]/%/\"}")
    (IFS=, && printf '[%s]\n' "${list[*]}")
}

# begin NAME: sets `folder` and `values`, and `scratch`, a directory that is removed at exit, because plans contain every secret.
begin() {
    if [[ ! $1 =~ ^[a-z]+(-[a-z]+)?$ || ! -f $(root "$1")/$1.tfvars ]]; then
        log "error: there is no $(root "$1")/$1.tfvars"
        exit 2
    fi
    if ! is_set_up "$1"; then
        log "error: $(root "$1")/$1.s3.tfbackend and $1.tfvars have the examples: docs/deploy.md, step 5"
        exit 1
    fi
    folder=$(root "$1")
    values=-var-file=$1.tfvars
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    # Both environments have one folder: a data directory each, so that the backend of one is never used with the values of the other.
    export TF_IN_AUTOMATION=1 TF_INPUT=0 TF_DATA_DIR=$scratch/.terraform

    # STAGING_TF_VAR_page_subscriptions becomes staging's TF_VAR_page_subscriptions: a job may have those of all environments.
    local prefix=${1^^}_TF_VAR_ variable
    for variable in $(compgen -e); do
        [[ $variable != "$prefix"* || -z ${!variable} ]] || export "TF_VAR_${variable#"$prefix"}=${!variable}"
    done
    local options=(-reconfigure "-backend-config=$1.s3.tfbackend")
    # The provider that was reviewed, and no other.
    [[ ! -f $folder/.terraform.lock.hcl ]] || options+=(-lockfile=readonly)
    terraform -chdir="$folder" init "${options[@]}" >&2
}

# plan [OPTION…]: writes $scratch/plan; sets `changes` to yes or no, and `fingerprint`.
plan() {
    local code=0
    changes=no
    terraform -chdir="$folder" plan -detailed-exitcode -out="$scratch/plan" "$values" "$@" >&2 || code=$?
    case $code in
        0) ;;
        2) changes=yes ;;
        *) exit 1 ;;
    esac
    terraform -chdir="$folder" show -json "$scratch/plan" >"$scratch/plan.json"
    fingerprint=$(scripts/terraform/fingerprint <"$scratch/plan.json")
}
