#!/bin/sh
echo "not for $2"
