# shellcheck shell=bash
# What the steps of cases use beside tests/lab/tap.sh (ok, need, within, is, not, json, lab). Sourced, with $here, $name and
# $scratch as there, and $NODE_RUN, the folder that all cases of a run share. Every wait is bounded.
# shellcheck disable=SC2034,SC2154 # used by steps; set by tap.sh
lab_state=/run/keelson-lab/$name
n1=10.98.$(<"$lab_state/slot").11 n2=10.98.$(<"$lab_state/slot").12
# Their addresses of IPv6; those of the lab that a person has made may have none.
n1_6=$(printf 'fd00:98:%x::11' "$(<"$lab_state/slot")") n2_6=$(printf 'fd00:98:%x::12' "$(<"$lab_state/slot")")
case=${case:-} namespace=${namespace:-}

# From the host itself, which reaches the machines: faster than tap.sh's, which enters the lab. What uses SSH itself
# (kctl node ...) needs `lab kctl`.
kctl() { KUBECONFIG=$lab_state/kubeconfig "$KEELSON_BUILDDIR/kctl/kctl" ${namespace:+-n "$namespace"} "$@"; }

# Debian's kubectl, for verbs that kctl does not have (patch, create).
kube() { kubectl --kubeconfig "$lab_state/kubeconfig" ${namespace:+-n "$namespace"} "$@" </dev/null; }

# on MACHINE COMMAND...: over the connection that all cases share; run_on MACHINE <SCRIPT: a script for bash.
on() { connect_to "$@" </dev/null; }
run_on() { connect_to "$1" bash -s; }

connect_to() {
        local machine=$1
        shift
        [[ ! -e $NODE_RUN/cut-$machine ]] || { lab ssh "$machine" "$@"; return; }
        ssh -F "$lab_state/ssh/config.lab" -S "$NODE_RUN/ssh-$machine" -o ControlMaster=no "$machine" "$@"
}

masters_start() {
        local m
        for m; do
                ! ssh -S "$NODE_RUN/ssh-$m" -O check "$m" >/dev/null 2>&1 || continue
                rm -f "$NODE_RUN/ssh-$m"
                ssh -F "$lab_state/ssh/config.lab" -S "$NODE_RUN/ssh-$m" -MNf "$m" >/dev/null 2>&1 </dev/null
        done
}

# Like tap.sh's, with pauses that grow, and never less than 30 s: several cases wait at the same time on a busy machine.
within() {
        local limit=$(( $1 > 30 ? $1 : 30 )) said pause=1
        local end=$((SECONDS + limit))
        shift
        until said=$("$@" 2>&1); do
                if (( SECONDS >= end )); then
                        echo "not within $limit s: $*"
                        [[ ! $said ]] || echo "$said"
                        return 1
                fi
                sleep 0.$pause
                (( pause > 5 )) || pause=$((pause + 1))
        done
}

# Says why the case cannot run here, and ends it.
skip() { echo "# SKIP $*"; exit 0; }

# A line that is shown with the result: what was measured.
note() { echo "# note: $*"; }

# need_once WORD: the extra need_WORD of needs.sh, once a run; what it sets for steps is at the top of that file. An
# extra that cannot be had here returns 77 and says why: the case is skipped.
need_once() {
        local lock status
        exec {lock}>"$NODE_RUN/need-$1.lock"
        flock -w 100 "$lock" || { need "the extra $1" echo "another case has been making it for 100 s"; }
        if [[ ! -e $NODE_RUN/need-$1 ]]; then
                ( "need_$1" ) >"$NODE_RUN/need-$1.log" 2>&1 </dev/null {lock}>&-
                echo $? >"$NODE_RUN/need-$1"
        fi
        status=$(<"$NODE_RUN/need-$1")
        exec {lock}>&-
        [[ $status -ne 77 ]] || skip "$(tail -n 1 "$NODE_RUN/need-$1.log")"
        need "the extra $1" eval "tail -n 15 '$NODE_RUN/need-$1.log'; [[ $status -eq 0 ]]"
}

