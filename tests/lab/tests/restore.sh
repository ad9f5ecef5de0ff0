#!/bin/bash
# Restores a bare simplex controller from its archives, the way the playbooks do. As root, on the host.
# usage: restore.sh FROM TO
set -euo pipefail
from=$1 to=$2
. /etc/build.info
[ "$SW_VERSION" = "$to" ] || { echo "Incorrect software load installed. Expecting $to"; exit 1; }
[ ! -e /etc/platform/.initial_config_complete ] || { echo "this host has been unlocked"; exit 1; }
[ ! -e /etc/platform/.restore_in_progress ] || { echo "Restore is already in progress!"; exit 1; }
touch /etc/platform/.restore_in_progress
archives=(/opt/platform-backup/upgrade_data_*.tgz)
[ ${#archives[@]} = 1 ] || { echo "not exactly one archive"; exit 1; }
gzip -t "${archives[0]}"
work=$(mktemp -d /scratch/restore.XXXXXX)
tar xzf "${archives[0]}" -C "$work"
data=$(dirname "$(find "$work/opt/platform-backup" -name postgres.postgreSql.config -printf '%h\n')")
grep -q "\"to_release\":\"$to\"" "$work/opt/platform/config/$from/upgrades/metadata"
for tree in config sysinv puppet .keyring; do
    mkdir -p "/opt/platform/$tree/$to"
    cp -a "$work/opt/platform/$tree/$from/." "/opt/platform/$tree/$to/"
done
cp -a "$work/home/sysadmin/." /home/sysadmin/
mkdir -p /etc/keystone /etc/kubernetes
cp -a "$work/etc/keystone/fernet-keys" /etc/keystone/
cp -a "$work/etc/kubernetes/." /etc/kubernetes/
cp -a "$work/etc/platform/.license" /etc/platform/

# PostgreSQL
pg=/var/lib/postgresql/$to
install -d -o postgres -g postgres -m 700 "$pg"
runuser -u postgres -- initdb -D "$pg" -U postgres --auth=trust --no-sync -E UTF8 --locale=C >/dev/null
systemctl start postgresql
cd /
chmod 755 "$work"
psql() { runuser -u postgres -- psql -q "$@"; }
grep -v '^CREATE ROLE postgres;' "$data/postgres/postgres.postgreSql.config" | psql -v ON_ERROR_STOP=1 -d postgres -f - >/dev/null
for db in sysinv keystone fm barbican; do
    psql -v ON_ERROR_STOP=1 -d "$db" -f - < "$data/postgres/$db.postgreSql.data" >/dev/null
done

# etcd
mkdir -p "/opt/etcd/$to"
ETCDCTL_API=3 etcdctl snapshot restore "$data/etcd-snapshot/etcd-snapshot.db" --name controller \
    --data-dir "/opt/etcd/$to/controller.etcd" --initial-cluster controller=http://127.0.0.1:2380 \
    --initial-advertise-peer-urls http://127.0.0.1:2380 2>/dev/null
systemctl start etcd

# Hieradata: the least that the new release needs
hiera=/opt/platform/puppet/$to/hieradata
sed -i "s/$from/$to/g" "$hiera/static.yaml"
rm "$hiera"/{system,secure_system}.yaml
case $to in
21.05)
    printf '%s\n' "platform::helm::v2::db::postgresql::user: admin-helmv2" "platform::etcd::params::security_enabled: false" >> "$hiera/static.yaml"
    printf '%s\n' "platform::helm::v2::db::postgresql::password: 'x1'" "sysinv::certmon::local_keystone_password: 'x2'" >> "$hiera/secure_static.yaml"
    ;;
21.12) echo "sysinv::certalarm::local_keystone_password: 'x3'" >> "$hiera/secure_static.yaml" ;;
23.09)
    echo "usm::api::keystone_user: usm" >> "$hiera/static.yaml"
    for key in usm::keystone::auth::password usm::keystone::authtoken::password usm::api::keystone_password; do
        echo "$key: 'x4'" >> "$hiera/secure_static.yaml"
    done
    ;;
esac

ls /etc/upgrade.d | sort -n | while read -r script; do
    "/etc/upgrade.d/$script" "$from" "$to" migrate </dev/null
done
sysinv-dbsync
/usr/local/bin/puppet-manifest-apply.sh "$hiera" controller-0 controller ansible_bootstrap ||
    { cat /var/log/puppet/latest/puppet.log; exit 1; }

# Registry images
images=(/opt/platform-backup/upgrade_images_data_*.tgz)
tar xzf "${images[0]}" -C "$work"
systemctl start docker-distribution
mkdir -p /var/lib/docker-distribution/blobs
cp -a "$work/registry/blobs/." /var/lib/docker-distribution/blobs/
push() { # NAME TAG DIGEST
    curl -fsS -X PUT --data-binary "@$work/registry/blobs/sha256/${3#sha256:}" \
        -H 'Content-Type: application/vnd.docker.distribution.manifest.v2+json' "http://127.0.0.1:9001/v2/$1/manifests/$2"
}
tr -d '\n ' < "$work/registry/index.json" | grep -o '{"name":"[^"]*","tag":"[^"]*","digest":"[^"]*"' |
    sed 's/[{"]//g; s/name://; s/,tag:/ /; s/,digest:/ /' | while read -r name tag digest; do push "$name" "$tag" "$digest"; done
rm -rf "$work"
