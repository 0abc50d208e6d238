//! Single stories, told step by step: what the random runs reach, with the exact outcome.
