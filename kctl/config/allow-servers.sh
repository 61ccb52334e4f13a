# kreconciled and kschedd may connect to this machine only; where the control plane has several, to all of them.
# set-property of systemd 252 takes the word localhost only when it stands alone.
for d in kreconciled kschedd; do
        if test '{{addresses}}' || test -e /etc/systemd/system.control/keelson-$d.service.d; then
                systemctl set-property keelson-$d.service IPAddressAllow= 'IPAddressAllow=127.0.0.0/8 ::1/128 {{addresses}}' || exit 1
        fi
done
