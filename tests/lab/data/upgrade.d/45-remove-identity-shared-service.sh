#!/bin/sh
# FROM TO ACTION. Takes 'identity' out of the system's shared services.
[ "$3" = migrate ] || exit 0
exec runuser -u postgres -- psql -q -v ON_ERROR_STOP=1 -d sysinv -c \
  "update i_system set shared_services = replace(replace(shared_services, '''identity'', ', ''), '''identity''', '')"
