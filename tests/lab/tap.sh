# shellcheck shell=bash
# Shared by the lab's tests: TAP lines, bounded waits, their own lab. Sourced after `here` is set to tests/lab.
# What its machines start from ($root, --root) a test may set before.
# shellcheck disable=SC2154 # here
set -u
top=${here%/tests/lab}
export KEELSON_BUILDDIR=${KEELSON_BUILDDIR:-$top/build}
pick=$here/pick
name=story keep='' short='' shared='' namespace='' evident='' root=${root:-host}
tests=0 failures=0
scratch=$(mktemp -d)

while [[ $# -gt 0 ]]; do
        case $1 in
        --name) name=$2; shift ;;
        --root) root=$2; shift ;;
        --short) short=1 ;;     # the story only
        --keep) keep=1 ;;       # leave the machines there for looking into
        --shared) shared=1 ;;   # the fleet is there and stays (tests/lab/fleet)
        *) echo "usage: ${0##*/} [--name LAB] [--root ROOT] [--short] [--keep] [--shared]" >&2; exit 2 ;;
        esac
        shift
done

[[ $0 != */stories/* ]] || namespace=${0##*/}

lab() { "$here/lab" --name "$name" "$@" </dev/null; }
kctl() { "$here/lab" --name "$name" kctl ${namespace:+-n "$namespace"} "$@"; }
on() { lab ssh "$@"; }

finish() {
        local status=$?
        trap '' INT TERM HUP
        [[ $(jobs -p) ]] && kill $(jobs -p) 2>/dev/null
        if [[ $shared ]]; then
                [[ ! $namespace ]] || kctl delete namespace "$namespace" --wait=false >/dev/null 2>&1
        elif [[ $keep ]]; then
                echo "# kept: tests/lab/lab --name $name list"
        else
                lab down >/dev/null 2>&1
        fi
        rm -rf "$scratch"
        exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

# ok TEXT COMMAND...: the test passes when the command succeeds; what it says is shown when it does not.
ok() {
        local text=$1 said
        shift
        tests=$((tests + 1))
        if said=$("$@" 2>&1 </dev/null); then
                echo "ok $tests - $text"
                return 0
        fi
        failures=$((failures + 1))
        echo "not ok $tests - $text"
        head -n 20 <<<"$said" | cut -c1-300 | sed 's/^/# /'
        return 1
}

# need TEXT COMMAND...: like ok, but nothing after it makes sense without it.
need() {
        ok "$@" && return
        evidence
        echo "Bail out! $1: failed"
        exit 1
}

# Runs a command until it succeeds. After the time limit it prints the output of the last try. The longer it waits, the
# rarer it asks, so that tests that wait leave the processors to those that work. Never less than 30 s: the machine may be
# busy.
within() {
        local limit=$(( $1 > 30 ? $1 : 30 )) said pause=2
        local end=$((SECONDS + limit))
        shift
        until said=$("$@" 2>&1); do
                if (( SECONDS >= end )); then
                        echo "not within $limit s: $*"
                        [[ ! $said ]] || echo "$said"
                        return 1
                fi
                sleep "0.$pause"
                pause=$((pause < 5 ? pause + 1 : 5))
        done
}

# is WANT COMMAND...: the command's output is exactly this.
is() {
        local want=$1 got
        shift
        got=$("$@") || { echo "$* failed: $got"; return 1; }
        [[ $got == "$want" ]] || { printf 'want: %s\n got: %s\n' "$want" "$got"; return 1; }
}

not() { ! "$@"; }

# json KCTL-ARGUMENTS -- PATHS: fields of what kctl gets.
json() {
        local args=()
        while [[ $1 != -- ]]; do args+=("$1"); shift; done
        shift
        kctl get "${args[@]}" -o json </dev/null | "$pick" "$@"
}

# What helps to understand a failure: printed as comments when a test bails out.
evidence() {
        evident=1
        {
                kctl get nodes,pods -A -o wide
                kctl get events -A | tail -n 25
                [[ ! $shared ]] || return
                kctl get gitsync -A -o yaml | tail -n 30
                for node in $(lab list | awk '/^n[0-9]/ { print $1 }'); do
                        echo "--- $node"
                        lab logs "$node" -n 25 -o short-monotonic -u 'keelson-*'
                done
        } 2>&1 | cut -c1-240 | sed 's/^/#   /'
}

done_testing() {
        echo "1..$tests"
        [[ $failures -eq 0 || $evident ]] || evidence
        exit $((failures > 0))
}

# For a story (tests/lab/stories): three machines that are a cluster without taints, and a namespace with the story's
# name, which kctl uses. The machines are the story's own, or with --shared those that tests/lab/fleet has booted.
fleet() {
        if [[ ! $shared ]]; then lab up --nodes 3 && lab cluster || return 1; fi
        within 60 nodes_ready 3 || return 1
        printf 'apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n' "$namespace" | kctl apply -f -
}

nodes_ready() {
        local states
        states=$(json nodes -- '.items.*|metadata.name,status.conditions.type=Ready.status') || return 1
        [[ $(grep -c ' True$' <<<"$states") -eq $1 ]] || { echo "$states"; return 1; }
}

# The Ready state of one node: True, False or Unknown.
node_is() {
        local got
        got=$(json node "$2" -- .status.conditions.type=Ready.status) || return 1
        if [[ $1 == ready ]]; then [[ $got == True ]]; else [[ $got == False || $got == Unknown ]]; fi || { echo "Ready is $got"; return 1; }
}
