<?php
// A release with a mistake in it.
throw new Exception('this release is broken');
