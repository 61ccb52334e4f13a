# Installs the units of the control plane; restart-changed.sh starts them. The accounts come first: the units name them.
# Packages bring both, then there is nothing in /opt/keelson/units. With certificates=no before it
# certificates stay as they are (`kctl rollback`).
set -e
daemons="kstored kapid kreconciled kschedd kgitd"

cd /opt/keelson/units
if test -e keelson-sysusers.conf; then
        mkdir -p /etc/sysusers.d
        install -m 0644 keelson-sysusers.conf /etc/sysusers.d/keelson.conf
        systemd-sysusers /etc/sysusers.d/keelson.conf
fi
units=
for d in $daemons; do
        test ! -e keelson-$d.service || install -m 0644 keelson-$d.service /etc/systemd/system/
        units="$units keelson-$d"
done
test ! -e keelson-certs.timer || install -m 0644 keelson-certs.service keelson-certs.timer /etc/systemd/system/
# Certificates are for all to read; every key has its own mode. An installation of an earlier version has the daemons'
# certificates in their kubeconfigs: they become files.
chmod 0755 /etc/keelson/pki
test "$certificates" = no || /opt/keelson/bin/kctl certs renew --prepare
# The key that kapid shows to extension servers is a credential of its unit; a unit that names one which is not there
# does not start, so the drop-in comes with the key.
if test "$certificates" != no && test -e /etc/keelson/pki/front-proxy-client.crt; then
        mkdir -p /etc/systemd/system/keelson-kapid.service.d
        key=/etc/keelson/pki/front-proxy-client.key
        printf '# Made by kctl: the certificate for extension servers.\n[Service]\nLoadCredential=%s:%s\nBindReadOnlyPaths=%%d/%s:%s\n' \
                front-proxy-client.key $key front-proxy-client.key $key >/etc/systemd/system/keelson-kapid.service.d/front-proxy.conf
        chmod 0755 /etc/systemd/system/keelson-kapid.service.d
        chmod 0644 /etc/systemd/system/keelson-kapid.service.d/front-proxy.conf
        grep -q '^proxy-client-cert-file:' /etc/keelson/kapid.yaml ||
                printf '%s: /etc/keelson/pki/%s\n' proxy-client-cert-file front-proxy-client.crt proxy-client-key-file \
                        front-proxy-client.key requestheader-client-ca-file front-proxy-ca.crt >>/etc/keelson/kapid.yaml
fi
mkdir -p /usr/local/bin
ln -sf /opt/keelson/bin/kctl /usr/local/bin/kctl
systemctl daemon-reload
systemctl enable -q $units
test ! -e /etc/systemd/system/keelson-certs.timer || systemctl enable -q --now keelson-certs.timer
