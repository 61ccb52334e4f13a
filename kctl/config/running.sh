# Which of the daemons $* do not run their installed program: "stale NAME" for one that runs another file, "down NAME".
for d; do
        program=/opt/keelson/bin/$d
        test "$d" != nodeagent || program=/opt/keelson/bin/knodeagent
        pid=$(systemctl show -p MainPID --value keelson-$d 2>/dev/null)
        if test "${pid:-0}" -eq 0 || ! systemctl is-active -q keelson-$d; then
                echo "down $d"
        elif test "$(stat -L -c %d:%i /proc/$pid/exe)" != "$(stat -L -c %d:%i $program)"; then
                echo "stale $d"
        fi
done
