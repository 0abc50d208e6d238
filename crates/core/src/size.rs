//! An amount of memory.

use core::fmt;

/// Bytes. `Size::MAX` means “without a limit” (systemd's `infinity`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Size(pub u64);

impl Size {
    /// No limit.
    pub const MAX: Size = Size(u64::MAX);
}

/// As systemd writes sizes, with one decimal where it is not whole: `512M`, `1.5G`, `infinity`. (The same as `units::size`
/// of `wire`, which the core cannot depend on.)
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [char; 6] = ['E', 'P', 'T', 'G', 'M', 'K'];
        if *self == Size::MAX {
            return f.write_str("infinity");
        }
        for (power, unit) in (1..=6_u32).rev().zip(UNITS) {
            let unit_size = 1_u64 << (10 * power);
            if self.0 >= unit_size {
                let (whole, rest) = (self.0 / unit_size, self.0 % unit_size);
                // Cut off, not rounded: what is over a limit must not read as if it were more.
                let tenth = u128::from(rest) * 10 / u128::from(unit_size);
                return match tenth {
                    0 => write!(f, "{whole}{unit}"),
                    _ => write!(f, "{whole}.{tenth}{unit}"),
                };
            }
        }
        write!(f, "{}B", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;

    #[test]
    fn sizes_read_as_systemd_writes_them() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1K"),
            (512 << 20, "512M"),
            ((512 << 20) + 1, "512M"),
            (3 << 29, "1.5G"),
            (u64::MAX - 1, "15.9E"),
            (u64::MAX, "infinity"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }
}
