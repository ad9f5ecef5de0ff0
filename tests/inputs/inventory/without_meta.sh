#!/bin/sh
if [ "$1" = --list ]; then echo '{"web": {"hosts": ["a","b"]}}'; else echo "{\"name\": \"$2\"}"; fi
