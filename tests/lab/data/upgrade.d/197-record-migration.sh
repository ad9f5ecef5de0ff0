#!/bin/sh
# FROM TO ACTION. Must run last: refuses if the scripts before it did not run.
[ "$3" = migrate ] || exit 0
left=$(runuser -u postgres -- psql -At -d sysinv -c "select count(*) from i_host where config_target is not null") || exit 1
[ "$left" = 0 ] || { echo "197-record-migration: config_target is still set on $left hosts" >&2; exit 1; }
exec runuser -u postgres -- psql -q -v ON_ERROR_STOP=1 -d sysinv -c \
  "create table if not exists lab_migration(from_release text, to_release text);
   delete from lab_migration; insert into lab_migration values('$1', '$2')"
