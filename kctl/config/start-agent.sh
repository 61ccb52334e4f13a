# Installs the agent's unit, where a bundle brought it, and starts the agent. Prints the machine's clock, in microseconds,
# at the moment at which an earlier one had ended. It is not left half done when the connection ends.
trap '' HUP PIPE
f=/opt/keelson/units/keelson-nodeagent.service
{ test ! -e $f || install -m 0644 $f /etc/systemd/system/; } &&
        systemctl daemon-reload &&
        systemctl enable -q keelson-nodeagent &&
        systemctl stop keelson-nodeagent &&
        date +%s%6N &&
        systemctl start keelson-nodeagent
