# Says whether this machine can hold the address {{address}}: "interface NAME", or a word for the reason why not.
PATH=$PATH:/usr/sbin:/sbin
command -v keepalived >/dev/null && command -v ip >/dev/null || { echo missing; exit; }
held=$(ip -o addr show to {{address}} | awk '{ print $2; exit }')
if test "$held"; then
        # keepalived holds it, or it is the machine's own.
        if grep -qF ' {{address}} ' /etc/keelson/keepalived.conf 2>/dev/null; then echo interface $held; else echo own; fi
        exit
fi
set -- $(ip -o route get {{address}} 2>/dev/null)
case " $* " in *' via '*) set -- ;; esac
while test $# -gt 1; do
        test "$1" != dev || { echo interface $2; exit; }
        shift
done
echo far
