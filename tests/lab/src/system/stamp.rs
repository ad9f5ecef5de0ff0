//! Time stamps and identifiers in the shapes the platform prints.

use super::clock::real_now;
use sha2::{Digest, Sha256};
use std::io::Read;

/// Civil date and time of a Unix time: year, month, day, hour, minute, second, microsecond.
pub fn civil(unix: f64) -> (i64, u32, u32, u32, u32, u32, u32) {
    let whole = unix.floor() as i64;
    let micro = ((unix - whole as f64) * 1e6) as u32;
    let (days, rest) = (whole.div_euclid(86_400), whole.rem_euclid(86_400));
    // Days to civil date, counting years from March so that the leap day comes last.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_index + 2) / 5 + 1) as u32;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 } as u32;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day, (rest / 3600) as u32, (rest / 60 % 60) as u32, (rest % 60) as u32, micro)
}

/// `2026-11-21T02:48:10.385518+00:00` (the alarm list prints it without the zone).
pub fn iso(unix: f64) -> String {
    let (y, mo, d, h, mi, s, us) = civil(unix);
    format!("{y:04}-{mo:02}-{d:02}T{h:02}:{mi:02}:{s:02}.{us:06}+00:00")
}

/// Unix time of a stamp that begins like those of [`iso`], to the second.
pub fn unix(stamp: &str) -> Option<f64> {
    let number = |from: usize, to: usize| stamp.get(from..to).and_then(|text| text.parse::<i64>().ok());
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let seconds = number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
    // Years counted from March, as in `civil`.
    let (year, month_index) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let year_of_era = year.rem_euclid(400);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * month_index + 2) / 5 + day - 1;
    let days = year.div_euclid(400) * 146_097 + day_of_era - 719_468;
    Some((days * 86_400 + seconds) as f64)
}

/// The stamp of now.
pub fn now() -> String {
    iso(real_now())
}

/// `2026-11-21T024810`, as the names of archives have it.
pub fn compact(unix: f64) -> String {
    let (y, mo, d, h, mi, s, _) = civil(unix);
    format!("{y:04}-{mo:02}-{d:02}T{h:02}{mi:02}{s:02}")
}

/// A random UUID of version 4.
pub fn uuid() -> String {
    let mut bytes = [0u8; 16];
    if std::fs::File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut bytes)).is_err() {
        let seed = Sha256::digest(format!("{:?}{}", real_now(), std::process::id()));
        bytes.copy_from_slice(&seed[..16]);
    }
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// SHA-256 in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn civil_dates() {
        assert_eq!(civil(0.0).0, 1970);
        assert_eq!(compact(951_782_400.0), "2000-02-29T000000");
        assert_eq!(unix("2026-11-21T02:48:10.500000+00:00"), Some(1_795_229_290.0));
        assert_eq!(unix("2000-02-29T00:00:00Z"), Some(951_782_400.0));
        assert_eq!(unix("yesterday"), None);
        assert_eq!(iso(1_795_229_290.5), "2026-11-21T02:48:10.500000+00:00");
    }
}
