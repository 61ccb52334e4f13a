# A daemon of the control plane that ends again and again: its name, and its own last words. Nothing when there is none.
for d in kstored kapid kreconciled kschedd kgitd; do
        restarts=$(systemctl show -p NRestarts --value keelson-$d 2>/dev/null)
        state=$(systemctl show -p SubState --value keelson-$d 2>/dev/null)
        case ${restarts:-0},$state in
        0,failed | [3-9],auto-restart | [3-9],start | [3-9],failed | [1-9][0-9]*,auto-restart | [1-9][0-9]*,start | [1-9][0-9]*,failed)
                echo $d
                journalctl --no-pager -q -n 1 -p warning -o cat _SYSTEMD_UNIT=keelson-$d.service
                exit 0 ;;
        esac
done
