#!/bin/sh
# FROM TO ACTION. Copies the gcr-registry service parameters to ghcr-registry; drops the horizon lock-out rows.
[ "$3" = migrate ] || exit 0
exec runuser -u postgres -- psql -q -v ON_ERROR_STOP=1 -d sysinv <<SQL
begin;
insert into service_parameter(service, section, name, value, personality, resource)
  select service, 'ghcr-registry', name, replace(value, 'gcr.io', 'ghcr.io'), personality, resource
  from service_parameter p where section = 'gcr-registry'
  and not exists (select 1 from service_parameter q where q.section = 'ghcr-registry' and q.name = p.name);
delete from service_parameter where service = 'horizon' and section = 'auth';
commit;
SQL
