# shellcheck shell=bash
# Shared by the tests with stock clients: TAP lines, bounded waits, a control plane of `kctl dev` of their own.
set -u
here=$(dirname "$(readlink -f "$0")")
top=${here%/tests/clients}
build=${KEELSON_BUILDDIR:-$top/build}
# shellcheck disable=SC2034
pick=$top/tests/lab/pick
tests=0 failures=0 dev=''
scratch=$(mktemp -d)

finish() {
        local status=$?
        trap '' INT TERM HUP
        if [[ $dev ]]; then
                kill -TERM "$dev" 2>/dev/null
                wait "$dev" 2>/dev/null
        fi
        rm -rf "$scratch"
        exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

skip_all() {
        echo "1..0 # SKIP $1"
        exit 0
}

# ok TEXT COMMAND...: passes when the command succeeds; what it says is shown when it does not.
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

# says REGEX COMMAND...: the command succeeds and its output matches; fails REGEX COMMAND...: it fails and reports it.
says() {
        local want=$1 got
        shift
        got=$("$@" 2>&1) || { echo "status $?: $got"; return 1; }
        grep -qE -- "$want" <<<"$got" || { printf 'want: %s\n got: %s\n' "$want" "$got"; return 1; }
}

fails() {
        local want=$1 got
        shift
        if got=$("$@" 2>&1); then echo "it succeeded: $got"; return 1; fi
        grep -qE -- "$want" <<<"$got" || { printf 'want: %s\n got: %s\n' "$want" "$got"; return 1; }
}

# within SECONDS COMMAND...: runs it until it succeeds; the longer it waits, the rarer. Never less than 30 s: the machine
# may be busy, and a wait that succeeds costs nothing.
within() {
        local limit=$(( $1 > 30 ? $1 : 30 )) said pause=10
        local end=$((SECONDS + limit))
        shift
        until said=$("$@" 2>&1); do
                if (( SECONDS >= end )); then echo "not within $limit s: $*"; echo "$said"; return 1; fi
                sleep "0.$pause"
                pause=$((pause < 50 ? pause + 5 : 50))
        done
}

# Below the ports that the kernel gives to outgoing connections.
free_port() {
        local p
        for (( p = 12000 + RANDOM % 20000; ; p++ )); do
                (exec 3<>"/dev/tcp/127.0.0.1/$p") 2>/dev/null || { echo "$p"; return; }
        done
}

# Starts a control plane; its kubeconfig is in $KUBECONFIG.
start_dev() { # [FLAG OF KCTL DEV...]
        port=$(free_port)
        [[ -x $build/kctl/kctl ]] || { echo "Bail out! no $build/kctl/kctl: build first"; exit 1; }
        "$build/kctl/kctl" dev --dir "$scratch/dev" --port "$port" "$@" >"$scratch/dev.log" 2>&1 </dev/null &
        dev=$!
        if ! within 30 grep -q "^ready https://127.0.0.1:$port" "$scratch/dev.log" >/dev/null; then
                tail -n 30 "$scratch/dev.log" | sed 's/^/# /'
                echo "Bail out! kctl dev did not become ready within 30 s"
                exit 1
        fi
        export KUBECONFIG=$scratch/dev/kubeconfig
}

done_testing() {
        echo "1..$tests"
        [[ $failures -eq 0 || ! -e $scratch/dev.log ]] || { echo "# the end of kctl dev's log:"; tail -n 25 "$scratch/dev.log" | cut -c1-300 | sed 's/^/#   /'; }
        exit $((failures > 0))
}
