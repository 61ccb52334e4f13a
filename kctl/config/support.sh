# What `kctl support-bundle` wants of a machine: each file as a line "FILE name size" and its bytes. $1: how far back the
# journals go. Nothing here is changed, and no key is read; kctl removes what looks like a secret.
umask 077
since=$1
bin=/opt/keelson/bin
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
PATH=$PATH:/usr/sbin:/sbin
SYSTEMD_COLORS=0 SYSTEMD_PAGER=
export SYSTEMD_COLORS SYSTEMD_PAGER

# give NAME COMMAND...: the end of what it says: 2 MB, and 15 MB for all; a command that hangs is ended.
left=15000000
give() {
        name=$1
        shift
        timeout 30 "$@" 2>&1 </dev/null | tail -c $((left < 2097152 ? left : 2097152)) >"$scratch/out"
        size=$(wc -c <"$scratch/out")
        left=$((left - size))
        echo "FILE $name $((size))"
        cat "$scratch/out"
}
have() { command -v "$1" >/dev/null 2>&1; }

# The small and telling ones first: there may be no room for the last.
give machine.txt sh -c 'cat /etc/os-release; uname -a; uptime; nproc; cat /proc/meminfo | head -n 5; systemctl --version | head -n 1; systemctl is-system-running'
give clock.txt sh -c 'date -u +%FT%TZ; timedatectl show 2>/dev/null'
give disks.txt sh -c 'df -h; df -i; cat /proc/mounts'
give pressure.txt sh -c 'head /proc/pressure/* 2>/dev/null; ps -eo pid,ppid,user,stat,etime,time,rss,comm --sort=-rss 2>/dev/null | head -n 100'
give network.txt sh -c 'ip -s addr; ip route show table all; ip -6 route show table all; ss -lntup' 2>/dev/null
give versions.txt sh -c "cat /opt/keelson/VERSION 2>/dev/null; for p in $bin/*; do echo \"\$p: \$(\"\$p\" --version 2>&1 </dev/null | head -n 1)\"; done"
give units.txt systemctl --no-pager --all --full status 'keelson-*' --lines=0
give pod-units.txt systemctl --no-pager --all --full list-units 'kpod-*' 'keelson-*'
give failed-units.txt systemctl --no-pager --failed --full
for f in /etc/keelson/*.yaml; do
        if [ -f "$f" ]; then give "configuration/${f##*/}" cat "$f"; fi
done
for d in /etc/systemd/system/keelson-*.service.d/*.conf; do
        if [ -f "$d" ]; then give "configuration/$(basename "$(dirname "$d")")-${d##*/}" cat "$d"; fi
done
give files.txt sh -c 'ls -lanR /etc/keelson; ls -lan /run/keelson /run/keelson/* /var/lib/keelson /var/lib/keelson/*' 2>/dev/null
for f in /etc/keelson/pki/*.crt; do
        if [ -f "$f" ]; then give "certificates/${f##*/}" cat "$f"; fi
done
for u in kstored kapid kreconciled kschedd kgitd nodeagent logs dns; do
        if systemctl cat "keelson-$u" >/dev/null 2>&1; then
                give "journal/$u.txt" journalctl --no-pager -q -o short-iso-precise -n 20000 --since "$since" -u "keelson-$u"
        fi
done
give journal/kernel.txt journalctl --no-pager -q -o short-iso-precise -n 2000 --since "$since" -k
for s in /run/keelson/*/health.sock; do
        d=${s%/health.sock}
        d=${d##*/}
        if [ -S "$s" ] && [ -x $bin/kctl ]; then
                give "metrics/$d.txt" $bin/kctl ask-socket "$s" /metrics
                give "metrics/$d-ready.txt" $bin/kctl ask-socket "$s" /readyz
        elif [ -S "$s" ] && [ "$d" = nodeagent ]; then
                give metrics/nodeagent.txt $bin/knodeagent metrics
        fi
done
s=/run/keelson/kstored/metrics.sock
if [ -S $s ] && [ -x $bin/kctl ]; then
        give metrics/kstored.txt $bin/kctl ask-socket $s /metrics
        give member.txt sh -c "$bin/kctl ask-socket $s /health; $bin/kctl ask-socket $s '/readyz?verbose'; $bin/kctl ask-socket $s /version"
fi
if have nft; then
        give nft-services.txt nft list table inet keelson
        give nft-policies.txt nft list table inet keelson-policy
fi
