# Brings the configuration of an earlier version up to date. Only lines that an earlier kctl wrote
# are changed: lines that an administrator changed are kept.
set -e
cd /etc/keelson

edit() {
        f=$1
        shift
        test -e $f || return 0
        cp -p $f $f.new
        sed -i "$@" $f.new
        if cmp -s $f $f.new; then rm $f.new; else mv $f.new $f; fi
}

edit kstored.yaml -e 's|^listen-metrics-urls: \["http://127.0.0.1:2381"\]$|listen-metrics-urls: ["unix:///run/keelson/kstored/metrics.sock"]|'
grep -q '^unix-socket-group-access:' kstored.yaml 2>/dev/null ||
        edit kstored.yaml -e '$a unix-socket-group-access: true'
for d in kreconciled kschedd kgitd; do
        grep -q ^health-address: $d.yaml 2>/dev/null ||
                edit $d.yaml -e "\$a health-address: unix:///run/keelson/$d/health.sock"
done
