# Prints facts about a machine for kctl, as lines of KEY=VALUE.
echo uid=$(id -u)
echo hostname=$(uname -n)
echo arch=$(uname -m)
echo clock=$(date +%s)
echo init=$(cat /proc/1/comm)
echo systemd=$(systemctl --version 2>/dev/null | awk 'NR == 1 { print $2 }')
PATH=$PATH:/usr/sbin:/sbin
command -v nft >/dev/null && echo nft=yes
command -v tar >/dev/null && command -v gzip >/dev/null && echo tar=yes
echo machine_id=$(cat /etc/machine-id 2>/dev/null)
set -- $SSH_CONNECTION; address=$3
test -n "$address" || address=$(ip -4 -o route get 192.0.2.1 2>/dev/null | sed -n 's/.* src \([0-9.]*\).*/\1/p')
test -n "$address" || address=$(hostname -I 2>/dev/null | awk '{ print $1 }')
echo address=$address
address6=$(ip -6 -o route get 2001:db8::1 2>/dev/null | sed -n 's/.* src \([0-9a-f:]*\).*/\1/p')
test -n "$address6" || address6=$(ip -6 -o address show scope global 2>/dev/null | awk '{ sub("/.*", "", $4); print $4; exit }')
echo address6=$address6
test -e /etc/keelson/pki/ca.crt && echo control=yes
test -e /etc/keelson/node/kubeconfig && echo agent=yes
true