# namespace_made NAME [LEVEL]: with that level of pod security.
namespace_made() {
        printf 'apiVersion: v1\nkind: Namespace\nmetadata: {name: %s%s}\n' "$1" \
                "${2:+, labels: {pod-security.kubernetes.io/enforce: $2\}}" | kctl apply -f -
}

# In manifests @n1@, @n2@ and @registry@ are addresses, @case@ is the namespace.
apply_manifest() { sed -e "s/@n1@/$n1/g; s/@n2@/$n2/g; s/@registry@/${registry:-}/g; s/@case@/$case/g" "$1" | kctl apply -f -; }

# apply <MANIFEST
apply() { kctl apply -f - >/dev/null; }

# --- waiting for objects: watched, not polled

# wait_for OBJECT JSONPATH WANT [SECONDS]: until that field has this value.
wait_for() {
        kctl wait "$1" --for="jsonpath={$2}=$3" --timeout="${4:-60}s" </dev/null && return
        echo "$1 $2 is not '$3' but '$(kctl get "$1" -o "jsonpath={$2}" </dev/null)'"
        return 1
}

# running POD...; ready POD...; ends_as PHASE POD...; gone OBJECT...
running() { local p; for p; do wait_for "pod/$p" .status.phase Running || return; done; }
ready() { local p; for p; do kctl wait "pod/$p" --for=condition=Ready --timeout=60s </dev/null || return; done; }
ends_as() { local p phase=$1; shift; for p; do wait_for "pod/$p" .status.phase "$phase" || return; done; }
gone() { local o; for o; do kctl wait "$o" --for=delete --timeout=60s </dev/null || return; done; }

# rolled_out OBJECT
rolled_out() { kctl rollout status "$1" --timeout=60s </dev/null; }

delete() { kctl delete "$@" --wait=false >/dev/null </dev/null; }

# --- looking at pods; a container's name is c unless it is given

# status POD PATH [INDEX]: a field of a container's status.
status() { kctl get pod "$1" -o "jsonpath={.status.containerStatuses[${3:-0}].$2}" </dev/null; }
status_is() { is "$1" status "$2" "$3" "${4:-0}"; }

pod_ip() { kctl get pod "$1" -o 'jsonpath={.status.podIP}' </dev/null; }
pod_ip6() { kctl get pod "$1" -o 'jsonpath={.status.podIPs[1].ip}' </dev/null; }
pod_uid() { kctl get pod "$1" -o 'jsonpath={.metadata.uid}' </dev/null; }
node_of() { kctl get pod "$1" -o 'jsonpath={.spec.nodeName}' </dev/null; }

unit_of() { echo "kpod-${namespace}_$1_${2:-c}.service"; }

# prop POD PROPERTY [CONTAINER]: of its unit, on its machine.
prop() { on "$(node_of "$1")" systemctl show -P "$2" "'$(unit_of "$1" "${3:-}")'"; }
main_pid() { prop "$1" MainPID "${2:-}"; }

# runs_as POD [NOT [CONTAINER]]: its main process is there, and another one than NOT.
runs_as() {
        local pid
        pid=$(main_pid "$1" "${3:-}") && [[ $pid && $pid != 0 && $pid != "${2:-0}" ]] || { echo "its main process is '$pid'"; return 1; }
}

logs() { kctl logs "$@" </dev/null; }
# says POD LINE [CONTAINER]: a whole line of its log.
says() {
        local got
        got=$(logs "$1" -c "${3:-c}") && grep -qxF -- "$2" <<<"$got" || { printf 'no line: %s\nin:\n%s\n' "$2" "$got"; return 1; }
}

