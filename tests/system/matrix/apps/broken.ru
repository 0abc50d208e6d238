# A release with a mistake in it.

raise "this release is broken"
