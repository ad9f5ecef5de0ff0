# FROM TO: what `upgrade-start` prepares on the active controller of a pair, for the migration on controller-1.
set -eu
from=$1 to=$2
pg=/var/lib/postgresql
as() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }
cd /
rm -rf $pg/upgrade
install -d -o postgres -g postgres -m 700 $pg/upgrade
as pg_dumpall --schema-only -f $pg/upgrade/postgres.postgreSql.config
for database in postgres template1 sysinv barbican fm keystone; do
    as pg_dump --data-only --inserts -f "$pg/upgrade/$database.postgreSql.data" "$database"
done
rm -rf "/opt/platform/config/$to"
cp -a "/opt/platform/config/$from" "/opt/platform/config/$to"
# From 21.05 on both releases share one etcd directory until the swact back to controller-0; before, the swact copies.
if [ "$(echo "$from" | tr -d .)" -gt 2006 ] && [ ! -e "/opt/etcd/$to" ]; then
    ln -s "$from" "/opt/etcd/$to"
fi
