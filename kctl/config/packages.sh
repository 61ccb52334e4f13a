# Installs the packages of the part $1 (agent, control) from the machine's apt repositories, and makes
# /opt/keelson lead to them, where everything else looks for programs. Prints "unchanged" when they
# were there in their newest version.
set -e
export DEBIAN_FRONTEND=noninteractive
packages=keelson-$1
test "$1" != control || packages="$packages keelson-ctl"
test "$1" != agent || packages="$packages unbound"

versions() { dpkg-query -W -f '${Package} ${Version} ${db:Status-Status}\n' $packages 2>/dev/null || true; }

command -v apt-get >/dev/null || { echo "there is no apt-get" >&2; exit 1; }
before=$(versions)
apt-get -qq -o DPkg::Lock::Timeout=120 update >&2
apt-get -qq -y -o DPkg::Lock::Timeout=120 install --no-install-recommends $packages >&2
# The agent runs a name server of its own; the package's would take the port.
test "$1" != agent || systemctl disable -q --now unbound.service 2>/dev/null || true

mkdir -p /opt/keelson/bin /opt/keelson/units
cd /opt/keelson
for p in $packages; do
        dpkg -L $p | grep -E '^/usr/s?bin/(k|keelson)' | while read -r f; do ln -sfn "$f" bin/; done
        for f in $(dpkg -L $p | grep -E '/systemd/system/keelson-'); do
                rm -f "units/${f##*/}" "/etc/systemd/system/${f##*/}"
        done
done
rm -rf ".$1" ".$1.version" ".$1.formats" ".previous-$1" ".back-$1" units/keelson-sysusers.conf
dpkg-query -W -f '${Version}\n' keelson-$1 | sed 's/-[^-]*$//' >VERSION
systemctl daemon-reload
test "$before" != "$(versions)" || echo unchanged
