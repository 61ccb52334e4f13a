# Removes the control plane with everything that it stores. Files that a node on this machine needs stay.
daemons="kgitd kschedd kreconciled kapid kstored"

for d in $daemons; do
        systemctl disable -q --now keelson-$d 2>/dev/null
        rm -f /etc/systemd/system/keelson-$d.service
        rm -rf /etc/systemd/system.control/keelson-$d.service.d
done
systemctl disable -q --now keelson-address.service 2>/dev/null
rm -f /etc/systemd/system/keelson-address.service /etc/keelson/keepalived.conf /etc/keelson/restoring
rm -f /etc/systemd/system/keelson-kapid.service.d/encryption.conf /etc/systemd/system/keelson-kapid.service.d/front-proxy.conf
rmdir /etc/systemd/system/keelson-kapid.service.d 2>/dev/null
systemctl disable -q --now keelson-certs.timer 2>/dev/null
systemctl stop keelson-certs.service 2>/dev/null
rm -f /etc/systemd/system/keelson-certs.service /etc/systemd/system/keelson-certs.timer
systemctl daemon-reload
rm -rf /etc/keelson/pki /etc/keelson/k*.yaml /etc/keelson/admin.kubeconfig \
        /var/lib/keelson/kstored /var/lib/keelson/kstored.* /var/lib/keelson/kgitd \
        /etc/sysusers.d/keelson.conf /var/lib/private/keelson /run/keelson/started /opt/keelson/.control /opt/keelson/.control.* \
        /opt/keelson/.previous-control /opt/keelson/.back-control /var/lib/keelson/upgrade-backups
rm -f /usr/local/bin/kctl
for d in $daemons; do
        userdel keelson-$d 2>/dev/null
        groupdel keelson-$d 2>/dev/null
done
test -e /etc/keelson/node || rm -rf /opt/keelson
# An audit log stays.
rmdir /etc/keelson /var/lib/keelson /var/log/keelson/kapid /var/log/keelson 2>/dev/null
true
