# Which of the daemons $* do not run their installed program: "stale NAME" for one that runs another, "down NAME". The
# same program in another file counts as the same: restart-changed.sh leaves such a daemon alone, too.
for d; do
        program=/opt/keelson/bin/$d
        test "$d" != nodeagent || program=/opt/keelson/bin/knodeagent
        pid=$(systemctl show -p MainPID --value keelson-$d 2>/dev/null)
        if test "${pid:-0}" -eq 0 || ! systemctl is-active -q keelson-$d; then
                echo "down $d"
        elif test "$(sha256sum </proc/$pid/exe)" != "$(sha256sum <$program)"; then
                echo "stale $d"
        fi
done
