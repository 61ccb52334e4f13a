# Why the control plane does not start: the state of its units, and the last lines of those that are
# not active.
systemctl --no-pager --no-legend list-units --all 'keelson-*'
for d in kstored kapid kreconciled kschedd kgitd; do
        systemctl is-active -q keelson-$d ||
                journalctl --no-pager -q -n 5 -o cat -u keelson-$d
done
