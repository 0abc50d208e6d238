"""A release with a mistake in it."""

raise RuntimeError("this release is broken")
