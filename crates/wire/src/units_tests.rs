use super::*;

#[test]
fn spans_are_read_as_systemd_reads_them() {
    for (text, usec) in [
        ("0", 0),
        ("5", 5_000_000),
        ("1.5", 1_500_000),
        ("2 h", 7_200_000_000),
        ("2hours", 7_200_000_000),
        ("48hr", 172_800_000_000),
        ("1y 12month", 31_557_600_000_000 + 12 * 2_629_800_000_000),
        ("55s500ms", 55_500_000),
        ("300ms20s 5day", 432_020_300_000),
        ("1min 30", 90_000_000),
        ("0.5min", 30_000_000),
        ("7µs", 7),
        (" 3 weeks ", 1_814_400_000_000),
        ("infinity", INFINITY),
    ] {
        assert_eq!(parse_span(text), Ok(usec), "{text}");
    }
    for text in [
        "",
        "s",
        "-1",
        "5 parsecs",
        "1..5",
        ".5",
        "5.",
        "1,5",
        "99999999999999999999",
        "9999999999y",
        "infinity 1s",
    ] {
        assert!(parse_span(text).is_err(), "{text}");
    }
}

#[test]
fn spans_are_written_for_people() {
    for (usec, text) in [
        (0, "0s"),
        (999, "999us"),
        (1_234, "1ms"),
        (200_000, "200ms"),
        (1_500_000, "1s 500ms"),
        (4_000_000, "4s"),
        (90_000_000, "1min 30s"),
        (3_600_000_000, "1h"),
        (90_061_001_001, "1d 1h"),
        (INFINITY, "infinity"),
    ] {
        assert_eq!(span(usec), text);
    }
    for (usec, text) in [
        (999_999, "0s"),
        (61_500_000, "1min 1s"),
        (3_723_400_000, "1h 2min"),
        (INFINITY, "infinity"),
    ] {
        assert_eq!(age(usec), text);
    }
}

#[test]
fn sizes_are_read_as_systemd_reads_them() {
    for (text, bytes) in [
        ("0", 0),
        ("4096", 4096),
        ("1K", 1024),
        ("512M", 512 << 20),
        ("512 M", 512 << 20),
        ("1.5G", 3 << 29),
        ("0.25K", 256),
        ("12B", 12),
        ("2T", 2 << 40),
        ("infinity", INFINITY),
    ] {
        assert_eq!(parse_size(text), Ok(bytes), "{text}");
    }
    for text in [
        "",
        "M",
        "-1",
        "1.",
        ".5M",
        "5 parsecs",
        "99999999999T",
        "1,5G",
        "1 2",
        "+1",
        "18446744073709551615",
    ] {
        assert!(parse_size(text).is_err(), "{text}");
    }
    for text in ["512MB", "512MiB", "512m", "1gb"] {
        assert!(parse_size(text).unwrap_err().1.contains("the letter alone"), "{text}");
    }
}

#[test]
fn sizes_are_written_for_people() {
    for (bytes, text) in [
        (0, "0B"),
        (1023, "1023B"),
        (1024, "1K"),
        (1536, "1.5K"),
        (12_897_485, "12.3M"),
        (512 << 20, "512M"),
        ((512 << 20) + 1, "512M"),
        (3 << 29, "1.5G"),
        (u64::MAX - 1, "15.9E"),
        (INFINITY, "infinity"),
    ] {
        assert_eq!(size(bytes), text);
    }
}

#[test]
fn shares_are_read_and_written() {
    for (text, hundredths, written) in [
        ("150%", 15_000, "150%"),
        ("12.5%", 1_250, "12.5%"),
        ("12.50 %", 1_250, "12.5%"),
        ("0.05%", 5, "0.05%"),
        ("10.0%", 1_000, "10%"),
    ] {
        assert_eq!(parse_percent(text), Some(hundredths), "{text}");
        assert_eq!(exact_percent(hundredths), written);
    }
    for text in ["", "%", "5", "-5%", "+5%", "5.%", ".5%", "1.234%", "99999999999%", "5 %%"] {
        assert_eq!(parse_percent(text), None, "{text}");
    }
    for (share, text) in
        [(0.0, "0.0%"), (0.1254, "12.5%"), (0.9999, "100%"), (3.999, "400%"), (-0.1, "0.0%")]
    {
        assert_eq!(percent(share), text);
    }
}

#[test]
fn the_exact_forms_read_back() {
    for usec in [0, 1, 999, 61_000_001, 90_061_001_001, u64::MAX - 1, INFINITY] {
        assert_eq!(parse_span(&exact_span(usec)), Ok(usec));
    }
    for bytes in [0, 1, 1023, 1024, 1025, 512 << 20, (1 << 30) + 1024, 5 << 40, INFINITY] {
        assert_eq!(parse_size(&exact_size(bytes)), Ok(bytes));
    }
}