# says_all POD LINE...: all these lines are in the log of its container c.
says_all() {
        local got line missing=()
        got=$(logs "$1" -c c) || { echo "$got"; return 1; }
        for line in "${@:2}"; do grep -qxF -- "$line" <<<"$got" || missing+=("$line"); done
        [[ ${#missing[@]} -eq 0 ]] || { printf 'no line: %s\n' "${missing[@]}"; printf 'in:\n%s\n' "$got"; return 1; }
}

# had_written LINE POD: the same of a pod that is gone.
had_written() {
        local got
        got=$(on "${3:-n1}" "journalctl -q -o cat _SYSTEMD_UNIT=keelson-logs.service KEELSON_NAMESPACE=$namespace KEELSON_POD=$2")
        grep -qxF -- "$1" <<<"$got" || { printf 'no line: %s\nin:\n%s\n' "$1" "$got"; return 1; }
}

# event NAME REASON [TEXT]: an event about the object has this reason and this text in its message.
event() {
        local got
        got=$(kctl get events -o json </dev/null | "$pick" '.items.*|involvedObject.name,reason,message') || return 1
        grep "^$1 $2 " <<<"$got" | grep -F -- "${3:-}" || { printf 'no event %s %s of %s in:\n%s\n' "$2" "${3:-}" "$1" "$got"; return 1; }
}

# waits_with REASON POD [TEXT]
waits_with() {
        local got
        got=$(status "$2" state.waiting.reason)
        [[ $got == "$1" && $(status "$2" state.waiting.message) == *"${3:-}"* ]] || { kctl get pod "$2" -o 'jsonpath={.status.containerStatuses[0].state}' </dev/null; return 1; }
}

ended_with() {
        local got
        got="$(status "$2" state.terminated.reason) $(status "$2" state.terminated.exitCode)"
        [[ $got == "$1" ]] || { echo "$got"; return 1; }
}

contains() {
        local want=$1 got
        shift
        got=$("$@" 2>&1) || { echo "$* failed: $got"; return 1; }
        [[ $got == *"$want"* ]] || { printf 'not in it: %s\n got: %s\n' "$want" "$got"; return 1; }
}

refused() {
        local want=$1 got
        shift
        ! got=$("$@" 2>&1) || { echo "$* succeeded: $got"; return 1; }
        [[ $got == *"$want"* ]] || { printf 'not in it: %s\n got: %s\n' "$want" "$got"; return 1; }
}

# --- asking servers, from a machine

# asks MACHINE HOST PORT [tcp|udp]: what a connection reads first, or why there is none.
asks() {
        on "$1" "perl -MIO::Socket::INET -e 'my \$s = IO::Socket::INET->new(PeerAddr => q{$2}, PeerPort => $3, Proto => q{${4:-tcp}}, Timeout => 5) or print qq{\$!\\n} and exit;
                \$s->send(q{m}) if q{${4:-tcp}} eq q{udp}; my \$r = q{}; vec(\$r, fileno \$s, 1) = 1; select(\$r, undef, undef, 5) or print qq{silence\\n} and exit;
                defined \$s->recv(my \$m, 999) or print qq{\$!\\n} and exit; print \$m'"
}

# asks_many MACHINE HOST PORT N [POD]: the different answers of so many connections; from the network of that pod.
asks_many() {
        on "$1" "${5:+ip netns exec kpod-$(pod_uid "$5") }perl -MIO::Socket::INET -e 'for (1 .. $4) { my \$s = IO::Socket::INET->new(PeerAddr => q{$2}, PeerPort => $3, Timeout => 5); print \$s ? \$s->getline // qq{nothing\n} : qq{\$!\n} }' | sort -u"
}

# asks6 MACHINE ADDRESS PORT [POD [SECONDS]]: as asks, over TCP of either family; from the network of that pod of the machine.
asks6() {
        on "$1" "${4:+ip netns exec kpod-$(pod_uid "$4") }perl -MIO::Socket::IP -e 'my \$s = IO::Socket::IP->new(PeerHost => q{$2}, PeerPort => $3, Timeout => ${5:-5}) or print qq{\$!\n} and exit; print \$s->getline // qq{nothing\n}'"
}
# asks6_many MACHINE ADDRESS PORT N [POD]
asks6_many() {
        on "$1" "${5:+ip netns exec kpod-$(pod_uid "$5") }perl -MIO::Socket::IP -e 'for (1 .. $4) { my \$s = IO::Socket::IP->new(PeerHost => q{$2}, PeerPort => $3, Timeout => 5); print \$s ? \$s->getline // qq{nothing\n} : qq{\$!\n} }' | sort -u"
}

# --- the machines

agent_active() { is active on "$1" systemctl is-active keelson-nodeagent; }
agent_pid() { on "$1" systemctl show -P MainPID keelson-nodeagent; }
agent_restarts() { on "$1" systemctl restart keelson-nodeagent && within 30 agent_active "$1"; }
# The agent was killed or ended: another process of it is ready.
agent_is_new() {
        local pid
        pid=$(agent_pid "$1") && [[ $pid && $pid != 0 && $pid != "$2" ]] && agent_active "$1"
}

# The shared connection ends first: the machine cannot end it.
power_cut() {
        ssh -S "$NODE_RUN/ssh-$1" -O exit "$1" >/dev/null 2>&1
        lab kill "$1"
}
power_on() { lab boot "$1" && { [[ -e $NODE_RUN/cut-$1 ]] || masters_start "$1"; }; }

# cut_off MACHINE: from the other machine; on and run_on reach it. cut_heals undoes it.
cut_off() { lab partition "$1" && touch "$NODE_RUN/cut-$1"; }
cut_heals() { rm -f "$NODE_RUN/cut-$1"; lab heal "$1"; masters_start "$1"; }

# run_on_text MACHINE SCRIPT
run_on_text() { run_on "$1" <<<"$2"; }

agent_program() { on "$1" systemctl show -P ExecStart keelson-nodeagent | sed -n 's/^{ path=\([^ ]*\) .*/\1/p'; }

# crashes_begin MACHINE POD...: the machine's agent is killed once at an action of each pod, which is named for it:
# before-start, after-start (KEELSON_LAB_CRASH, nodeagent/pod/crash.h). crashes_set: others instead; crashes_over: all have
# happened; crashes_end undoes it.
crashes_begin() {
        crashes_set "$@"
        run_on "$1" <<'END2'
mkdir -p /run/systemd/system/keelson-nodeagent.service.d
printf '[Service]\nRestartSec=100ms\nEnvironment=KEELSON_LAB_CRASH=/run/lab-crash\n' >/run/systemd/system/keelson-nodeagent.service.d/crash.conf
systemctl daemon-reload && systemctl restart keelson-nodeagent
END2
}
crashes_set() {
        local machine=$1 p lines=''
        shift
        for p; do lines+="${p%%-*} ${p#*-} $case/$p"$'\n'; done
        run_on_text "$machine" "printf '%s' '$lines' >/run/lab-crash"
}
crashes_over() {
        local got
        got=$(on "$1" cat /run/lab-crash)
        [[ ! $got ]] || { echo "$got"; return 1; }
}
crashes_end() { run_on_text "$1" 'rm -rf /run/lab-crash /run/systemd/system/keelson-nodeagent.service.d; systemctl daemon-reload; systemctl restart keelson-nodeagent'; }

# state_disk_begin MACHINE MIB: the agent's state moves to a tmpfs with so many MiB more than it has (images of other cases),
# on which it does not evict pods; state_disk_end moves it back. Only when no pod is there.
state_disk_begin() {
        kctl delete pods --all --grace-period=1 >/dev/null </dev/null
        within 60 no_pod_folder "$1" || return 1
        run_on "$1" <<END2 || return 1
set -e
systemctl stop keelson-nodeagent
mkdir -p /run/lab-state
size=\$(du -sk /var/lib/keelson/nodeagent | cut -f 1)
mount -t tmpfs -o size=\$((size + $2 * 1024))k,mode=700 lab-state /run/lab-state
cp -a /var/lib/keelson/nodeagent/. /run/lab-state/
mount --bind /run/lab-state /var/lib/keelson/nodeagent
umount /run/lab-state
echo "eviction-hard: ''" >>/etc/keelson/nodeagent.yaml
systemctl start keelson-nodeagent
END2
        apply_manifest "$case_folder/manifest.yaml"
}
no_pod_folder() { [[ $(on "$1" 'ls /var/lib/keelson/nodeagent/pods 2>/dev/null | wc -l') == 0 ]] || { on "$1" ls /var/lib/keelson/nodeagent/pods; return 1; }; }
state_disk_end() {
        within 60 no_pod_folder "$1"
        run_on_text "$1" 'systemctl stop keelson-nodeagent; umount /var/lib/keelson/nodeagent; rmdir /run/lab-state; sed -i "/^eviction-/d" /etc/keelson/nodeagent.yaml; systemctl start keelson-nodeagent'
}
