//! Files of purchases, as `skylink import` reads them.

#[path = "../../../cli/src/import/rows.rs"]
#[allow(
    dead_code,
    clippy::duplicate_mod,
    reason = "the program itself is no library: only what reads the bytes is tried here"
)]
mod read;

/// Most bytes of a gzipped input: a small one unpacks to a thousand times its size, which is allowed and takes long.
const GZIPPED_BYTES_MAX: usize = 4 * 1024;

/// Each line that is not empty is a purchase or refused, by its number, and nothing of it is guessed.
pub(super) fn rows(bytes: &[u8]) {
    let is_gzipped = bytes.starts_with(&[0x1f, 0x8b]);
    if is_gzipped && bytes.len() > GZIPPED_BYTES_MAX {
        return;
    }
    let Ok(rows) = read::read(bytes, None) else { return };
    for purchase in &rows.purchases {
        assert!(purchase.total.minor >= 0 && purchase.units.get() > 0 && purchase.day.ms() > 0);
        assert_eq!(purchase.day.ms() % 86_400_000, 0, "a day begins at midnight");
    }
    if is_gzipped {
        return;
    }
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let mut told: Vec<usize> = rows.purchases.iter().map(|row| row.line).collect();
    told.extend(rows.refused.iter().map(|row| row.line));
    told.sort_unstable();
    let is_blank = |line: &[u8]| line.trim_ascii().is_empty();
    let expected = (1..=lines.len()).filter(|number| !is_blank(lines[number - 1]));
    let is_header = |number: &usize| *number == 1 && lines[0].trim_ascii()[0].is_ascii_alphabetic();
    assert_eq!(told, expected.filter(|number| !is_header(number)).collect::<Vec<_>>(), "each line once");
}

/// A file with good rows and bad ones.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    vec![
        b"customer_id date number_of_cds dollar_value\r\n 00001 19970101  1   11.77\r\n\r\n00002 19970112 5 77\n".to_vec(),
        b"1 19970230 1 1.00\n1 19970101 1\n1 19970101 1 -1.00\n1 19970101 0 1.00\n1 19970101 1 1.005\n".to_vec(),
        b"\xff 1 1 1\nx 19970101 1 1.00\n1 19970101 1 0.00\n".to_vec(),
        vec![0x1f, 0x8b, 8, 0, 0],
    ]
}
