# Why the control plane does not start: the state of its units, and the last lines that those have written themselves
# which are not active; systemd's lines about them say less.
systemctl --no-pager --no-legend list-units --all 'keelson-*'
for d in kstored kapid kreconciled kschedd kgitd; do
        systemctl is-active -q keelson-$d ||
                journalctl --no-pager -q -n 5 -o cat _SYSTEMD_UNIT=keelson-$d.service
done
