#!/bin/sh
# A release with a mistake in it.
echo "this release is broken" >&2
exit 1
