// A release with a mistake in it.
throw new Error('this release is broken');
