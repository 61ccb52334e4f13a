# shellcheck shell=bash
# Who reaches whom: for the cases of NetworkPolicies, sourced by their steps. Six pods: a on n1 and b on n2, in each of
# the namespaces $case, $case-y and $case-z, which are called x, y and z here. All of them answer on TCP 80, 81 and 90
# and on UDP 80.
# shellcheck disable=SC2154 # case, scratch: the runner's
tidy() { local s; for s in y z; do namespace='' kctl delete namespace "$case-$s" --wait=false; done; }

namespace_of() { [[ $1 == x ]] && echo "$case" || echo "$case-$1"; }

# The server: an answer on every port, whatever was asked.
server='use Socket; use IO::Socket::INET; use IO::Select;
my $s = IO::Select->new(IO::Socket::INET->new(LocalPort => 80, Proto => q{udp}), map { IO::Socket::INET->new(LocalPort => $_, Listen => 99, ReuseAddr => 1) or die } 80, 81, 90);
while (1) { for my $h ($s->can_read) { if ($h->socktype == SOCK_DGRAM) { $h->recv(my $m, 9); $h->send(q{pong}) } else { my $c = $h->accept or next; print $c q{pong}; close $c } } }'

# policy_pod NAME MACHINE [LABELS]: a manifest of such a pod.
policy_pod() {
        cat <<END2
---
apiVersion: v1
kind: Pod
metadata: {name: $1, labels: {pod: $1${3:+, $3}}}
spec:
  nodeName: $2
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: host
    ports: [{name: web, containerPort: 80}, {name: other, containerPort: 81}, {name: dns, containerPort: 80, protocol: UDP}]
    command: [/usr/bin/perl, -e, '$server']
END2
}

pods_made() {
        local s
        for s in y z; do namespace='' namespace_made "$case-$s" && kube label namespace "$case-$s" "part=p$s" --overwrite >/dev/null || return; done
        kube label namespace "$case" part=px --overwrite >/dev/null || return
        for s in x y z; do { policy_pod a n1; policy_pod b n2; } | namespace=$(namespace_of $s) kctl apply -f - || return; done
        for s in x y z; do namespace=$(namespace_of $s) running a b || return; done
        policy_pods_listed
}

# $scratch/pods: a line for each pod, "x/a MACHINE UID ADDRESS".
policy_pods_listed() {
        local s
        for s in x y z; do
                namespace=$(namespace_of $s) kctl get pods -o json </dev/null | "$pick" '.items.*|metadata.name,spec.nodeName,metadata.uid,status.podIP' | sed "s,^,$s/,"
        done >"$scratch/pods"
        [[ $(wc -l <"$scratch/pods") -ge 6 ]]
}

# The client: the targets "NAME ADDRESS PORT PROTOCOL" that answer, asked all at once, until there is silence for 0.6 s.
client='use IO::Socket::INET; use IO::Select;
my ($from, %of) = (shift); my $s = IO::Select->new;
while (@ARGV) { my ($n, $a, $p, $t) = splice @ARGV, 0, 4;
  my $h = IO::Socket::INET->new(PeerAddr => $a, PeerPort => $p, Proto => $t, Blocking => 0) or next;
  $of{fileno $h} = qq{$from>$n $t $p}; $h->send(q{ping}) if $t eq q{udp}; $s->add($h) }
while ($s->count && (my @r = $s->can_read(0.6))) { for my $h (@r) {
  my $m = q{}; my $r = $h->recv($m, 9); print qq{$of{fileno $h}\n} if defined $r && length $m; $s->remove($h); close $h } }'

# asked MACHINE: who reaches whom from the pods of a machine, a line each: "x/a>y/b tcp 80".
asked() {
        local from machine uid to other one targets script=''
        while read -r from machine uid _; do
                [[ $machine == "$1" ]] || continue
                targets=''
                while read -r to _ _ other; do
                        [[ $to != "$from" ]] || continue
                        for one in $ports; do targets+=" $to $other ${one#*/} ${one%/*}"; done
                done <"$scratch/pods"
                script+="ip netns exec kpod-$uid perl -e \"\$client\" $from$targets &"$'\n'
        done <"$scratch/pods"
        run_on "$1" <<END2
client=\$(cat <<'END3'
$client
END3
)
$script
wait
END2
}

ports='tcp/80'
asked_all() {
        asked n1 >"$scratch/n1.reached" &
        asked n2 >"$scratch/n2.reached"
        wait $!
        sort "$scratch/n1.reached" "$scratch/n2.reached"
}

# expected PREDICATE: the same lines as it says. It sees the namespaces and pods $sn $sp $dn $dp, and $port as tcp/80.
expected() {
        local from to sn sp dn dp port
        while read -r from _; do
                while read -r to _; do
                        [[ $from != "$to" ]] || continue
                        for port in $ports; do
                                # shellcheck disable=SC2034 # the predicate uses them
                                sn=${from%/*} sp=${from#*/} dn=${to%/*} dp=${to#*/}
                                ! eval "$1" || echo "$from>$to ${port%/*} ${port#*/}"
                        done
                done <"$scratch/pods"
        done <"$scratch/pods" | sort
}

# table PREDICATE: the pods reach each other exactly where it holds.
table() {
        asked_all >"$scratch/reached"
        expected "$1" >"$scratch/expected"
        diff "$scratch/expected" "$scratch/reached" | sed -n 's/^</not reached:/p; s/^>/reached:/p' >"$scratch/differs"
        [[ ! -s $scratch/differs ]] || { cat "$scratch/differs"; return 1; }
}

# policy NAME SPEC: in namespace x; takes the place of the one of that name.
policy() { printf 'apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: %s}\nspec: %s\n' "$1" "$2" | apply; }
