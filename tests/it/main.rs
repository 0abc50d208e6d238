//! Real processes, with a stand-in for systemd.
