//! Times and sizes as people write them.

use std::time::Duration;

use crate::action::wait::human;

/// A duration in milliseconds: `4.2s`, `1m04s`, `1h52m`.
pub fn duration(millis: u64) -> String {
    human(Duration::from_millis(millis))
}

/// A time span that is known roughly: `25m`, `40s`, `2h`.
pub fn about(millis: u64) -> String {
    match millis / 1000 {
        s @ 0..60 => format!("{s}s"),
        s @ 60..7200 => format!("{}m", (s + 30) / 60),
        s => format!("{}h", (s + 1800) / 3600),
    }
}

/// Bytes: `812 bytes`, `1.9 GB`; in powers of ten, as disks are sold.
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    if bytes < 1000 {
        return format!("{bytes} bytes");
    }
    for unit in ["kB", "MB", "GB", "TB"] {
        value /= 1000.0;
        if value < 999.95 {
            return format!("{value:.1} {unit}");
        }
    }
    format!("{:.1} PB", value / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_with_a_unit() {
        assert_eq!(duration(64_000), "1m04s");
        assert_eq!(
            (about(59_000), about(25 * 60_000), about(3 * 3_600_000)),
            ("59s".into(), "25m".into(), "3h".into())
        );
        assert_eq!(
            (size(812), size(1_900_000_000), size(999_990)),
            ("812 bytes".into(), "1.9 GB".into(), "1.0 MB".into())
        );
    }
}
