# Makes kstored.yaml name this machine's member of a store of several: reached at its own address
# instead of loopback. Lines beside these are kept.
set -e
cd /etc/keelson

set_line() {
        grep -q "^$2:" $1 || echo "$2:" >>$1
        sed -i "s|^$2:.*|$2: $3|" $1
}

cp -p kstored.yaml kstored.yaml.new
set_line kstored.yaml.new name '{{hostname}}'
set_line kstored.yaml.new listen-peer-urls '["{{peer-url}}"]'
set_line kstored.yaml.new initial-advertise-peer-urls '["{{peer-url}}"]'
set_line kstored.yaml.new initial-cluster '"{{initial-cluster}}"'
set_line kstored.yaml.new initial-cluster-state existing
mv kstored.yaml.new kstored.yaml
