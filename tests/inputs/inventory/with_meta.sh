#!/bin/sh
if [ "$1" = --list ]; then echo '{"web": {"hosts": ["a","b"], "vars": {"x": "{{ y }}", "n": 1}, "children": ["sub"]}, "sub": ["c"], "oldhost": {"v": 1}, "_meta": {"hostvars": {"a": {"k": true}, "zzz": {"q": 1}}}}'; else echo '{}'; fi
