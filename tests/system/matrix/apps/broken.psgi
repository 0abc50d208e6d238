# A release with a mistake in it.
die "this release is broken\n";
