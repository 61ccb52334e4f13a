# kreconciled and kschedd may connect to this machine only; where the control plane has several, to all of them.
for d in kreconciled kschedd; do
        if test '{{addresses}}' || test -e /etc/systemd/system.control/keelson-$d.service.d; then
                # (one address each: systemd 252 does not take the word localhost in a list)
                set -- IPAddressAllow= IPAddressAllow=localhost
                for a in {{addresses}}; do set -- "$@" "IPAddressAllow=$a"; done
                systemctl set-property keelson-$d.service "$@" || exit 1
        fi
done
