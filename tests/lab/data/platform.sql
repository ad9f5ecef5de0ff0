-- The databases of a configured controller, on release @RELEASE@.
create role "admin-sysinv" login password 'sysinv-db';
create role "admin-keystone" login password 'keystone-db';
create role "admin-fm" login password 'fm-db';
create role "admin-barbican" login password 'barbican-db';
create database sysinv owner "admin-sysinv";
create database keystone owner "admin-keystone";
create database fm owner "admin-fm";
create database barbican owner "admin-barbican";
\connect sysinv
create table migrate_version(repository_id varchar(250) primary key, version integer, release varchar(16));
insert into migrate_version values('sysinv', 116, '@RELEASE@');
create table i_system(id serial primary key, uuid varchar(36) unique, name varchar(255), system_type varchar(255), system_mode varchar(255), software_version varchar(255), shared_services text, capabilities text);
insert into i_system(uuid,name,system_type,system_mode,software_version,shared_services,capabilities) values('@SYSTEM_UUID@','stx-lab','@SYSTEM_TYPE@','@SYSTEM_MODE@','@RELEASE@','[''identity'', ''volume'']','{"region_config": false, "vswitch_type": "none"}');
create table i_host(id serial primary key, uuid varchar(36) unique, hostname varchar(255), personality varchar(64), administrative varchar(64), operational varchar(64), availability varchar(64), config_applied varchar(255), config_target varchar(255), software_load varchar(255), forisystemid integer references i_system(id));
insert into i_host(uuid,hostname,personality,administrative,operational,availability,config_applied,config_target,software_load,forisystemid) values('@HOST_UUID@','@HOST@','controller','unlocked','enabled','available','@CONFIG@','@CONFIG@','@RELEASE@',1);
create table loads(id integer primary key, state varchar(255), software_version varchar(255), compatible_version varchar(255), required_patches varchar(2047));
insert into loads values(1,'active','@RELEASE@','N/A','');
create table software_upgrade(id serial primary key, uuid varchar(36) unique, state varchar(128), from_release varchar(255), to_release varchar(255), created_at timestamp default now());
create table service_parameter(id serial primary key, service varchar(16), section varchar(128), name varchar(255), value text, personality varchar(255), resource varchar(255));
insert into service_parameter(service,section,name,value) values
 ('docker','gcr-registry','url','gcr.io'),
 ('docker','gcr-registry','type','docker'),
 ('docker','docker-registry','url','docker.io'),
 ('horizon','auth','lockout_seconds','300'),
 ('horizon','auth','lockout_retries','3'),
 ('identity','config','token_expiration','3600'),
 ('kubernetes','config','pod_max_pids','750');
create table partition(id serial primary key, uuid varchar(36), device_node varchar(64), size_mib integer, type_guid varchar(36), forihostid integer references i_host(id));
insert into partition(uuid,device_node,size_mib,type_guid,forihostid) values
 ('0b1c5a5e-1f41-4c6e-8f5f-4f4b6f6d1c01','/dev/sda1',30000,'ba5eba11-0000-1111-2222-000000000002',1),
 ('0b1c5a5e-1f41-4c6e-8f5f-4f4b6f6d1c02','/dev/sda5',220000,'ba5eba11-0000-1111-2222-000000000001',1);
create table site_notes(id serial primary key, note text);
insert into site_notes(note) select 'note ' || n from generate_series(1,200) n;
grant all on all tables in schema public to "admin-sysinv";
\connect keystone
create table project(id varchar(64) primary key, name varchar(64), enabled boolean, domain_id varchar(64));
insert into project values('5e1b4c5f0d6c4c7e9a4d0c0a6a5b7c01','admin',true,'default'),('5e1b4c5f0d6c4c7e9a4d0c0a6a5b7c02','services',true,'default');
create table local_user(id serial primary key, name varchar(255), domain_id varchar(64));
insert into local_user(name,domain_id) values('admin','default'),('sysinv','default'),('fm','default'),('barbican','default'),('vim','default'),('mtce','default');
create table fernet_note(id serial primary key, note text);
\connect fm
create table alarm(id serial primary key, uuid varchar(36), alarm_id varchar(255), entity_instance_id varchar(255));
create table event_suppression(id serial primary key, alarm_id varchar(15), suppression_status varchar(15));
insert into event_suppression(alarm_id,suppression_status) values('100.103','unsuppressed'),('200.001','unsuppressed');
\connect barbican
create table secrets(id varchar(36) primary key, name varchar(255), status varchar(20));
insert into secrets values('2f0c3f34-95c8-4a1c-8f0a-3c1a0f3f8e01','bmc-controller-0','ACTIVE');
