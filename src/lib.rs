//! **systemd owns the sockets, herder owns the workers, the kernel carries the traffic.**

pub mod error;
pub mod herd;
