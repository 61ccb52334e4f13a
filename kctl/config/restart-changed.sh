# Starts these daemons of the control plane, and restarts those that run with another program, library, unit,
# configuration or key than there is now; what is the same runs on. Prints the names. What each was started with is kept
# as a sum, in a folder that a boot empties. Certificates and lists of servers are no reason: the daemons read them again.
daemons="{{daemons}}"
sums=/run/keelson/started

# The files that make daemon $1 what it is.
files() {
        unit=$(systemctl show -P FragmentPath keelson-$1.service)
        program=$(readlink -f /opt/keelson/bin/$1)
        echo "$unit"
        systemctl show -P DropInPaths keelson-$1.service | tr ' ' '\n' | grep -v /system.control/
        echo /etc/keelson/$1.yaml
        sed -n 's/^LoadCredential=[^:]*://p' "$unit"
        echo "$program"
        LD_TRACE_LOADED_OBJECTS=1 "$program" | sed -n 's|.* => \(/opt/keelson/[^ ]*\) .*|\1|p'
}

mkdir -p $sums || exit 1
changed=
for d in $daemons; do
        sum=$(files $d | while read -r f; do test ! -e "$f" || sha256sum "$f"; done | sha256sum)
        if ! systemctl is-active -q keelson-$d.service || test "$(cat $sums/$d 2>/dev/null)" != "$sum"; then
                changed="$changed $d"
        fi
        echo "$sum" >$sums/$d.new
done
for d in $changed; do
        systemctl restart --no-block keelson-$d.service || exit 1
        mv $sums/$d.new $sums/$d || exit 1
done
rm -f $sums/*.new
echo $changed
