# FROM TO: the migration of a pair's data on the reinstalled controller-1, which has the volumes of the active one at hand
# and an empty database cluster of TO beside that of FROM. Nothing of FROM is changed.
set -eu
from=$1 to=$2
volumes=/run/stx-lab/volumes
pg=$volumes/var/lib/postgresql
platform=$volumes/opt/platform
as() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }
flag=/etc/platform/.upgrade_controller_1
cd /
rm -f "${flag}_complete" "${flag}_fail"
touch "$flag" "${flag}_started"
trap 'touch "${flag}_fail"' EXIT
if [ ! -f "$platform/puppet/$from/hieradata/static.yaml" ]; then
    echo "[Errno 2] No such file or directory: '/opt/platform/puppet/$from/hieradata/static.yaml'" >&2
    exit 1
fi
for tree in puppet sysinv .keyring; do
    [ -d "$platform/$tree/$from" ] || continue
    rm -rf "${platform:?}/$tree/$to"
    cp -a "$platform/$tree/$from" "$platform/$tree/$to"
done
pattern=$(echo "$from" | sed 's/\./\\./')
sed -i "s/$pattern/$to/g" "$platform/puppet/$to/hieradata/"*.yaml
# What the new release wants beside it, and what it makes anew.
hiera=$platform/puppet/$to/hieradata
case $to in
21.05)
    printf '%s\n' "platform::helm::v2::db::postgresql::user: admin-helmv2" "platform::etcd::params::security_enabled: false" >> "$hiera/static.yaml"
    printf '%s\n' "platform::helm::v2::db::postgresql::password: 'generated'" "sysinv::certmon::local_keystone_password: 'generated'" >> "$hiera/secure_static.yaml"
    ;;
21.12) echo "sysinv::certalarm::local_keystone_password: 'generated'" >> "$hiera/secure_static.yaml" ;;
23.09)
    echo "usm::api::keystone_user: usm" >> "$hiera/static.yaml"
    for key in usm::keystone::auth::password usm::keystone::authtoken::password usm::api::keystone_password; do
        echo "$key: 'generated'" >> "$hiera/secure_static.yaml"
    done
    ;;
esac

setpriv --reuid=postgres --regid=postgres --init-groups postgres -D "$pg/$to" </dev/null >/var/log/upgrade-postgres.log 2>&1 &
server=$!
trap 'kill -INT $server; wait $server || true; touch "${flag}_fail"' EXIT
tries=0
until pg_isready -q -h /run/postgresql; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || { echo "the new release's database does not start" >&2; exit 1; }
    sleep 0.05
done
sql() { as psql -q -h /run/postgresql -v ON_ERROR_STOP=1 "$@" >/dev/null; }
grep -v '^CREATE ROLE postgres;' $pg/upgrade/postgres.postgreSql.config | sql -d postgres -f -
for database in sysinv barbican fm keystone; do
    sql -d "$database" -f "$pg/upgrade/$database.postgreSql.data"
done
sql -d sysinv <<SQL
begin;
alter table i_host add column if not exists device_image_update varchar(64);
alter table i_system add column if not exists schema_note varchar(64);
update migrate_version set version = version + 9, release = '$to' where repository_id = 'sysinv';
commit;
SQL
ls /etc/upgrade.d | sort -n | while read -r script; do
    "/etc/upgrade.d/$script" "$from" "$to" migrate </dev/null || { echo "upgrade script $script failed" >&2; exit 1; }
done
kill -INT $server
wait $server || true
trap 'touch "${flag}_fail"' EXIT
if [ "$(echo "$from" | tr -d .)" -le 2006 ]; then
    printf "from_release: '%s'\nto_release: '%s'\n" "$from" "$to" > /etc/platform/.upgrade_swact_controller_1
fi
trap - EXIT
touch "${flag}_complete"
