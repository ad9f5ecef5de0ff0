# OLD KEPT: gives up the data of a release that nobody goes back to any more.
set -eu
old=$1 kept=$2
if [ -L "/opt/etcd/$kept" ]; then
    echo "etcd still shares the directory of $old; it stays" >&2
else
    rm -rf "/opt/etcd/${old:?}"
fi
rm -rf "/var/lib/postgresql/${old:?}" /var/lib/postgresql/upgrade
rm -f /opt/etcd/.upgrade_etcd
for tree in config puppet sysinv .keyring; do
    rm -rf "/opt/platform/$tree/${old:?}"
done
