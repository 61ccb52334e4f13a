# Prints facts about a machine of the fleet for `kctl fleet check`, as lines of KEY=VALUE. It changes
# nothing. Certificates are public; no key is read.
PATH=$PATH:/usr/sbin:/sbin
echo clock=$(date +%s%3N)
echo synchronized=$(timedatectl show -p NTPSynchronized --value 2>/dev/null)
echo version=$(cat /opt/keelson/VERSION 2>/dev/null)
for b in control agent; do
        cd /opt/keelson 2>/dev/null || break
        test -e .$b || continue
        echo $b-hash=$(cat .$b)
        echo $b-version=$(cat .$b.version VERSION 2>/dev/null | head -n 1)
        echo $b-formats=$(cat .$b.formats 2>/dev/null)
        echo $b-upgrade=$(cat .previous-$b/ID .back-$b 2>/dev/null | head -n 1)
        echo $b-kept=$(cat .previous-$b/.$b.formats 2>/dev/null)
done
control= agent=
test -e /etc/keelson/pki/ca.crt && control=yes
test -e /etc/keelson/node/kubeconfig && agent=yes
echo control=$control
echo agent=$agent

for d in ${control:+kstored kapid kreconciled kschedd kgitd} ${agent:+nodeagent}; do
        systemctl is-active -q keelson-$d || echo inactive=keelson-$d.service
done
systemctl list-units --state=failed --plain --no-legend --no-pager 'keelson-*' 2>/dev/null |
        while read -r unit rest; do echo failed=$unit; done

# Sizes in KiB. A folder on the file system of one before it says nothing new.
for d in / /opt/keelson /var/lib/keelson /var/lib/keelson/kstored /var/lib/keelson/volumes; do
        test -d $d && df -P -k $d | awk -v d=$d 'NR == 2 { print $1 " " $6 " " $2 " " $4 }'
done | sort -u | while read -r device path size free; do
        inodes=$(df -P -i "$path" | awk 'NR == 2 { print $2 " " $4 }')
        echo "disk=$path $size $free $inodes"
done

for f in /etc/keelson/node/cert.pem /etc/keelson/node/ca.pem /etc/keelson/pki/*.crt; do
        test -f $f && echo "certificate=$f $(base64 -w0 $f)"
done
f=/etc/keelson/admin.kubeconfig
test -f $f && echo "certificate=$f $(sed -n 's/.*client-certificate-data: *//p' $f | tr -d '" ')"

if test "$control"; then
        test -e /var/lib/keelson/kstored/kstored.damaged && echo damaged=yes
        kctl=/opt/keelson/bin/kctl
        test -x $kctl || kctl=kctl
        $kctl ask-socket /run/keelson/kstored/metrics.sock /metrics 2>/dev/null |
                grep -E '^etcd_(server_(has_leader|is_leader|is_learner|quota_backend_bytes)|mvcc_db_total_size_in_bytes|network_active_peers)' |
                sed 's/^/metric=/'
fi
true
