# Installs and starts the units of the control plane. The accounts come first: the units name them.
set -e
daemons="kstored kapid kreconciled kschedd kgitd"

cd /opt/keelson/units
mkdir -p /etc/sysusers.d
install -m 0644 keelson-sysusers.conf /etc/sysusers.d/keelson.conf
systemd-sysusers /etc/sysusers.d/keelson.conf
units=
for d in $daemons; do
        install -m 0644 keelson-$d.service /etc/systemd/system/
        units="$units keelson-$d"
done
mkdir -p /usr/local/bin
ln -sf /opt/keelson/bin/kctl /usr/local/bin/kctl
systemctl daemon-reload
systemctl enable -q $units
systemctl restart --no-block $units
