#!/bin/sh
# FROM TO ACTION. Forgets the configuration target of every host.
[ "$3" = migrate ] || exit 0
exec runuser -u postgres -- psql -q -v ON_ERROR_STOP=1 -d sysinv -c "update i_host set config_target = null"
